# SPDX-FileCopyrightText: The opentalk.maintenance authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations


class ModuleDocFragment:
    DOCUMENTATION = r"""
options:
  audit_log:
    description:
      - A file on the host. The module appends a line of JSON before each deletion, and at the start and the end of each
        run. The lines have ids, but no names, titles, or addresses.
      - The module makes the file with mode C(0600) if it is missing. If it cannot write it, it deletes nothing and fails.
      - Nothing is written in check mode.
    type: path
"""
