# SPDX-FileCopyrightText: The opentalk.maintenance authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""What a database has that keeps jobs from doing what they report: jobs refuse before they touch anything, or warn."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Any

import pytest
from ansible_collections.opentalk.maintenance.plugins.module_utils.base.deadline import Deadline
from ansible_collections.opentalk.maintenance.plugins.module_utils.base.errors import SchemaError
from ansible_collections.opentalk.maintenance.plugins.module_utils.deletion import hindrances
from ansible_collections.opentalk.maintenance.plugins.module_utils.deletion.catalogue import read_catalogue
from ansible_collections.opentalk.maintenance.plugins.module_utils.deletion.graph import DeletionGraph
from ansible_collections.opentalk.maintenance.plugins.module_utils.systems import http_session
from ansible_collections.opentalk.maintenance.plugins.module_utils.systems.database import Database

from support.messages import is_sentence
from support.schemas import SCHEMAS
from support.snapshot import deleted
from support.world import World

Open = Callable[..., World]
ROOTS = ("events", "rooms", "users", "invites", "assets")
DELETES_ROWS = {"missing_storage_file_handling": "delete_asset_entry"}
NOTES = "CREATE TABLE notes (n serial PRIMARY KEY, thing uuid {}); "
KEEP = (
    "CREATE FUNCTION keep() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN RETURN NULL; END $$;"
    "CREATE FUNCTION pass() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN RETURN coalesce(NEW, OLD); END $$; "
)
PARTITIONED = (
    "CREATE TABLE notes (event_id uuid REFERENCES events ON DELETE CASCADE) PARTITION BY HASH (event_id);"
    "CREATE TABLE notes_0 PARTITION OF notes FOR VALUES WITH (MODULUS 2, REMAINDER 0);"
    "CREATE TABLE notes_1 PARTITION OF notes FOR VALUES WITH (MODULUS 2, REMAINDER 1); "
)


@dataclass
class Refused:
    """A database in which jobs refuse to work.

    :ivar make: SQL that makes the hindrance
    :ivar remedy: SQL that takes it away, as the message says
    :ivar words: what the message must name
    :ivar jobs: the jobs that refuse
    :ivar others: jobs that are not concerned
    """

    make: str
    remedy: str
    words: tuple[str, ...]
    jobs: tuple[str, ...]
    others: tuple[str, ...] = ()
    options: dict[str, Any] = field(default_factory=dict)


REFUSED = {
    "publication of all tables": Refused(
        NOTES.format("REFERENCES events ON DELETE CASCADE").replace(" PRIMARY KEY", "")
        + "CREATE PUBLICATION everything FOR ALL TABLES",
        "ALTER TABLE notes REPLICA IDENTITY FULL",
        ("table notes is in a publication (everything)", "DELETE", "REPLICA IDENTITY FULL"),
        ("event_cleanup", "adhoc_event_cleanup", "room_cleanup", "user_cleanup"),
        ("sync_storage_files",),
    ),
    "publication of one table": Refused(
        "ALTER TABLE assets REPLICA IDENTITY NOTHING; CREATE PUBLICATION few FOR TABLE assets WITH (publish = 'delete')",
        "ALTER TABLE assets REPLICA IDENTITY DEFAULT",
        ("table assets", "(few)", "replica identity"),
        ("event_cleanup", "room_cleanup", "user_cleanup"),
        # It changes sizes only, and changes are not published.
        ("sync_storage_files",),
    ),
    "publication of changes": Refused(
        "ALTER TABLE events REPLICA IDENTITY NOTHING; CREATE PUBLICATION few FOR TABLE events WITH (publish = 'update')",
        "ALTER PUBLICATION few SET (publish = 'insert')",
        ("table events", "refuses UPDATE"),
        ("user_cleanup",),
        ("event_cleanup", "room_cleanup"),
    ),
    "publication of a partitioned table": Refused(
        PARTITIONED + "CREATE PUBLICATION few FOR TABLE notes WITH (publish_via_partition_root);"
        "ALTER TABLE notes_0 REPLICA IDENTITY FULL",
        "ALTER TABLE notes_1 REPLICA IDENTITY FULL",
        ("table notes (its part notes_1)",),
        ("event_cleanup", "user_cleanup"),
    ),
    "publication with a row filter": Refused(
        "CREATE PUBLICATION few FOR TABLE rooms WHERE (waiting_room), TABLE events WHERE (id IS NOT NULL)",
        "ALTER TABLE rooms REPLICA IDENTITY FULL",
        ("table rooms", "row filter"),
        ("event_cleanup", "room_cleanup", "user_cleanup"),
        ("invite_cleanup",),
    ),
    "publication with a column list": Refused(
        "CREATE PUBLICATION few FOR TABLE rooms (waiting_room), TABLE events (id, title)",
        "ALTER PUBLICATION few SET TABLE rooms (id, waiting_room)",
        ("table rooms", "columns"),
        ("event_cleanup", "room_cleanup", "user_cleanup"),
    ),
    "rule in place of a deletion": Refused(
        "CREATE RULE keep AS ON DELETE TO event_invites DO INSTEAD NOTHING",
        "ALTER TABLE event_invites DISABLE RULE keep",
        ("table event_invites", "rule on DELETE (keep)"),
        ("event_cleanup", "user_cleanup"),
    ),
    "rule besides a deletion": Refused(
        "CREATE RULE also AS ON DELETE TO invites DO ALSO NOTHING",
        "DROP RULE also ON invites",
        ("table invites", "rule on DELETE (also)"),
        ("event_cleanup", "room_cleanup", "user_cleanup"),
        ("sync_storage_files", "invite_cleanup"),
    ),
    "rule on what is deleted on demand": Refused(
        "CREATE RULE also AS ON DELETE TO invites DO ALSO NOTHING",
        "DROP RULE also ON invites",
        ("table invites", "rule on DELETE (also)"),
        ("invite_cleanup",),
        options={"delete_invites": True},
    ),
    "rule on a change": Refused(
        "CREATE RULE keep AS ON UPDATE TO events WHERE OLD.title = 'x' DO INSTEAD NOTHING",
        "DROP RULE keep ON events",
        ("table events", "rule on UPDATE (keep)"),
        ("user_cleanup",),
        ("event_cleanup",),
    ),
    "rule on the rows of assets": Refused(
        "CREATE RULE keep AS ON DELETE TO room_assets DO INSTEAD NOTHING",
        "DROP RULE keep ON room_assets",
        ("table room_assets",),
        ("sync_storage_files",),
        options=DELETES_ROWS,
    ),
    "rule on the sizes of assets": Refused(
        "CREATE RULE keep AS ON UPDATE TO assets DO INSTEAD NOTHING",
        "DROP RULE keep ON assets",
        ("table assets", "rule on UPDATE"),
        ("sync_storage_files",),
        ("event_cleanup",),
    ),
    "reference that cannot be empty": Refused(
        NOTES.format("NOT NULL REFERENCES rooms ON DELETE SET NULL"),
        "ALTER TABLE notes ALTER thing DROP NOT NULL",
        ("table notes", "SET NULL", "(thing)"),
        ("event_cleanup", "room_cleanup", "user_cleanup"),
    ),
    "reference whose second column cannot be empty": Refused(
        "ALTER TABLE rooms ADD UNIQUE (id, tenant_id); CREATE TABLE notes (thing uuid, tenant uuid NOT NULL,"
        " FOREIGN KEY (thing, tenant) REFERENCES rooms (id, tenant_id) ON DELETE SET NULL)",
        "ALTER TABLE notes DROP CONSTRAINT notes_thing_tenant_fkey, ADD FOREIGN KEY (thing, tenant)"
        " REFERENCES rooms (id, tenant_id) ON DELETE SET NULL (thing)",
        ("table notes", "(tenant)"),
        ("event_cleanup", "room_cleanup"),
    ),
    "reference whose domain cannot be empty": Refused(
        "CREATE DOMAIN given AS uuid NOT NULL;" + NOTES.format("").replace("uuid", "given")
        + "ALTER TABLE notes ADD FOREIGN KEY (thing) REFERENCES rooms ON DELETE SET NULL",
        "ALTER DOMAIN given DROP NOT NULL",
        ("table notes", "(thing)"),
        ("event_cleanup", "room_cleanup"),
    ),
    "foreign keys of a referring table": Refused(
        "ALTER TABLE event_favorites DISABLE TRIGGER ALL",
        "ALTER TABLE event_favorites ENABLE TRIGGER ALL",
        ("table event_favorites are not checked", "ALTER TABLE event_favorites ENABLE TRIGGER ALL"),
        ("event_cleanup", "user_cleanup"),
        ("invite_cleanup", "sync_storage_files"),
    ),
    "foreign keys of a table that is referred to": Refused(
        "ALTER TABLE rooms DISABLE TRIGGER ALL",
        "ALTER TABLE rooms ENABLE TRIGGER ALL",
        ("table rooms are not checked",),
        ("event_cleanup", "room_cleanup", "user_cleanup"),
    ),
    "several at once": Refused(
        "CREATE RULE one AS ON DELETE TO invites DO ALSO NOTHING; CREATE RULE two AS ON DELETE TO sip_configs DO ALSO NOTHING;"
        + NOTES.format("NOT NULL REFERENCES rooms ON DELETE SET NULL"),
        "DROP TABLE notes; DROP RULE one ON invites; DROP RULE two ON sip_configs",
        ("table invites has a rule on DELETE (one)", "table sip_configs has a rule on DELETE (two)", "table notes"),
        ("event_cleanup", "room_cleanup"),
    ),
}  # fmt: skip


@pytest.fixture
def filled(open_world: Open) -> Callable[[int], World]:
    def make(version: int) -> World:
        world = open_world(version)
        world.fill(users=50, events=44)
        return world

    return make


@pytest.fixture
def limited(postgresql: Any) -> Iterator[Callable[[World], str]]:
    """Gives the URL of a role that may do everything with the rows, but owns no table."""
    worlds: list[World] = []

    def make(world: World) -> str:
        worlds.append(world)
        world.query(
            "CREATE ROLE limited LOGIN PASSWORD 'limited'; GRANT ALL ON ALL TABLES IN SCHEMA public TO limited;"
            "GRANT ALL ON SCHEMA public TO limited"
        )
        return world.server.url(world.database, user="limited", password="limited")

    yield make
    for world in worlds:
        world.query("DROP OWNED BY limited; DROP ROLE limited")


def check_refused(world: World, module: str, words: tuple[str, ...], **options: Any) -> None:
    rows, objects = world.rows(), world.objects()
    world.proxy.clear()
    for check_mode in (True, False):
        result = world.run(module, check_mode=check_mode, **options)
        assert result["failed"] and not result["changed"], module
        assert is_sentence(result["msg"]) and all(word in result["msg"] for word in words), result["msg"]
        assert all(not listing["count"] for listing in result["plan"].values() if "count" in listing)
    assert world.rows() == rows and world.objects() == objects and world.proxy.writes == []


def check_not_refused(world: World, module: str, **options: Any) -> dict[str, Any]:
    result = world.run(module, check_mode=True, **options)
    assert not result.get("failed"), (module, result["msg"])
    return result


@pytest.mark.parametrize("version", [52, 67])
@pytest.mark.parametrize("name", REFUSED)
def test_refused(filled: Callable[[int], World], name: str, version: int) -> None:
    world, case = filled(version), REFUSED[name]
    world.query(case.make)
    for module in case.jobs:
        check_refused(world, module, case.words, **case.options)
    for module in case.others:
        check_not_refused(world, module)
    world.query(case.remedy)
    for module in case.jobs:
        check_not_refused(world, module, **case.options)
    # What the last job's preview promised can be done now.
    rows, plan = world.rows(), check_not_refused(world, case.jobs[-1], **case.options)["plan"]
    run = world.run(case.jobs[-1], **case.options)
    assert not run.get("failed"), run["msg"]
    assert deleted(rows, world.rows()) == plan["rows_deleted"] == run["done"]["rows_deleted"]
    assert plan["rows_deleted"] or case.jobs == ("sync_storage_files",)


@pytest.mark.parametrize("name", ["rule", "publication", "identity"])
def test_permissions(filled: Callable[[int], World], name: str) -> None:
    world = filled(52)
    world.query(
        {
            "rule": "CREATE RULE keep AS ON DELETE TO casbin_rule DO INSTEAD NOTHING",
            "publication": "ALTER TABLE casbin_rule DROP CONSTRAINT casbin_rule_pkey; CREATE PUBLICATION p FOR ALL TABLES",
            "identity": "ALTER TABLE casbin_rule REPLICA IDENTITY NOTHING; CREATE PUBLICATION p FOR TABLE casbin_rule",
        }[name]
    )
    for module in ("invite_cleanup", "event_cleanup", "user_cleanup"):
        check_refused(world, module, ("table casbin_rule",))
    check_refused(world, "sync_storage_files", ("table casbin_rule",), **DELETES_ROWS)
    check_not_refused(world, "sync_storage_files")


@pytest.mark.parametrize("version", [52, 67])
def test_replication_role(filled: Callable[[int], World], version: int) -> None:
    world = filled(version)
    world.query(f'ALTER DATABASE "{world.database}" SET session_replication_role = replica')
    for module in ("event_cleanup", "room_cleanup", "user_cleanup"):
        check_refused(world, module, ("session_replication_role",))


@pytest.mark.parametrize("version", [52, 67])
@pytest.mark.parametrize(
    ("table", "jobs"),
    [
        ("rooms", ("room_cleanup", "event_cleanup", "user_cleanup")),
        ("events", ("room_cleanup", "event_cleanup", "adhoc_event_cleanup")),
        ("invites", ("invite_cleanup", "event_cleanup", "room_cleanup")),
        ("assets", ("sync_storage_files", "event_cleanup", "room_cleanup")),
        ("users", ("user_cleanup",)),
    ],
)
def test_row_level_security(
    filled: Callable[[int], World], limited: Callable[[World], str], version: int, table: str, jobs: tuple[str, ...]
) -> None:
    """Without the refusal, room_cleanup would delete the rooms of hidden events, and sync_storage_files hidden objects."""
    world = filled(version)
    url = limited(world)
    world.query(f"ALTER TABLE {table} ENABLE ROW LEVEL SECURITY; CREATE POLICY few ON {table} USING (id::text < '8')")
    for module in jobs:
        options = {"orphaned_objects": "delete", "orphan_min_age": 0} if module == "sync_storage_files" else {}
        check_refused(world, module, (f"table {table}", "row-level security", "BYPASSRLS"), database_url=url, **options)
        # It does not apply to this role.
        assert check_not_refused(world, module, **options)
    world.query("ALTER ROLE limited BYPASSRLS")
    for module in jobs:
        assert "row-level" not in str(check_not_refused(world, module, database_url=url))


@pytest.mark.parametrize("version", [52, 67])
def test_users_that_keycloak_knows(
    filled: Callable[[int], World], limited: Callable[[World], str], version: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(http_session, "BACKOFF", 0.001)
    world = filled(version)
    nowhere = "http://127.0.0.1:1"
    keycloak = {
        "authority": f"{nowhere}/realms/x",
        "api_base_url": f"{nowhere}/admin/realms/x",
        "client_id": "x",
        "client_secret": "x",
    }
    rows = world.rows()

    def message(url: str) -> str:
        result = world.run_bare("keycloak_account_sync", database_url=url, keycloak=keycloak)
        assert result["failed"] and is_sentence(result["msg"])
        return result["msg"]

    owner, other = world.server.url(world.database), limited(world)
    world.query(
        "CREATE RULE keep AS ON DELETE TO users DO INSTEAD NOTHING; ALTER TABLE users ENABLE ROW LEVEL SECURITY"
    )
    assert "table users" in message(other) and nowhere.removeprefix("http://") in message(owner)
    world.query("CREATE RULE keep_too AS ON UPDATE TO users DO INSTEAD NOTHING")
    assert "rule on UPDATE (keep_too)" in message(owner)
    assert world.rows() == rows


@pytest.mark.parametrize("version", [52, 67])
def test_trigger_that_lets_everything_through(filled: Callable[[int], World], version: int) -> None:
    """The run works and warns."""
    world = filled(version)
    world.query(
        KEEP + "CREATE TRIGGER watch BEFORE DELETE ON assets FOR EACH ROW EXECUTE FUNCTION pass();"
        "CREATE TRIGGER watch BEFORE DELETE ON events FOR EACH ROW EXECUTE FUNCTION pass();"
        "CREATE TRIGGER touch BEFORE UPDATE ON events FOR EACH ROW EXECUTE FUNCTION pass()"
    )
    number = len(world.objects())
    for module in ("event_cleanup", "user_cleanup"):
        rows, objects = world.rows(), world.objects()
        preview = world.run(module, check_mode=True)
        assert world.rows() == rows and world.objects() == objects
        run = world.run(module)
        assert not run.get("failed"), run["msg"]
        for result in (preview, run):
            warnings = [line for line in result["log"] if "that is not the controller's" in line]
            assert [line.partition(" that is")[0].removeprefix("[WARN ] ") for line in warnings] == [
                "Table events has a trigger BEFORE DELETE",
                *(["Table events has a trigger BEFORE UPDATE"] if module == "user_cleanup" else []),
                "Table assets has a trigger BEFORE DELETE",
            ]
            assert all(is_sentence(line) and "(watch)" in line or "(touch)" in line for line in warnings)
            assert "BEFORE DELETE" in str(result["warnings"])
        assert deleted(rows, world.rows()) == preview["plan"]["rows_deleted"] == run["done"]["rows_deleted"]
        assert len(objects) - len(world.objects()) == preview["plan"]["assets"]["count"]
        assert preview["plan"]["rows_deleted"]["events"] > 0, module
    assert len(world.objects()) < number


@pytest.mark.parametrize(
    ("make", "doubtful", "doubtful_updates"),
    [
        ("CREATE TRIGGER keep BEFORE DELETE ON assets FOR EACH ROW EXECUTE FUNCTION keep()", {"assets"}, set()),
        # On UPDATE OF it depends on the column.
        ("CREATE TRIGGER keep BEFORE UPDATE OF updated_by ON events FOR EACH ROW EXECUTE FUNCTION keep()", set(), {"events"}),
        ("CREATE TRIGGER keep BEFORE UPDATE OF title ON events FOR EACH ROW EXECUTE FUNCTION keep()", set(), set()),
        ("CREATE TRIGGER keep BEFORE DELETE OR UPDATE ON invites FOR EACH ROW EXECUTE FUNCTION keep()", *2 * ({"invites"},)),
        (PARTITIONED + "CREATE TRIGGER keep BEFORE DELETE ON notes FOR EACH ROW EXECUTE FUNCTION keep()", {"notes"}, set()),
        (PARTITIONED + "CREATE TRIGGER keep BEFORE DELETE ON notes_1 FOR EACH ROW EXECUTE FUNCTION keep()", {"notes"}, set()),
        (
            "CREATE TABLE old_events () INHERITS (events);"
            "CREATE TRIGGER keep BEFORE DELETE ON old_events FOR EACH ROW EXECUTE FUNCTION keep()",
            {"events"},
            set(),
        ),
        # These do not take part.
        ("CREATE TRIGGER keep BEFORE DELETE ON tariffs FOR EACH ROW EXECUTE FUNCTION keep()", set(), set()),
        ("CREATE TRIGGER keep BEFORE INSERT ON events FOR EACH ROW EXECUTE FUNCTION keep()", set(), set()),
        ("CREATE TRIGGER keep AFTER DELETE ON events FOR EACH ROW EXECUTE FUNCTION keep()", set(), set()),
        ("CREATE TRIGGER keep BEFORE DELETE ON events FOR EACH STATEMENT EXECUTE FUNCTION keep()", set(), set()),
        (
            "CREATE TRIGGER keep BEFORE DELETE ON events FOR EACH ROW EXECUTE FUNCTION keep();"
            "ALTER TABLE events DISABLE TRIGGER keep",
            set(),
            set(),
        ),
        (
            "CREATE TRIGGER keep BEFORE DELETE ON events FOR EACH ROW EXECUTE FUNCTION keep();"
            "ALTER TABLE events ENABLE REPLICA TRIGGER keep",
            set(),
            set(),
        ),
        (
            "CREATE TRIGGER keep BEFORE DELETE ON events FOR EACH ROW EXECUTE FUNCTION keep();"
            "ALTER TABLE events ENABLE ALWAYS TRIGGER keep",
            {"events"},
            set(),
        ),
    ],
)  # fmt: skip
def test_doubtful_tables(open_world: Open, make: str, doubtful: set[str], doubtful_updates: set[str]) -> None:
    world = open_world()
    world.query(KEEP + make)
    found = find(world, "users")
    assert {table.label for table in found.doubtful} == doubtful
    assert {table.label for table in found.doubtful_updates} == doubtful_updates
    assert len(found.warnings) == len(doubtful) + len(doubtful_updates)


@pytest.mark.parametrize("version", SCHEMAS)
def test_schemas_of_the_controller_have_none(open_world: Open, version: int) -> None:
    world = open_world(version)
    # The controller's tables have keys, so a publication of all of them does no harm; neither does security that does not
    # apply, a rule that is off, or a foreign key that was not checked for old rows.
    world.query(
        "CREATE PUBLICATION everything FOR ALL TABLES; ALTER TABLE rooms ENABLE ROW LEVEL SECURITY;"
        "CREATE RULE keep AS ON DELETE TO rooms DO INSTEAD NOTHING; ALTER TABLE rooms DISABLE RULE keep;"
        "ALTER TABLE room_assets DROP CONSTRAINT room_assets_room_id_fkey, ADD FOREIGN KEY (room_id) REFERENCES rooms NOT VALID"
    )
    for root in ROOTS:
        assert find(world, root) == hindrances.Hindrances()


def test_many_names_are_counted(open_world: Open) -> None:
    world = open_world()
    for number in range(9):
        world.query(f"CREATE RULE keep_{number} AS ON DELETE TO rooms DO ALSO NOTHING")
    with pytest.raises(SchemaError, match=r"\(keep_0, keep_1, keep_2, keep_3, keep_4 and 4 more\)"):
        find(world, "rooms")


def find(world: World, root: str) -> hindrances.Hindrances:
    url = world.server.url(world.database)
    database = Database(url, deadline=Deadline(60), read_only=True, application_name="test")
    try:
        catalogue = read_catalogue(database)
        return hindrances.find(database, DeletionGraph(catalogue, catalogue.table(root)))
    finally:
        database.close()
