# SPDX-FileCopyrightText: The opentalk.maintenance authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations


class ModuleDocFragment:
    DOCUMENTATION = r"""
options:
  expected_plan_id:
    description:
      - The RV(plan_id) that check mode returned. The job then decides by the moment of that preview, and fails before
        anything is touched if its plan has things that the preview did not have. It may have fewer.
      - Above 10000 things only exactly the same plan is accepted. Sizes that are corrected do not count.
    type: str
"""
