# SPDX-FileCopyrightText: The opentalk.maintenance authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What may be in ``timers_settings``, the settings that the role timers writes for its jobs. Sentences never have values."""

from __future__ import annotations

import difflib
from collections.abc import Iterator, Mapping
from typing import Any

from ansible_collections.opentalk.maintenance.plugins.module_utils.systems.settings.known import FLAGS, KNOWN
from ansible_collections.opentalk.maintenance.plugins.plugin_utils import toml_text

_VARIABLE = "timers_settings"
# How like a known name another one must be to count as a slip. Less than this, the controller's own keys are like each other.
_SLIP = 0.8


def problems(settings: Any) -> Iterator[str]:
    """A sentence for every mistake that can be told without the controller.

    A name that is almost a known one is a mistake. Every other unknown name may be a key of the controller, and is taken.
    """
    if not isinstance(settings, Mapping):
        yield f"{_VARIABLE} must be a dictionary with the sections of the controller's settings."
        return
    try:
        toml_text.document(settings)
    except ValueError as error:
        yield f"{_VARIABLE}: {error}"
        return
    yield from _of_section(settings, "")


def _of_section(values: Mapping[str, Any], section: str) -> Iterator[str]:
    """The problems of a section and of the sections in it.

    :param section: its name with those of outer sections, separated by dots; empty for the whole
    """
    sections = {name.removeprefix(f"{section}.") if section else name for name in KNOWN if _is_below(name, section)}
    known = {*KNOWN.get(section, ()), *(name for name in sections if "." not in name)}
    for name, value in values.items():
        full = f"{section}.{name}" if section else name
        where = f"{_VARIABLE}.{full}"
        if name in sections and "." in name:
            outer, _dot, inner = name.partition(".")
            yield f"{where}: a dot does not make a section in YAML; write {inner} as a dictionary below {outer}."
        elif full in KNOWN and not isinstance(value, Mapping):
            yield f"{where}: this is a section of the settings, thus a dictionary."
        elif name in KNOWN.get(section, ()):
            yield from _of_value(value, section, name, where)
        elif name not in known:
            similar = difflib.get_close_matches(name.lower().replace("-", "_"), known.difference(values), 1, _SLIP)
            if similar:
                yield f"{where}: there is no such {'key' if section else 'section'}; did you mean {similar[0]}?"
        if isinstance(value, Mapping):
            yield from _of_section(value, full)


def _is_below(name: str, section: str) -> bool:
    return not section or name.startswith(f"{section}.")


def _of_value(value: Any, section: str, key: str, where: str) -> Iterator[str]:
    is_text = isinstance(value, str) or getattr(value, "__ENCRYPTED__", False)
    if (section, key) in FLAGS:
        if not isinstance(value, bool) and not (is_text and str(value).lower() in ("true", "false")):
            yield f"{where}: it must be true or false."
    elif not is_text:
        yield f"{where}: it must be text; put it in quotes."
