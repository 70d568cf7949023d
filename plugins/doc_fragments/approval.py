# SPDX-FileCopyrightText: The opentalk.maintenance authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations


class ModuleDocFragment:
    DOCUMENTATION = r"""
options:
  expected_plan_id:
    description:
      - The RV(plan_id) that check mode returned for the same job. The job then decides by the moment of that preview, and
        fails before anything is touched if its plan has things that the preview did not have, or would do something else
        with them. It may have fewer.
      - What is added to an approved thing later, while the run goes on, keeps that thing and all that goes with it; these are
        listed in RV(failures).
      - Above 200000 things only exactly the same plan is accepted, and what is added while the run goes on goes, too. Sizes
        that are corrected do not count.
      - The id of so many things has up to 740 kB, for which a command line has no room. Register it in a playbook, or put
        the variable into a file.
    type: str
"""
