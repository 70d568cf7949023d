# SPDX-FileCopyrightText: The opentalk.maintenance authors
# SPDX-License-Identifier: GPL-3.0-or-later

"""Reads all accounts of a realm page by page, and refuses a list that may be incomplete.

Keycloak pages by offset. If an account is created or removed meanwhile, all later accounts move, and one of them may come
twice or not at all.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass

from ...base.errors import KeycloakError
from ...base.log import JobLog
from ...base.progress import Progress
from ...systems.keycloak import Account, Keycloak

ATTEMPTS = 2


@dataclass(frozen=True)
class Accounts:
    """The accounts of a realm.

    :ivar enabled: the keys of the enabled accounts; a key matches a user
    :ivar count: the number of accounts
    :ivar matched_by_id: the number of accounts whose key is their id
    :ivar ambiguous: the number of keys that an enabled and a disabled account have in common
    """

    enabled: frozenset[str]
    count: int
    matched_by_id: int
    ambiguous: int


def read(keycloak: Keycloak, page_size: int, log: JobLog, progress: Progress) -> Accounts:
    """All accounts of the realm.

    :param progress: gets the number of accounts that are listed
    :raises KeycloakError: a request failed, or the length of the list differed from Keycloak's count twice
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
    for page in _pages(keycloak, page_size, expected):
        advance(len(page))
        for account in page:
            known = accounts.get(account.id)
            # If an account comes twice, it counts as enabled if it is enabled once, so that nobody is disabled.
            if known is None or account.enabled > known.enabled:
                accounts[account.id] = account
        # A page may be shorter than the page size although there are more accounts.
        if not page or (len(page) < page_size and len(accounts) >= expected):
            break
    return accounts


def _pages(keycloak: Keycloak, page_size: int, expected: int) -> Iterator[list[Account]]:
    """The pages in their order. While one is worked on, the next one is fetched, if there should be one."""
    first = 0
    ahead: Future[list[Account]] | None = None
    with ThreadPoolExecutor(max_workers=1) as worker:
        # A server that repeats the same accounts is not asked for ever.
        while first <= 2 * expected + page_size:
            page = (ahead or worker.submit(keycloak.page, first, page_size)).result()
            first += len(page)
            # Behind a short page, the next one begins elsewhere.
            is_full = len(page) == page_size
            ahead = worker.submit(keycloak.page, first, page_size) if is_full and first < expected else None
            yield page


def _accounts(listed: dict[str, Account]) -> Accounts:
    enabled = frozenset(account.key for account in listed.values() if account.enabled)
    disabled = {account.key for account in listed.values() if not account.enabled}
    return Accounts(
        enabled=enabled,
        count=len(listed),
        matched_by_id=sum(account.key == account.id for account in listed.values()),
        ambiguous=len(enabled & disabled),
    )
