# SPDX-FileCopyrightText: The opentalk.maintenance authors
# SPDX-License-Identifier: GPL-3.0-or-later

"""A function of libpq that psycopg2 does not offer."""

from __future__ import annotations

import contextlib
import ctypes
import functools
from typing import Any

try:
    import psycopg2
except ImportError:
    psycopg2 = None  # type: ignore[assignment]

# https://www.postgresql.org/docs/current/libpq-control.html#LIBPQ-PQSETERRORVERBOSITY
_VERBOSE = 2


def make_verbose(connection: Any) -> None:
    """Let the texts of errors on a connection have the SQLSTATE. Nothing happens where libpq cannot be reached in this way.

    :param connection: a psycopg2 connection, which may still be under way
    """
    function, pointer = _function(), getattr(connection, "pgconn_ptr", None)
    if function is not None and pointer:
        function(pointer, _VERBOSE)


@functools.cache
def _function() -> Any:
    # A symbol is also looked for in the libraries that the named one needs. So it is found in the libpq of psycopg2.
    with contextlib.suppress(AttributeError, OSError):
        function = ctypes.CDLL(psycopg2._psycopg.__file__).PQsetErrorVerbosity
        function.argtypes, function.restype = [ctypes.c_void_p, ctypes.c_int], ctypes.c_int
        return function
    return None
