# SPDX-FileCopyrightText: The opentalk.maintenance authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations


class ModuleDocFragment:
    DOCUMENTATION = r"""
attributes:
  check_mode:
    description: Can run in C(check_mode) and return the changed status prediction without modifying the target.
  diff_mode:
    description: Returns details on what has changed, or would change in C(check_mode), when in diff mode.
  idempotent:
    description: When run twice in a row without changes in between, the second run changes nothing.
"""

    NEVER_CHANGES = r"""
attributes:
  check_mode:
    support: full
    details: The module never changes anything.
  diff_mode:
    support: N/A
    details: The module never changes anything.
  idempotent:
    support: full
    details: The module never changes anything.
"""

    DELETES = r"""
attributes:
  check_mode:
    support: full
    details: The plan is that of a run. The database session is read-only, and other systems get only reading requests.
  diff_mode:
    support: full
    details: The diff has counts, sizes, and the first 20 ids of each kind, but no names, titles, or addresses.
  idempotent:
    support: full
    details: As time goes by, more becomes due for deletion.
"""

    CHANGES = r"""
attributes:
  check_mode:
    support: full
    details: The plan is that of a run. The database session is read-only, and other systems get only reading requests and
      the one for an access token.
  diff_mode:
    support: full
    details: The diff has counts and the first 20 ids of each kind, but no names, titles, or addresses.
  idempotent:
    support: full
    details: Accounts may change between two runs.
"""
