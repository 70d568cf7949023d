# SPDX-FileCopyrightText: The opentalk.maintenance authors
# SPDX-License-Identifier: GPL-3.0-or-later

"""The keys of the controller's settings that the collection reads. The controller has many more."""

from __future__ import annotations

# Keys by the names of their sections; a dot separates the names of an outer and an inner section.
KNOWN: dict[str, tuple[str, ...]] = {
    "database": ("url",),
    "minio": ("uri", "bucket", "access_key", "secret_key", "region", "force_path_style"),
    "shared_folder": ("provider", "url", "username", "password", "directory"),
    "oidc": ("authority",),
    "oidc.controller": ("authority", "client_id", "client_secret"),
    "user_search": ("backend", "api_base_url", "client_id", "client_secret", "external_id_user_attribute_name"),
    "keycloak": ("base_url", "realm", "client_id", "client_secret", "external_id_user_attribute_name"),
}
# The only keys among them whose values are not text.
FLAGS = {("minio", "force_path_style")}
