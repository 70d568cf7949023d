# SPDX-FileCopyrightText: The opentalk.maintenance authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""A private authority, and right and wrong certificates for servers on 127.0.0.1."""

from __future__ import annotations

import ssl
from pathlib import Path

import trustme

RIGHT, WRONG_HOST, STRANGER = "right", "wrong host", "of another authority"


class Certificates:
    """Certificates in files.

    :ivar authority: the file of the private authority, for `ca_path`
    """

    def __init__(self, directory: Path) -> None:
        self._directory = directory
        authority = trustme.CA()
        self.authority = directory / "authority.pem"
        authority.cert_pem.write_to_path(self.authority)
        self._issued = {
            RIGHT: authority.issue_cert("127.0.0.1"),
            WRONG_HOST: authority.issue_cert("elsewhere.invalid"),
            STRANGER: trustme.CA().issue_cert("127.0.0.1"),
        }

    def file(self, kind: str) -> Path:
        """A file with a certificate and its key."""
        path = self._directory / f"{kind}.pem"
        self._issued[kind].private_key_and_cert_chain_pem.write_to_path(path)
        path.chmod(0o600)
        return path

    def context(self, kind: str) -> ssl.SSLContext:
        """The context with which a server speaks TLS with a certificate."""
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        self._issued[kind].configure_cert(context)
        return context
