# SPDX-FileCopyrightText: The opentalk.maintenance authors
# SPDX-License-Identifier: GPL-3.0-or-later

"""The provider that the settings name."""

from __future__ import annotations

from ...base.deadline import Deadline
from ..settings import SharedFolderSettings
from ..write_gate import WriteGate
from .client import CloudClient
from .nextcloud import Nextcloud
from .opencloud import OpenCloud
from .shared_folder import SharedFolderProvider


def provider(
    settings: SharedFolderSettings,
    *,
    deadline: Deadline,
    gate: WriteGate,
    validate_certs: bool,
    ca_path: str | None,
    parallel: int,
) -> SharedFolderProvider:
    """The provider, with a client for its server. The parameters are those of :class:`CloudClient`."""
    client = CloudClient(
        settings, deadline=deadline, gate=gate, validate_certs=validate_certs, ca_path=ca_path, parallel=parallel
    )
    if settings.provider == Nextcloud.name:
        return Nextcloud(client, settings.directory, settings.username)
    return OpenCloud(client, settings.directory)
