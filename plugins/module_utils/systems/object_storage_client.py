# SPDX-FileCopyrightText: The opentalk.maintenance authors
# SPDX-License-Identifier: GPL-3.0-or-later

"""Requests to an S3 server. They are bounded in time, repeated if that may help, and never write in a preview."""

from __future__ import annotations

import threading
import time
import traceback
from collections.abc import Callable, Iterator, Mapping
from functools import partial
from typing import Any

from ..base import packages
from ..base.deadline import Deadline
from ..base.errors import MissingLibraryError, ObjectStorageError
from . import authorities, boto3_client
from .object_storage_errors import failure, not_understood, unusable_address
from .settings import ObjectStorageSettings
from .write_gate import WriteGate

CONNECT_TIMEOUT = 5.0
READ_TIMEOUT = 30.0
ATTEMPTS = 4
# The most requests about single keys that are sent at the same time.
PARALLEL_REQUESTS = 8


class StorageClient:
    """A connection to the controller's bucket, which is opened at the first use.

    :param gate: asked before every request
    :param ca_path: a file of CA certificates, or None for those of the system
    :ivar bucket: the name of the bucket
    """

    def __init__(
        self,
        settings: ObjectStorageSettings,
        *,
        deadline: Deadline,
        gate: WriteGate,
        validate_certs: bool,
        ca_path: str | None,
    ) -> None:
        self._settings = settings
        self.bucket = settings.bucket
        self._deadline = deadline
        self._gate = gate
        self._verify = authorities.verification(validate_certs=validate_certs, ca_path=ca_path)
        self._client: Any = None
        self._connecting = threading.Lock()
        self._call = threading.local()

    @classmethod
    def for_job(
        cls, settings: ObjectStorageSettings, options: Mapping[str, Any], *, deadline: Deadline, gate: WriteGate
    ) -> StorageClient:
        """The client of a job with these options."""
        return cls(
            settings,
            deadline=deadline,
            gate=gate,
            validate_certs=options["validate_certs"],
            ca_path=options["ca_path"],
        )

    def call(self, request: Callable[[Any], Any]) -> Any:
        """Call a function with a boto3 client, and return its answer. Several threads may do this at the same time.

        :raises ObjectStorageError: the server refused the request, or cannot be reached
        :raises DeadlineExceeded: the deadline passed meanwhile
        :raises MissingLibraryError: the package boto3 is not installed
        """
        # The client's own timeouts are not enough: they are for each piece of an answer, and the client repeats requests.
        end = time.monotonic() + self._deadline.remaining()

        def work() -> Any:
            self._call.end = end
            return self._answer(request)

        return self._deadline.run(work)

    def pages(self, request: Callable[..., Any], **names: str) -> Iterator[dict[str, Any]]:
        """All pages of a listing; the errors are those of :meth:`call`.

        :param request: gets a boto3 client, and as ``bucket`` and ``position`` what names the page
        :param names: for each parameter that asks for the next page, the element of a page that has its value
        """
        position: dict[str, str] = {}
        while True:
            page = self.call(partial(request, bucket=self.bucket, position=position))
            # A page of another server, such as a login page, has no such element. It would seem to be an empty listing.
            if "IsTruncated" not in page:
                raise self.not_understood()
            yield page
            if not page.get("IsTruncated"):
                return
            following = {parameter: page.get(element, "") for parameter, element in names.items()}
            if not any(following.values()) or following == position:
                # The server would be asked for the same page for ever.
                raise self.not_understood()
            position = following

    def not_understood(self) -> ObjectStorageError:
        """The error to raise when an answer is not one of an S3 server."""
        return not_understood(self._settings)

    def _answer(self, request: Callable[[Any], Any]) -> Any:
        try:
            client = self._connected()
        except ValueError:
            # botocore has no exception of its own for an address that it refuses.
            raise unusable_address() from None
        from botocore.exceptions import BotoCoreError, ClientError
        from botocore.parsers import ResponseParserError

        try:
            return request(client)
        except (BotoCoreError, ClientError) as error:
            raise failure(error, self._settings) from None
        except UnicodeError:
            raise unusable_address() from None
        except (ResponseParserError, AttributeError, LookupError, TypeError, ValueError, RecursionError):
            # botocore's parser raises one of these when an answer does not have the form of S3.
            raise not_understood(self._settings) from None

    def _connected(self) -> Any:
        with self._connecting:
            if self._client is None:
                self._client = self._make_client()
            return self._client

    def _make_client(self) -> Any:
        packages.check("boto3")
        try:
            client = boto3_client.make(
                self._settings,
                verify=self._verify,
                connect_timeout=CONNECT_TIMEOUT,
                read_timeout=READ_TIMEOUT,
                retries={"mode": "standard", "total_max_attempts": ATTEMPTS},
                max_pool_connections=PARALLEL_REQUESTS,
            )
        except ImportError:
            raise MissingLibraryError("boto3", traceback.format_exc()) from None
        client.meta.events.register("before-send.s3", self._before_send)
        return client

    def _before_send(self, request: Any, **kwargs: Any) -> None:
        self._gate.check(request.method, "the object storage")
        # After its end nobody waits for the call any more. Its rows may be unlocked, so it must not delete anything then.
        if time.monotonic() >= self._call.end:
            raise self._deadline.exceeded()
