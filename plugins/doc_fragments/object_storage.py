# SPDX-FileCopyrightText: The opentalk.maintenance authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations


class ModuleDocFragment:
    DOCUMENTATION = r"""
options:
  object_storage:
    description: Overrides the section C([minio]) of the settings, key by key.
    type: dict
    suboptions:
      uri:
        description: The address of the S3 server.
        type: str
      bucket:
        description: The bucket that holds the assets.
        type: str
      access_key:
        description: The access key. Neither C(invocation) nor the journal shows it.
        type: str
      secret_key:
        description: The secret key.
        type: str
      region:
        description: The region of the bucket. The controller's default is V(unknown).
        type: str
      force_path_style:
        description: Whether the bucket's name is part of the path instead of the host name. True unless set.
        type: bool
  validate_certs:
    description: Whether the certificates of the servers are verified.
    type: bool
    default: true
  ca_path:
    description: A file with the certificates of the authorities to trust, instead of those of the system.
    type: path
requirements:
  - boto3
"""

    OUTSIDE = r"""
options:
  outside_timeout:
    description:
      - The most seconds for which a batch waits for the object storage and the cloud together. The batch holds locks on its
        rows meanwhile, so users of the controller may wait for it.
      - When they take longer, nothing of the batch is deleted from the database. The job asks the servers without locks
        whether they work, and then goes on with smaller batches, or fails.
    type: int
    default: 10
"""
