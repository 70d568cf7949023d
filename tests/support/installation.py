# SPDX-FileCopyrightText: The opentalk.maintenance authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""A realistic OpenTalk installation of any size, written with few statements."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

# The kinds of events, in turn. The age of an event is in days: since its end, or since its first occurrence.
KINDS = (
    "ended", "ended", "ended", "recent", "future", "undated", "adhoc", "endless", "finished", "unfinished", "all_day",
)  # fmt: skip


def fill(
    connection: Any,
    *,
    seed: int,
    users: int,
    events: int,
    invites: int = 3,
    invitees: int = 2,
    expired: int | None = None,
    assets_every: int = 5,
    folders: bool = True,
) -> None:
    """Fill an empty database of any supported schema, and commit. The same seed gives the same ids.

    :param invites: the number of invites of each room
    :param invitees: the number of invitations to each event; one user may have two
    :param expired: if given, so many events ended long ago and all others are in the future
    :param assets_every: one of so many rooms has one to three assets; 0 for no assets
    :param folders: whether every fifteenth event has a shared folder
    """
    writer = _Writer(connection, seed)
    writer.people(users)
    writer.events(users, events, expired)
    writer.belongings(users, invites, invitees)
    if assets_every:
        writer.assets(assets_every)
    if folders:
        writer.shared_folders()
    if writer.has("casbin_rule"):
        writer.permissions()
    writer.run("ANALYZE")
    connection.commit()


def objects(connection: Any) -> Iterator[tuple[str, int]]:
    """The key and the size in bytes of the object of every asset."""
    with connection.cursor() as cursor:
        cursor.execute("SELECT 'assets/' || id, size FROM assets ORDER BY id")
        yield from cursor.fetchall()
    connection.rollback()


class _Writer:
    def __init__(self, connection: Any, seed: int) -> None:
        self._cursor = connection.cursor()
        self._seed = seed
        self._cursor.execute(
            "SELECT table_name, column_name FROM information_schema.columns WHERE table_schema = current_schema()"
        )
        self._columns = set(self._cursor.fetchall())
        # The ids and numbers depend only on the seed.
        self.run(
            "CREATE FUNCTION pg_temp.id(kind text, n bigint) RETURNS uuid LANGUAGE sql IMMUTABLE AS"
            f" $$ SELECT md5('{seed}:' || kind || ':' || n)::uuid $$;"
            "CREATE FUNCTION pg_temp.pick(kind text, n bigint, size bigint) RETURNS bigint LANGUAGE sql IMMUTABLE AS"
            f" $$ SELECT ('x' || substr(md5('{seed}:pick:' || kind || ':' || n), 1, 8))::bit(32)::bigint % size $$;"
        )

    def has(self, table: str, column: str | None = None) -> bool:
        return any(name == table and column in (None, other) for name, other in self._columns)

    def run(self, statement: str, **parameters: Any) -> None:
        self._cursor.execute(statement, parameters or None)

    def people(self, users: int) -> None:
        themes = ", 'system', 'system'" if self.has("users", "created_at") else ", 'system', 'light'"
        self.run(
            "INSERT INTO tenants (id, oidc_tenant_id) SELECT pg_temp.id('tenant', n), 'tenant-' || n"
            " FROM generate_series(0, 1) n;"
            "INSERT INTO tariffs (id, name, quotas, disabled_modules) SELECT pg_temp.id('tariff', n), 'tariff-' || n,"
            " '{}', '{}' FROM generate_series(0, 2) n;"
            "INSERT INTO external_tariffs (external_id, tariff_id) SELECT 'external-' || n, pg_temp.id('tariff', n)"
            " FROM generate_series(0, 2) n;"
            "INSERT INTO groups (id, name, tenant_id) SELECT pg_temp.id('group', n), 'department-' || n,"
            " pg_temp.id('tenant', n % 2) FROM generate_series(0, 9) n;"
            "INSERT INTO jobs (name, kind, parameters, timeout_secs, recurrence)"
            " VALUES ('nightly', 'event_cleanup', '{}', 3600, 'RRULE:FREQ=DAILY');"
            "INSERT INTO job_executions (job_id, started_at, job_status) SELECT id, now(), 'succeeded' FROM jobs;"
            "INSERT INTO job_execution_logs (execution_id, logged_at, log_level, log_message)"
            " SELECT id, now(), 'info', 'Starting job execution' FROM job_executions"
        )
        self.run(
            "INSERT INTO users (id, oidc_sub, email, title, firstname, lastname, language, display_name,"
            " dashboard_theme, conference_theme, tenant_id, tariff_id, disabled_since, timezone)"
            " SELECT pg_temp.id('user', n), pg_temp.id('account', n)::text, 'user' || n || '@example.org', '',"
            "  (ARRAY['Ada', 'Björn', 'Chloé', 'Dörte', 'Emre'])[1 + n % 5], 'Example-' || n, 'de', 'Example ' || n"
            f" {themes}, pg_temp.id('tenant', n % 2), pg_temp.id('tariff', n % 3),"
            "  CASE WHEN n % 10 = 9 THEN now() - (n % 90) * interval '1 day' END, 'Europe/Berlin'"
            f" FROM generate_series(0, {users - 1}) n;"
            "INSERT INTO user_groups (user_id, group_id) SELECT pg_temp.id('user', n), pg_temp.id('group', n % 10)"
            f" FROM generate_series(0, {users - 1}) n"
        )

    def events(self, users: int, events: int, expired: int | None) -> None:
        kind = (
            f"(ARRAY[{', '.join(map(repr, KINDS))}])[1 + n % {len(KINDS)}]"
            if expired is None
            else f"CASE WHEN n::bigint * {expired} % {events} < {expired} THEN 'ended' ELSE 'future' END"
        )
        self.run(
            f"CREATE TEMP TABLE plan AS SELECT n, pg_temp.id('event', n) AS id, pg_temp.id('room', n) AS room,"
            f" pg_temp.id('user', pg_temp.pick('owner', n, {users})) AS owner,"
            f" pg_temp.id('user', pg_temp.pick('editor', n, {users})) AS editor,"
            f" {kind} AS kind, pg_temp.pick('age', n, 600) AS age FROM generate_series(0, {events - 1}) n;"
            "ALTER TABLE plan ADD starts_at timestamptz, ADD ends_at timestamptz, ADD pattern text;"
            "UPDATE plan SET starts_at = date_trunc('hour', now()) - CASE kind"
            "  WHEN 'ended' THEN (32 + age) * interval '1 day' WHEN 'all_day' THEN (32 + age) * interval '1 day'"
            "  WHEN 'recent' THEN (1 + age % 28) * interval '1 day' WHEN 'adhoc' THEN (age % 20) * interval '6 hours'"
            "  WHEN 'future' THEN (-1 - age) * interval '1 day' WHEN 'endless' THEN (300 + age) * interval '1 day'"
            "  WHEN 'finished' THEN (200 + age) * interval '1 day' WHEN 'unfinished' THEN 100 * interval '1 day' END;"
            "UPDATE plan SET pattern = CASE kind WHEN 'endless' THEN 'RRULE:FREQ=WEEKLY'"
            "  WHEN 'finished' THEN 'RRULE:FREQ=WEEKLY;COUNT=8' WHEN 'unfinished' THEN 'RRULE:FREQ=WEEKLY;COUNT=60' END,"
            " ends_at = starts_at + CASE kind WHEN 'all_day' THEN interval '1 day' WHEN 'finished' THEN interval '50 days'"
            "  WHEN 'unfinished' THEN interval '414 days' WHEN 'endless' THEN interval '40 years'"
            "  ELSE interval '1 hour' END WHERE kind <> 'undated';"
            "INSERT INTO rooms (id, created_by, password, waiting_room, tenant_id) SELECT room,"
            " CASE WHEN n % 7 = 0 THEN editor ELSE owner END,"
            " CASE WHEN n % 3 = 0 THEN 'room-password' END, false, pg_temp.id('tenant', n % 2) FROM plan;"
            # Rooms without an event, as failed deletions leave them.
            "INSERT INTO rooms (id, created_by, waiting_room, tenant_id) SELECT pg_temp.id('lone room', n), owner, false,"
            " pg_temp.id('tenant', n % 2) FROM plan WHERE n % 40 = 0"
        )
        values = {
            "starts_at": "starts_at",
            "starts_at_tz": "zone",
            "ends_at": "ends_at",
            "ends_at_tz": "zone",
            "is_all_day": "kind = 'all_day'",
            "duration_secs": "3600",
            "recurrence_pattern": "pattern",
            "is_recurring": "pattern IS NOT NULL",
        }
        inline = {
            column: value if column == "is_recurring" else f"CASE WHEN starts_at IS NOT NULL THEN {value} END"
            for column, value in values.items()
            if self.has("events", column)
        }
        if self.has("events", "is_time_independent"):
            inline["is_time_independent"] = "starts_at IS NULL"
        source = (
            "(SELECT *, CASE WHEN starts_at IS NOT NULL THEN"
            " (ARRAY['Europe/Berlin', 'America/New_York', 'Asia/Tokyo'])[1 + n % 3] END AS zone FROM plan) p"
        )
        self.run(
            "INSERT INTO events (id, title, description, room, created_by, created_at, updated_by, is_adhoc, tenant_id"
            f" {''.join(', ' + column for column in inline)})"
            " SELECT id, 'Meeting ' || n, 'About topic ' || n, room, owner, least(now(), coalesce(starts_at, now())),"
            "  CASE WHEN n % 4 = 0 THEN editor ELSE owner END, kind = 'adhoc', pg_temp.id('tenant', n % 2)"
            f" {''.join(', ' + value for value in inline.values())} FROM {source}"
        )
        if self.has("event_dates"):
            columns = [column for column in values if self.has("event_dates", column)]
            self.run(
                f"INSERT INTO event_dates (event_id, {', '.join(columns)})"
                f" SELECT id, {', '.join(values[column] for column in columns)} FROM {source} WHERE starts_at IS NOT NULL"
            )
        if self.has("event_recurrences"):
            self.run(
                "INSERT INTO event_recurrences (event_id, recurrence_pattern)"
                " SELECT id, pattern FROM plan WHERE pattern IS NOT NULL"
            )

    def belongings(self, users: int, invites: int, invitees: int) -> None:
        user = f"pg_temp.id('user', pg_temp.pick('%s' || k, n, {users}))"
        self.run(
            "INSERT INTO invites (id, created_by, updated_by, room, active, expiration)"
            " SELECT pg_temp.id('invite ' || k, n), owner, CASE WHEN k = 2 THEN editor ELSE owner END, room, k <> 3,"
            "  CASE WHEN k = 1 THEN now() - age * interval '1 day' END"
            f" FROM plan, generate_series(1, {invites}) k;"
            "INSERT INTO event_invites (event_id, invitee, created_by, status)"
            f" SELECT id, {user % 'invitee'}, owner, 'accepted' FROM plan, generate_series(1, {invitees}) k"
            " ON CONFLICT DO NOTHING;"
            "INSERT INTO event_favorites (user_id, event_id) SELECT invitee, event_id FROM event_invites"
            "  WHERE get_byte(uuid_send(event_id), 0) % 8 = 0;"
            "INSERT INTO event_email_invites (event_id, email, created_by)"
            " SELECT id, 'guest' || n || '@example.net', editor FROM plan WHERE n % 4 = 0;"
            "INSERT INTO event_exceptions (id, event_id, exception_date, exception_date_tz, created_by, kind)"
            " SELECT pg_temp.id('exception', n), id, starts_at + interval '7 days', 'Europe/Berlin', owner, 'cancelled'"
            "  FROM plan WHERE pattern IS NOT NULL AND n % 2 = 0;"
            "INSERT INTO event_training_participation_report_parameter_sets"
            " SELECT id, 60, 120, 300, 600 FROM plan WHERE n % 25 = 0;"
            "INSERT INTO sip_configs (room, sip_id, password, enable_lobby)"
            " SELECT room, lpad(n::text, 10, '0'), '0123456789', false FROM plan WHERE n % 6 = 0;"
            "INSERT INTO room_streaming_targets (id, room_id, name, kind, streaming_endpoint, streaming_key, public_url)"
            " SELECT pg_temp.id('target', n), room, 'Stream', 'custom', 'rtmp://stream.example.org', 'stream-key',"
            "  'https://stream.example.org/' || n FROM plan WHERE n % 20 = 0;"
            "INSERT INTO module_resources (id, tenant_id, room_id, created_by, namespace, data)"
            " SELECT pg_temp.id('resource', n), pg_temp.id('tenant', n % 2), room, editor, 'legal_vote', '{}'"
            "  FROM plan WHERE n % 10 = 0"
        )
        lone = "rooms r WHERE NOT EXISTS (SELECT FROM events e WHERE e.room = r.id)"
        self.run(
            "INSERT INTO invites (created_by, updated_by, room, active)"
            f" SELECT created_by, created_by, id, true FROM {lone};"
            "INSERT INTO sip_configs (room, sip_id, password, enable_lobby)"
            f" SELECT id, 'L' || lpad(id_serial::text, 9, '0'), '0123456789', false FROM {lone};"
            "INSERT INTO room_streaming_targets (room_id, name, kind, streaming_endpoint, streaming_key, public_url)"
            f" SELECT id, 'Stream', 'custom', 'rtmp://stream.example.org', 'stream-key', '' FROM {lone};"
            "INSERT INTO module_resources (tenant_id, room_id, created_by, namespace, data)"
            f" SELECT tenant_id, id, created_by, 'poll', '{{}}' FROM {lone}"
        )

    def assets(self, every: int) -> None:
        self.run(
            "CREATE TEMP TABLE asset_plan AS SELECT pg_temp.id('asset ' || k, n) AS id, room, n, k"
            f"  FROM plan, generate_series(1, 3) k WHERE n % {every} = 0 AND k <= 1 + n % 3;"
            "INSERT INTO asset_plan SELECT pg_temp.id('lone asset', r.id_serial), r.id, r.id_serial, 4 FROM rooms r"
            "  WHERE NOT EXISTS (SELECT FROM events e WHERE e.room = r.id);"
            "INSERT INTO assets (id, namespace, kind, filename, tenant_id, size)"
            " SELECT id, 'recording', 'recording-render', 'recording-' || n || '-' || k || '.webm',"
            "  pg_temp.id('tenant', n % 2), 1 + pg_temp.pick('size' || k, n, 16384) FROM asset_plan;"
            "INSERT INTO room_assets (room_id, asset_id) SELECT room, id FROM asset_plan"
        )

    def shared_folders(self) -> None:
        provider = (
            ("provider_data", "jsonb_build_object('type', 'nextcloud', 'write_share_id', n::text,"
             " 'read_share_id', (n + 1)::text)")
            if self.has("event_shared_folders", "provider_data")
            else ("write_share_id, read_share_id", "n::text, (n + 1)::text")
        )  # fmt: skip
        self.run(
            f"INSERT INTO event_shared_folders (event_id, path, {provider[0]}, write_url, write_password, read_url,"
            f" read_password) SELECT id, 'opentalk/meetings/' || id, {provider[1]}, 'https://cloud.example.org/w/' || n,"
            "  'write-secret', 'https://cloud.example.org/r/' || n, 'read-secret' FROM plan WHERE n % 15 = 0"
        )

    def permissions(self) -> None:
        paths = {
            "'/rooms/' || room": "get|put", "'/rooms/' || room || '/invites'": "get|post",
            "'/rooms/' || room || '/invites/*'": "get|put|delete", "'/rooms/' || room || '/start'": "post",
            "'/events/' || id": "get|patch|delete", "'/events/' || id || '/invites'": "get|post",
            "'/users/me/event_favorites/' || id": "put|delete",
        }  # fmt: skip
        for path, access in paths.items():
            self._permit(f"SELECT 'user::' || owner, {path}, '{access}' FROM plan")
        self._permit("SELECT 'invite::' || id, '/rooms/' || room || '/start', 'post' FROM invites")
        self._permit("SELECT 'user::' || created_by, '/module_resources/' || id, 'get|put' FROM module_resources")
        self._permit("SELECT 'role::user', path, 'get' FROM unnest(ARRAY['/users/me', '/rooms', '/events']) path")
        self.run(
            "INSERT INTO casbin_rule (ptype, v0, v1, v2, v3, v4, v5)"
            " SELECT 'g', 'user::' || user_id, 'group::' || group_id, '', '', '', '' FROM user_groups"
        )

    def _permit(self, query: str) -> None:
        self.run(
            "INSERT INTO casbin_rule (ptype, v0, v1, v2, v3, v4, v5)"
            f" SELECT 'p', subject, path, access, '', '', '' FROM ({query}) permission (subject, path, access)"
        )
