# SPDX-FileCopyrightText: The opentalk.maintenance authors
# SPDX-License-Identifier: GPL-3.0-or-later

"""The certificate authorities to trust: those of the system, as the controller and curl do, unless an option names a file.

requests and botocore would take the list that comes with them, which lacks the authorities of an organisation.
"""

from __future__ import annotations

import os
import ssl

from ..base.paths import native

# Where systems keep the authorities in one file. OpenSSL of other builds of Python may look elsewhere.
_FILES = (
    "/etc/ssl/certs/ca-certificates.crt",  # Debian, Ubuntu, Alpine
    "/etc/pki/tls/certs/ca-bundle.crt",  # the RHEL family
    "/etc/ssl/ca-bundle.pem",  # SUSE
    "/etc/ssl/cert.pem",
)


def verification(*, validate_certs: bool, ca_path: str | None) -> bool | str:
    """The value of ``verify`` for requests and boto3.

    :param ca_path: a file of CA certificates, or None for those of the system
    :returns: a file of CA certificates; False to verify nothing; True if the system has no such file
    """
    if not validate_certs:
        return False
    # The first one heeds SSL_CERT_FILE.
    found = (ca_path and native(ca_path), ssl.get_default_verify_paths().cafile, *_FILES)
    return next((path for path in found if path and os.path.isfile(path)), True)
