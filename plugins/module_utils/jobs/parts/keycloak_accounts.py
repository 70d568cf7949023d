# SPDX-FileCopyrightText: The opentalk.maintenance authors
# SPDX-License-Identifier: GPL-3.0-or-later

"""Reading all accounts of a realm page by page, and refusing a list that may be incomplete.

Keycloak pages by offset, so that an account which is created or removed meanwhile shifts all later ones: one of them may
come twice or not at all.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from ...base.errors import KeycloakError
from ...base.log import JobLog
from ...base.progress import Progress
from ...systems.keycloak import Account, Keycloak

ATTEMPTS = 2


@dataclass(frozen=True)
class Accounts:
    """The accounts of a realm.

    :ivar enabled: what users are matched by, of the accounts that are enabled
    :ivar count: how many accounts there are
    :ivar matched_by_id: how many of them are matched by their id
    :ivar ambiguous: how many keys belong to an enabled account and to another one that is not
    """

    enabled: frozenset[str]
    count: int
    matched_by_id: int
    ambiguous: int


def read(keycloak: Keycloak, page_size: int, log: JobLog, progress: Progress) -> Accounts:
    """All accounts of the realm.

    :param progress: is told how many are listed
    :raises KeycloakError: a request failed, or the list differs in length from what Keycloak counts, twice
    """
    for attempt in range(1, ATTEMPTS + 1):
        before = keycloak.count()
        listed = _list(keycloak, page_size, before, progress.stage("accounts listed", before))
        after = keycloak.count()
        if before == len(listed) == after:
            return _accounts(listed)
        numbers = f"{before} counted before, {len(listed)} listed, {after} counted after"
        if attempt < ATTEMPTS:
            log.warn(f"The numbers of accounts do not agree ({numbers}), so all are listed again")
    raise KeycloakError(
        f"Keycloak's list of accounts may be incomplete, as the numbers do not agree ({numbers}), so nothing was changed;"
        " run the job again when no accounts are being created or removed."
    )


def _list(keycloak: Keycloak, page_size: int, expected: int, advance: Callable[[int], None]) -> dict[str, Account]:
    accounts: dict[str, Account] = {}
    received = 0
    # A server that goes on giving the same accounts is not asked for ever.
    while received <= 2 * expected + page_size:
        page = keycloak.page(received, page_size)
        received += len(page)
        advance(len(page))
        for account in page:
            known = accounts.get(account.id)
            # Of two answers about one account, the one counts that disables nobody.
            if known is None or account.enabled > known.enabled:
                accounts[account.id] = account
        # A server may give less than it was asked for, though there is more.
        if not page or (len(page) < page_size and len(accounts) >= expected):
            break
    return accounts


def _accounts(listed: dict[str, Account]) -> Accounts:
    enabled = frozenset(account.key for account in listed.values() if account.enabled)
    disabled = {account.key for account in listed.values() if not account.enabled}
    return Accounts(
        enabled=enabled,
        count=len(listed),
        matched_by_id=sum(account.key == account.id for account in listed.values()),
        ambiguous=len(enabled & disabled),
    )
