# SPDX-FileCopyrightText: The opentalk.maintenance authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""The jobs beside which sessions work, and an installation with work for each of them."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from benchmarks.databases import Databases
from support import installation, shared_folders
from support.cloud_server import CloudServer
from support.keycloak import KeycloakServer, Realm
from support.keycloak_stand_in import KeycloakStandIn
from support.nextcloud import NextcloudServer
from support.object_storage import ObjectStorageServer
from support.postgresql import PostgreSQLServer
from support.s3_proxy import S3Proxy

BUCKET = "beside"
EVENTS = 12_000
SLOW_CLOUD = 0.05

# The first statement of each changes the row of the table itself.
EVENT = (
    "UPDATE events SET title = title WHERE id = %(id)s",
    "UPDATE event_dates SET ends_at = ends_at WHERE event_id = %(id)s",
    "UPDATE rooms SET waiting_room = waiting_room WHERE id = (SELECT room FROM events WHERE id = %(id)s)",
    "INSERT INTO invites (created_by, updated_by, room, active)"
    " SELECT created_by, created_by, room, true FROM events WHERE id = %(id)s",
    "INSERT INTO event_email_invites (event_id, email, created_by)"
    " SELECT id, gen_random_uuid() || '@example.org', created_by FROM events WHERE id = %(id)s",
    "UPDATE assets SET filename = filename WHERE id IN (SELECT asset_id FROM room_assets WHERE room_id ="
    " (SELECT room FROM events WHERE id = %(id)s))",
)
ROOM = (
    "UPDATE rooms SET waiting_room = waiting_room WHERE id = %(id)s",
    "INSERT INTO invites (created_by, updated_by, room, active) SELECT created_by, created_by, id, true FROM rooms"
    " WHERE id = %(id)s",
    "UPDATE assets SET filename = filename WHERE id IN (SELECT asset_id FROM room_assets WHERE room_id = %(id)s)",
)
USER = (
    "UPDATE users SET display_name = display_name WHERE id = %(id)s",
    "UPDATE events SET title = title WHERE created_by = %(id)s",
    "UPDATE events SET title = title WHERE updated_by = %(id)s",
    "UPDATE rooms SET waiting_room = waiting_room WHERE created_by = %(id)s",
    "INSERT INTO rooms (created_by, waiting_room, tenant_id) SELECT id, false, tenant_id FROM users WHERE id = %(id)s",
    "INSERT INTO invites (created_by, updated_by, room, active)"
    " SELECT created_by, created_by, id, true FROM rooms WHERE created_by = %(id)s LIMIT 1",
)
INVITE = ("UPDATE invites SET room = room WHERE id = %(id)s",)
ASSET = (
    "UPDATE assets SET filename = filename WHERE id = %(id)s",
    "INSERT INTO room_assets (room_id, asset_id) SELECT id, %(id)s FROM rooms LIMIT 1 ON CONFLICT DO NOTHING",
)
ONLY_USER = USER[:1]
STALLED_FOLDERS = "a cloud that accepts DELETE and does not answer"
STALLED_OBJECTS = "a storage that accepts DELETE and does not answer"
STALLED_LOOKS = "a storage that accepts HEAD and does not answer"
HEALTHY = "healthy servers"
SLOW = f"a cloud that takes {SLOW_CLOUD:g} s for each request"


@dataclass
class Beside:
    """A job beside which live sessions work.

    :ivar due: a query for the ids of the rows that go, in the job's order
    :ivar kind: what the audit log calls these rows; empty if it does not name them
    :ivar conditions: how the servers behave, one after the other
    :ivar prepare: statements that make work for the job
    """

    module: str
    options: dict[str, Any]
    due: str
    kind: str
    statements: tuple[str, ...]
    conditions: tuple[str, ...] = (HEALTHY,)
    prepare: str = "SELECT"


JOBS = (
    Beside(
        "event_cleanup",
        {},
        "SELECT event_id FROM event_dates WHERE ends_at <= now() - interval '30 days' ORDER BY 1",
        "events",
        EVENT,
        (HEALTHY, SLOW, STALLED_OBJECTS, STALLED_FOLDERS),
    ),
    Beside(
        "adhoc_event_cleanup",
        {},
        "SELECT id FROM events WHERE is_adhoc ORDER BY id",
        "events",
        EVENT,
        (HEALTHY, STALLED_OBJECTS, STALLED_FOLDERS),
        "UPDATE events SET is_adhoc = true, created_at = now() - interval '9 days' WHERE id IN"
        " (SELECT event_id FROM event_dates WHERE ends_at <= now() - interval '30 days')",
    ),
    Beside(
        "room_cleanup",
        {},
        "SELECT id FROM rooms WHERE id NOT IN (SELECT room FROM events) ORDER BY id",
        "rooms",
        ROOM,
        (HEALTHY, STALLED_OBJECTS),
        # Rooms without an event, with invites and the assets of other rooms.
        "INSERT INTO rooms (created_by, waiting_room, tenant_id) SELECT created_by, false, tenant_id FROM rooms"
        " WHERE get_byte(uuid_send(id), 0) % 2 = 0;"
        "INSERT INTO invites (created_by, updated_by, room, active) SELECT created_by, created_by, id, true FROM rooms,"
        " generate_series(1, 3) WHERE id NOT IN (SELECT room FROM events);"
        "UPDATE room_assets a SET room_id = lone.id"
        " FROM (SELECT id, row_number() OVER () AS n FROM rooms WHERE id NOT IN (SELECT room FROM events)) lone,"
        " (SELECT room_id, asset_id, row_number() OVER () AS n FROM room_assets) linked"
        " WHERE linked.n = lone.n AND (a.room_id, a.asset_id) = (linked.room_id, linked.asset_id)",
    ),
    Beside(
        "user_cleanup",
        {"days_since_user_has_been_disabled": 0},
        "SELECT id FROM users WHERE disabled_since <= now() ORDER BY id",
        "users",
        USER,
        (HEALTHY, STALLED_OBJECTS, STALLED_FOLDERS),
        "UPDATE users SET disabled_since = now() WHERE get_byte(uuid_send(id), 0) % 2 = 0",
    ),
    Beside(
        "invite_cleanup",
        {"delete_invites": True},
        "SELECT id FROM invites WHERE NOT active OR expiration < now() ORDER BY id",
        "invites",
        INVITE,
    ),
    Beside(
        "sync_storage_files",
        {"missing_storage_file_handling": "delete_asset_entry", "max_affected_percent": 100},
        "SELECT id FROM assets WHERE get_byte(uuid_send(id), 0) % 2 = 0 ORDER BY id",
        "assets",
        ASSET,
        (HEALTHY, STALLED_LOOKS),
    ),
    Beside(
        "keycloak_account_sync",
        {"max_affected_percent": 100},
        "SELECT id FROM users WHERE disabled_since IS NULL AND get_byte(uuid_send(id), 0) % 2 = 0 ORDER BY id",
        "",
        ONLY_USER,
    ),
)


class Installations:
    """Copies of one installation.

    :param events: the number of events; half of them have ended
    """

    def __init__(self, server: PostgreSQLServer, storage: ObjectStorageServer, events: int) -> None:
        self._server, self._storage = server, storage
        self._databases = Databases(
            server, users=events // 4, events=events, expired=events // 2, invites=3, invitees=5, assets_every=4
        )

    @contextlib.contextmanager
    def open(self, beside: Beside) -> Iterator[tuple[str, S3Proxy, CloudServer, dict[str, Any]]]:
        """A copy of the installation with work for a job, its servers, and the job's options."""
        with contextlib.ExitStack() as stack:
            name = stack.enter_context(self._databases.copy(self._databases.plain))
            proxy = stack.enter_context(S3Proxy(self._storage))
            cloud = stack.enter_context(NextcloudServer("opentalk@example.org", "password"))
            connection = stack.enter_context(contextlib.closing(self._server.connect(name)))
            connection.cursor().execute(beside.prepare)
            connection.commit()
            shared_folders.make(connection, cloud)
            self._databases.vacuum(name)
            options: dict[str, Any] = {"database_url": self._server.url(name), **beside.options}
            if beside.module == "keycloak_account_sync":
                options["keycloak"] = self._keycloak(connection, stack)
            elif beside.module != "invite_cleanup":
                self._fill_bucket(beside, connection, stack)
                options["object_storage"] = {
                    "uri": proxy.url, "bucket": BUCKET, "access_key": self._storage.access_key,
                    "secret_key": self._storage.secret_key, "region": self._storage.region,
                }  # fmt: skip
            if beside.kind in ("events", "rooms", "users"):
                options["shared_folder"] = cloud.settings
            connection.rollback()
            yield name, proxy, cloud, options

    def _fill_bucket(self, beside: Beside, connection: Any, stack: contextlib.ExitStack) -> None:
        missing: set[str] = set()
        if beside.kind == "assets":
            with connection.cursor() as cursor:
                cursor.execute(beside.due)
                missing = {f"assets/{row[0]}" for row in cursor.fetchall()}
        self._storage.create_bucket(BUCKET)
        stack.callback(self._storage.remove_bucket, BUCKET)
        self._storage.upload(BUCKET, [item for item in installation.objects(connection) if item[0] not in missing])

    def _keycloak(self, connection: Any, stack: contextlib.ExitStack) -> dict[str, str]:
        """A realm without the accounts of half of the users."""
        realm = Realm(KeycloakServer(stack.enter_context(KeycloakStandIn()), "for measurements"))
        with connection.cursor() as cursor:
            cursor.execute("SELECT oidc_sub FROM users WHERE get_byte(uuid_send(id), 0) % 2 = 1")
            subjects = [row[0] for row in cursor.fetchall()]
        realm.add({"username": f"user{number}", "attributes": {"id": [sub]}} for number, sub in enumerate(subjects))
        return {**realm.options(realm.server.url), "external_id_user_attribute_name": "id"}
