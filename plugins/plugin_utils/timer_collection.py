# SPDX-FileCopyrightText: The opentalk.maintenance authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The files of this collection that the role timers sends to the hosts."""

from __future__ import annotations

import hashlib
import os
from pathlib import Path

_FOLDERS = ("plugins", "playbooks", "meta")


def checksums(root: str) -> dict[str, str]:
    """The SHA-256 of each file, by its path in the collection. Compiled and hidden files are left out.

    :param root: the directory of the collection
    """
    found = {}
    for top in _FOLDERS:
        for folder, folders, names in os.walk(os.path.join(root, top)):
            folders[:] = [name for name in folders if not name.startswith(".")]
            for name in names:
                if not name.startswith(".") and not name.endswith(".pyc"):
                    path = Path(folder, name)
                    found[os.path.relpath(path, root)] = hashlib.sha256(path.read_bytes()).hexdigest()
    return dict(sorted(found.items()))
