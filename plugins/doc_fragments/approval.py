# SPDX-FileCopyrightText: The opentalk.maintenance authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations


class ModuleDocFragment:
    DOCUMENTATION = r"""
options:
  expected_plan_id:
    description:
      - The RV(plan_id) of a preview (check mode) of the same job. The job then decides by the moment of that preview. It
        fails before it touches anything if its plan has effects that the preview did not have. It may have fewer effects.
      - If something is added to an approved row during the run, that row stays with all that goes with it, and RV(failures)
        lists it.
      - With more than 200000 effects only exactly the same plan is accepted, and rows that are added during the run go, too.
        Corrected sizes do not count.
      - The id of such a plan has up to 740 kB, which is too much for a command line. Register it in a playbook, or put the
        variable into a file.
    type: str
"""
