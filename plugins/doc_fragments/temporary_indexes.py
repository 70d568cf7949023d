# SPDX-FileCopyrightText: The opentalk.maintenance authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations


class ModuleDocFragment:
    DOCUMENTATION = r"""
options:
  temporary_indexes:
    description:
      - Whether indexes are built before rows are deleted, and dropped at the end, for foreign keys that PostgreSQL would
        otherwise check by reading whole tables.
      - Only where that saves more time than it costs, and without locks that stop others. Where the database user may not
        do it, or another session is in the way for too long, the job warns and goes on without the index.
      - Their names begin with C(opentalk_maintenance_tmp_). Those of a run that died are dropped by the next run of the
        same job.
    type: bool
    default: true
"""
