# SPDX-FileCopyrightText: The opentalk.maintenance authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations


class ModuleDocFragment:
    DOCUMENTATION = r"""
options:
  temporary_indexes:
    description:
      - Whether the job builds missing indexes before it deletes rows, and drops them at the end. Without them PostgreSQL
        reads whole tables to check foreign keys, and to find permissions and mail addresses for each batch.
      - The job builds an index only if it saves more time than it costs, and without locks that stop others. If the database
        user may not build it, or if another session is in the way for too long, the job warns and goes on without it.
      - Their names begin with C(opentalk_maintenance_tmp_). If a run dies, the next run of the same job drops its indexes.
    type: bool
    default: true
"""
