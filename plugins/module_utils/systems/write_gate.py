# SPDX-FileCopyrightText: The opentalk.maintenance authors
# SPDX-License-Identifier: GPL-3.0-or-later

"""The one place that decides whether a run may write to external systems."""

from __future__ import annotations

READING_METHODS = frozenset({"GET", "HEAD", "PROPFIND", "OPTIONS"})


class WriteGate:
    """Closed in a preview, open otherwise.

    A closed gate makes the database session read-only. Every HTTP client asks the gate before each request.

    :param is_open: whether writes may pass
    """

    def __init__(self, *, is_open: bool) -> None:
        self.is_open = is_open

    def check(self, method: str, system: str, *, token_request: bool = False) -> None:
        """Stop a request that writes while the gate is closed.

        :param token_request: whether this is a POST that only obtains an access token; reading needs one, too
        :raises RuntimeError: the request is stopped; that it was made is a bug of this collection
        """
        if self.is_open or method.upper() in READING_METHODS or (token_request and method.upper() == "POST"):
            return
        raise RuntimeError(f"A {method.upper()} request to {system} was stopped: check mode sends no writes.")
