# SPDX-FileCopyrightText: The opentalk.maintenance authors
# SPDX-License-Identifier: GPL-3.0-or-later

"""Messages for errors of botocore and S3 servers. They are made from error codes, never from texts of the server.

Codes: https://docs.aws.amazon.com/AmazonS3/latest/API/ErrorResponses.html
"""

from __future__ import annotations

import re
from typing import Any
from urllib.parse import urlsplit

from ..base.errors import ObjectStorageError
from .settings import ObjectStorageSettings

_ADVICE = "check section [minio] of the controller's settings or the option object_storage"

# Codes for requests that this client may not send, or that the server cannot serve. Asking again does not help.
_FINAL = frozenset({"AccessDenied", "MethodNotAllowed", "NotImplemented", "403", "405", "501"})

_REFUSALS = {
    "404": "has no bucket {bucket}",
    "NoSuchBucket": "has no bucket {bucket}",
    "403": "denies access to bucket {bucket} (wrong access_key or secret_key, or missing permissions)",
    "AccessDenied": "denies access to bucket {bucket} (missing permissions)",
    "InvalidAccessKeyId": "does not know the access_key",
    "SignatureDoesNotMatch": "refused the secret_key",
    "301": "holds bucket {bucket} in another region",
    "PermanentRedirect": "holds bucket {bucket} in another region",
    "AuthorizationHeaderMalformed": "expects another region",
    "RequestTimeTooSkewed": "has a clock that differs from this host's",
    "SlowDown": "is overloaded (SlowDown)",
    "NotImplemented": "does not implement a request that is needed",
}


class RequestRefusedError(ObjectStorageError):
    """The server does not serve this kind of request for this client. It may serve other kinds."""


def failure(error: Exception, settings: ObjectStorageSettings) -> ObjectStorageError:
    """The error to raise when a request failed as a whole.

    :param error: a botocore exception
    """
    meaning = _refusal(error) or _unreachable(error)
    return (RequestRefusedError if _code(error) in _FINAL else ObjectStorageError)(
        f"The object storage at {_server(settings)} {meaning.format(bucket=settings.bucket)}; {_ADVICE}, then run the job again."
    )


def not_understood(settings: ObjectStorageSettings) -> ObjectStorageError:
    """The error to raise when an answer is not one of an S3 server."""
    return ObjectStorageError(
        f"The object storage at {_server(settings)} does not answer a request about bucket {settings.bucket} as an S3"
        f" server does; {_ADVICE}, then run the job again."
    )


def unusable_address() -> ObjectStorageError:
    """The error to raise when no request can be sent to the address."""
    return ObjectStorageError(
        "The address of the object storage cannot be used; correct the key uri of section [minio] in the controller's"
        " settings or in the option object_storage."
    )


def refusal(code: str) -> str:
    """The reason why the server did not delete one object, as a clause."""
    return (
        f"the object storage refused to delete it ({code if re.fullmatch(r'[A-Za-z0-9]{1,64}', code) else 'unknown'})"
    )


def _server(settings: ObjectStorageSettings) -> str:
    return urlsplit(settings.uri).netloc.rpartition("@")[2]


def _code(error: Exception) -> str | None:
    answer: Any = getattr(error, "response", None)
    return str(answer.get("Error", {}).get("Code", "unknown")) if isinstance(answer, dict) else None


def _refusal(error: Exception) -> str | None:
    code = _code(error)
    if code is None:
        return None
    status = error.response.get("ResponseMetadata", {}).get("HTTPStatusCode")  # type: ignore[attr-defined]
    if code in _REFUSALS:
        return _REFUSALS[code]
    safe = code if re.fullmatch(r"[A-Za-z0-9]{1,64}", code) else "unknown"
    return f"answered with HTTP status {status} (error code {safe})"


def _unreachable(error: Exception) -> str:
    from botocore import exceptions

    if isinstance(error, exceptions.SSLError):
        return "has a certificate that cannot be verified (see the options ca_path and validate_certs)"
    if isinstance(error, exceptions.ProxyConnectionError):
        return "cannot be reached through the proxy that the environment names"
    if isinstance(error, (exceptions.ConnectTimeoutError, exceptions.ReadTimeoutError)):
        return "did not answer in time"
    if isinstance(
        error, (exceptions.EndpointConnectionError, exceptions.ConnectionClosedError, exceptions.HTTPClientError)
    ):
        return "cannot be reached"
    return f"cannot be used ({type(error).__name__})"
