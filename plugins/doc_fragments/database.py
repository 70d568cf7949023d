# SPDX-FileCopyrightText: The opentalk.maintenance authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations


class ModuleDocFragment:
    DOCUMENTATION = r"""
options:
  database_url:
    description:
      - The URL of the controller's PostgreSQL database, such as V(postgres://user:password@host:5432/opentalk).
      - Overrides C(url) in section C([database]) of the settings.
    type: str
requirements:
  - psycopg2
  - tomli (for Python 3.10, and for settings files with syntax of TOML 1.1)
"""
