# SPDX-FileCopyrightText: The opentalk.maintenance authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations


class ModuleDocFragment:
    DOCUMENTATION = r"""
options:
  shared_folder:
    description:
      - Overrides the section C([shared_folder]) of the settings, key by key.
      - If neither is set, a folder that the database names counts as one that cannot be deleted.
    type: dict
    suboptions:
      provider:
        description: The kind of server.
        type: str
        choices: [nextcloud, opencloud]
      url:
        description: The address of the server.
        type: str
      username:
        description: The id of the user who owns the folders. Neither C(invocation) nor the journal shows it.
        type: str
      password:
        description: The password of that user, or an app password.
        type: str
      directory:
        description:
          - The directory that holds all shared folders. A folder outside of it is never deleted.
          - Without it the job may delete every folder of the account that the database names.
        type: str
requirements:
  - requests
"""

    HANDLING = r"""
options:
  shared_folder_requests:
    description:
      - The number of shared folders that are worked on at the same time, from 1 to 64.
      - The cloud gets fewer requests at once while most of its answers take three times as long as its quickest ones.
    type: int
    default: 4
  empty_trash:
    description:
      - Whether the copy of a deleted folder in the trash bin of the cloud is deleted, too. Only that copy is deleted.
      - A copy that cannot be deleted counts as a folder that cannot be deleted.
    type: bool
    default: false
"""

    TLS = r"""
options:
  validate_certs:
    description: Whether the certificate of the server is verified.
    type: bool
    default: true
  ca_path:
    description: A file with the certificates of the authorities to trust, instead of those of the system.
    type: path
"""
