# SPDX-FileCopyrightText: The opentalk.maintenance authors
# SPDX-License-Identifier: GPL-3.0-or-later

"""The provider that the settings name."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from ...base.deadline import Deadline
from ..settings import SharedFolderSettings
from ..write_gate import WriteGate
from .client import CloudClient
from .nextcloud import Nextcloud
from .opencloud import OpenCloud
from .shared_folder import SharedFolderProvider


def provider(
    settings: SharedFolderSettings, options: Mapping[str, Any], *, deadline: Deadline, gate: WriteGate
) -> SharedFolderProvider:
    """The provider, with a client for its server.

    :param options: those of the job, which sends its requests one by one if it has no option for more
    """
    client = CloudClient(
        settings,
        deadline=deadline,
        gate=gate,
        validate_certs=options["validate_certs"],
        ca_path=options["ca_path"],
        parallel=options.get("shared_folder_requests", 1),
    )
    if settings.provider == Nextcloud.name:
        return Nextcloud(client, settings.directory, settings.username)
    return OpenCloud(client, settings.directory)
