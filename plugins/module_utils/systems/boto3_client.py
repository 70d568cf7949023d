# SPDX-FileCopyrightText: The opentalk.maintenance authors
# SPDX-License-Identifier: GPL-3.0-or-later

"""A boto3 client that works as the controller's settings say, whatever the host's settings for AWS are.

It also works with servers that are older than boto3, or not of AWS: see :func:`_sign_with_md5`.
"""

from __future__ import annotations

import base64
import contextlib
import functools
import hashlib
import os
import threading
from collections.abc import Iterator
from typing import Any

from .settings import ObjectStorageSettings

# Bytes of the largest answer: a page of versions has 1000 keys, each of at most 1024 bytes that XML may make six times longer.
LARGEST_ANSWER = 2**24
_PIECE = 2**16
# A session is not safe for threads, and the settings of the host are those of the process.
_ONE_AT_A_TIME = threading.Lock()


def make(settings: ObjectStorageSettings, *, verify: bool | str, **limits: Any) -> Any:
    """A client for S3.

    :param verify: a file of CA certificates, or whether certificates are verified
    :param limits: further arguments of botocore.config.Config
    :raises ImportError: boto3 is not installed
    :raises ValueError: botocore refuses the address
    """
    with _ONE_AT_A_TIME, _without_settings_of_the_host():
        client = session().client(
            "s3",
            endpoint_url=settings.uri,
            region_name=settings.region,
            aws_access_key_id=settings.access_key,
            aws_secret_access_key=settings.secret_key,
            verify=verify,
            config=_config(settings, limits),
        )
    client.meta.events.register("before-sign.s3.DeleteObjects", _sign_with_md5)
    _limit_answers(client)
    return client


@functools.cache
def session() -> Any:
    """The boto3 session of this process, which has no settings of its own. It takes longer to make than a client does.

    :raises ImportError: boto3 is not installed
    """
    import boto3
    import botocore.session

    core = botocore.session.Session()
    # Timestamps stay text, because parsing them takes longer than the rest of a listing.
    core.get_component("response_parser_factory").set_parser_defaults(timestamp_parser=str)
    return boto3.session.Session(botocore_session=core)


def _config(settings: ObjectStorageSettings, limits: dict[str, Any]) -> Any:
    from botocore.config import Config

    common: dict[str, Any] = {
        "s3": {"addressing_style": "path" if settings.force_path_style else "auto"},
        "proxies": _proxies(settings.uri),
        **limits,
    }
    try:
        return Config(
            request_checksum_calculation="when_required", response_checksum_validation="when_required", **common
        )
    except TypeError:
        # boto3 before 1.36 adds no checksums that are not required.
        return Config(**common)


@contextlib.contextmanager
def _without_settings_of_the_host() -> Iterator[None]:
    """Hide variables and files that set something for AWS: profiles, regions, endpoints, credentials and the like."""
    hidden = {name: os.environ.pop(name) for name in list(os.environ) if name.startswith(("AWS_", "BOTO_"))}
    nowhere = {"AWS_CONFIG_FILE": os.devnull, "AWS_SHARED_CREDENTIALS_FILE": os.devnull, "BOTO_CONFIG": os.devnull}
    os.environ.update(nowhere)
    try:
        yield
    finally:
        for name in nowhere:
            del os.environ[name]
        os.environ.update(hidden)


def _proxies(uri: str) -> dict[str, str] | None:
    """The proxies for the address, by the rules of requests, which knows networks in ``no_proxy``."""
    try:
        from requests.utils import get_environ_proxies
    except ImportError:
        return None
    return dict(get_environ_proxies(uri, no_proxy=None))


def _sign_with_md5(request: Any, **kwargs: Any) -> None:
    """Send Content-MD5 instead of a newer checksum.

    S3 wants one of both (https://docs.aws.amazon.com/AmazonS3/latest/API/API_DeleteObjects.html). Older servers know only
    this one, and some refuse the headers of the others.
    """
    for name in list(request.headers):
        if name.lower().startswith(("x-amz-checksum-", "x-amz-sdk-checksum-")):
            del request.headers[name]
    digest = hashlib.md5(_bytes(request.data), usedforsecurity=False).digest()
    # Setting a header a second time would add a value.
    del request.headers["Content-MD5"]
    request.headers["Content-MD5"] = base64.b64encode(digest).decode()


def _bytes(data: Any) -> bytes:
    return data.encode() if isinstance(data, str) else bytes(data)


def _limit_answers(client: Any) -> None:
    """Let the client read no more of an answer than it can have. botocore has no option for this."""
    from botocore.exceptions import ConnectionClosedError, ReadTimeoutError
    from urllib3 import exceptions

    session = client._endpoint.http_session
    send = session.send

    def limited(request: Any) -> Any:
        # As for downloads, botocore leaves the content to the caller.
        request.stream_output = True
        answer = send(request)
        try:
            pieces, size = [], 0
            for piece in answer.raw.stream(_PIECE):
                size += len(piece)
                if size > LARGEST_ANSWER:
                    answer.raw.close()
                    # It is no answer of S3.
                    raise ValueError("too large")
                pieces.append(piece)
        except exceptions.ReadTimeoutError as error:
            raise ReadTimeoutError(endpoint_url=request.url, error=error) from None
        except exceptions.HTTPError as error:
            raise ConnectionClosedError(error=error, request=request, endpoint_url=request.url) from None
        answer._content = b"".join(pieces)
        return answer

    session.send = limited
