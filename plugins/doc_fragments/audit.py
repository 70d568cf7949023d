# SPDX-FileCopyrightText: The opentalk.maintenance authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations


class ModuleDocFragment:
    DOCUMENTATION = r"""
options:
  audit_log:
    description:
      - A file on the host to which a line of JSON is appended for each thing that is deleted, before it is deleted, and
        for the start and the end of each run. It has ids, but no names, titles, or addresses.
      - It is made with mode C(0600) if it is not there. Where it cannot be written, nothing is deleted and the module
        fails.
      - Nothing is written in check mode.
    type: path
"""
