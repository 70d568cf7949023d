# SPDX-FileCopyrightText: The opentalk.maintenance authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations


class ModuleDocFragment:
    DOCUMENTATION = r"""
options:
  batch_size:
    description:
      - The largest number of roots of one batch, which is one transaction, from 1 to 100000. A root is a row that the job
        chooses.
      - The job uses smaller batches if one would take longer than about half a second. With shared folders it keeps them large
        enough to work on several folders at the same time.
    type: int
    default: 1000
  report_limit:
    description:
      - The largest number of ids in each list of the result. Counts are always complete.
      - If the module fails, each list has at most five ids, because Ansible prints the whole result. All ids of a plan are in the
        result of a preview that is not refused.
    type: int
    default: 1000
  max_affected:
    description:
      - The largest number of roots that the job may choose. If it chooses more, it touches nothing and the module fails.
      - Rows that go with the roots do not count.
    type: int
  max_affected_percent:
    description: The same as a percentage, from 0 to 100, of all rows of the table of the roots.
    type: float
"""
