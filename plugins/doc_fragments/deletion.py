# SPDX-FileCopyrightText: The opentalk.maintenance authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations


class ModuleDocFragment:
    DOCUMENTATION = r"""
options:
  batch_size:
    description:
      - The largest number of things that are deleted in one transaction, from 1 to 100000.
      - Smaller batches are used where one would take longer than about a second, but for shared folders none that are too
        small to work on several folders at the same time.
    type: int
    default: 1000
  report_limit:
    description: The number of ids that each list of the result holds at most. Counts are always complete.
    type: int
    default: 1000
  max_affected:
    description:
      - The largest number of things that the job may select. If it selects more, nothing is touched and the module fails.
      - What goes with the selected things does not count.
    type: int
  max_affected_percent:
    description: The same as a percentage, from 0 to 100, of all rows of the table from which the job selects.
    type: float
"""
