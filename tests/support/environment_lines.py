# SPDX-FileCopyrightText: The opentalk.maintenance authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Lines of environment files, with the values that Docker Compose takes from them, by its documentation.

Values that nobody may see have the word planted in them.
"""

from __future__ import annotations

import textwrap

# Lines that systemd reads as Compose does. TED is not set anywhere.
SAME = {
    "OPENTALK_CTRL_DATABASE__URL": ("=postgres://o:planted#ss;w'or\"d@postgres/o", "postgres://o:planted#ss;w'or\"d@postgres/o"),
    "OPENTALK_CTRL_MINIO__BUCKET": (" = controller \t", "controller"),
    "opentalk_ctrl_minio__secret_key": ("='$planted # \"no\" comment'", '$planted # "no" comment'),
    "OPENTALK_CTRL_MINIO__ACCESS_KEY": ("=\"a key # of 'planted' ;\"", "a key # of 'planted' ;"),
    "OPENTALK_CTRL_MINIO__REGION": ("=", ""),
    "OPENTALK_CTRL_HTTP__PORT": ("=11311\r", "11311"),
    "OPENTALK_CTRL_HTTP__ADDR": ("='ü 0'", "ü 0"),
}  # fmt: skip
GOOD = "\n".join(
    [
        "# A comment's quote",
        '; another "one',
        "",
        *(f"  {name}{rest}" for name, (rest, _value) in SAME.items()),
        textwrap.dedent("""\
            POSTGRES_PASSWORD=plan$ted # of another container
            export COMPOSE_PROJECT_NAME=opentalk
            NAME_ALONE
            NO: "line
            PYTHON
            PATH: x
            OTHER=it's "planted
            OPENTALK_CTRL_LAST="x"
            """),
    ]
)
# What follows a name in a line, Compose's value of it, and the reason for which it is refused.
DIFFERENT = [
    (": planted", "planted", "systemd ignores it"),
    (": plan=ted", "plan=ted", "systemd ignores it"),
    (r'="plan\ted"', "plan\ted", "Compose and systemd read a backslash differently"),
    (r"=plan\ted", r"plan\ted", "Compose and systemd read a backslash differently"),
    (r"='planted\'s'", "planted's", "Compose and systemd read a backslash differently"),
    ("='planted' # why", "planted", "systemd adds to the value what follows"),
    ('="planted"    #why', "planted", "systemd adds to the value what follows"),
    ("=plan$TED", "plan", "Compose replaces what follows a dollar sign"),
    ('="plan${TED}"', "plan", "Compose replaces what follows a dollar sign"),
    ("=planted # why", "planted", "Compose takes what follows # for a comment"),
    ("=planted\\", "planted\\", "the value goes on in the next line"),
]
