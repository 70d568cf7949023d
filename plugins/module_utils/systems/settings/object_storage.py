# SPDX-FileCopyrightText: The opentalk.maintenance authors
# SPDX-License-Identifier: GPL-3.0-or-later

"""The settings of the object storage."""

from __future__ import annotations

from dataclasses import dataclass
from urllib.parse import urlsplit

from .lookup import Lookup

_SECTION, _OPTION = "minio", "object_storage"


@dataclass(frozen=True)
class ObjectStorageSettings:
    """Section ``[minio]``."""

    uri: str
    bucket: str
    access_key: str
    secret_key: str
    region: str
    force_path_style: bool


def read(lookup: Lookup) -> ObjectStorageSettings:
    """:raises ConfigurationError: a setting is missing or wrong"""
    values = lookup.section(_SECTION, _OPTION)
    uri = lookup.required(values, _SECTION, "uri", _OPTION)
    lookup.check_address(uri, "the object storage", _SECTION, "uri", _OPTION)
    return ObjectStorageSettings(
        uri=_without_path(uri),
        bucket=lookup.required(values, _SECTION, "bucket", _OPTION),
        access_key=lookup.required(values, _SECTION, "access_key", _OPTION),
        secret_key=lookup.required(values, _SECTION, "secret_key", _OPTION),
        region=lookup.optional(values, _SECTION, "region", _OPTION) or "unknown",
        force_path_style=lookup.flag(values, _SECTION, "force_path_style", _OPTION, default=True),
    )


def _without_path(uri: str) -> str:
    # The controller drops the path, too.
    parts = urlsplit(uri)
    return f"{parts.scheme}://{parts.netloc}"
