# SPDX-FileCopyrightText: The opentalk.maintenance authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""What may be sent to other systems in check mode."""

from __future__ import annotations

import pytest
from ansible_collections.opentalk.maintenance.plugins.module_utils.systems.write_gate import WriteGate

READING = ["GET", "get", "HEAD", "PROPFIND", "OPTIONS"]
WRITING = ["POST", "PUT", "DELETE", "delete", "PATCH", "MKCOL", "MOVE", "COPY", "PROPPATCH", "LOCK", "WHATEVER", ""]


@pytest.mark.parametrize("method", [*READING, *WRITING])
def test_closed_gate_lets_only_what_reads_pass(method: str) -> None:
    WriteGate(is_open=True).check(method, "the cloud")
    closed = WriteGate(is_open=False)
    if method in READING:
        closed.check(method, "the cloud")
        return
    with pytest.raises(RuntimeError, match=f"{method.upper()} request to the cloud was stopped"):
        closed.check(method, "the cloud")


def test_token_can_be_had_in_check_mode_but_by_nothing_else() -> None:
    closed = WriteGate(is_open=False)
    closed.check("post", "Keycloak", token_request=True)
    with pytest.raises(RuntimeError):
        closed.check("DELETE", "Keycloak", token_request=True)
