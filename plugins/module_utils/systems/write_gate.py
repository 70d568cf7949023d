# SPDX-FileCopyrightText: The opentalk.maintenance authors
# SPDX-License-Identifier: GPL-3.0-or-later

"""The one place that decides whether an external system may be written to."""

from __future__ import annotations

READING_METHODS = frozenset({"GET", "HEAD", "PROPFIND", "OPTIONS"})


class WriteGate:
    """Closed in check mode, open otherwise.

    The database session is made read-only when the gate is closed; every HTTP client asks it before each request.

    :param is_open: whether writes may pass
    """

    def __init__(self, *, is_open: bool) -> None:
        self.is_open = is_open

    def check(self, method: str, system: str, *, token_request: bool = False) -> None:
        """Let a request pass or not.

        :param token_request: whether it is a POST that only obtains an access token, which reading needs as well
        :raises RuntimeError: a write was attempted while the gate is closed, which is a bug of this collection
        """
        if self.is_open or method.upper() in READING_METHODS or (token_request and method.upper() == "POST"):
            return
        raise RuntimeError(f"A {method.upper()} request to {system} was stopped: check mode sends no writes.")
