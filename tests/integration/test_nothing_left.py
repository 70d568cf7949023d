# SPDX-FileCopyrightText: The opentalk.maintenance authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""One world with everything that used to stay for ever: after a night and one erasure nothing of it is left, nowhere."""

from __future__ import annotations

import uuid
from collections.abc import Callable
from datetime import datetime, timedelta, timezone
from typing import Any

import pytest

from support.builders import Builder
from support.cloud_server import CloudServer
from support.snapshot import added, removed
from support.world import World

LONG_AGO = datetime.now(timezone.utc) - timedelta(days=90)
EMPTY_TRASH = {"empty_trash": True}
# The jobs that delete, in the order of a night.
NIGHT: dict[str, dict[str, Any]] = {
    "event_cleanup": EMPTY_TRASH,
    "adhoc_event_cleanup": EMPTY_TRASH,
    "user_cleanup": EMPTY_TRASH,
    "invite_cleanup": {"delete_invites": True},
    "room_cleanup": EMPTY_TRASH,
    "sync_storage_files": {
        "orphaned_objects": "delete", "unlinked_assets": "delete", "unfinished_uploads": "abort", "hidden_versions": "delete",
        "max_affected": 10,
    },
    "sync_shared_folders": {"orphaned_shared_folders": "delete", "max_affected": 10, **EMPTY_TRASH},
}  # fmt: skip


class Scene:
    """An installation in which everything is there twice: once it must go, and once it must stay.

    :ivar due: texts that only things have that must go; each is in at least one place
    """

    def __init__(self, world: World, cloud: CloudServer) -> None:
        self.world, self.cloud, self.build = world, cloud, Builder(world.connection)
        self.client, self.due = world.storage.client(), set[str]()
        world.cloud = cloud
        self.host = self.build.user()
        old: set[str] = set()
        for goes in (True, False):
            old |= self._leave_traces(goes)
        world.upload()
        world.proxy.make_older(old, timedelta(days=2))

    def _leave_traces(self, goes: bool) -> set[str]:
        """Leave one of each kind, and return the keys in the bucket that seem to be old."""
        build, age = self.build, LONG_AGO if goes else datetime.now(timezone.utc)
        person = self._person("person" if goes else "other", None)
        gone = self._person("gone" if goes else "disabled", age)
        event = build.event(self.host, starts_at=age, ends_at=age, title=self._text("title", goes))
        self._share(event, goes)
        (unlinked,) = build.assets(build.room_of(event), 1)
        self.world.query("DELETE FROM room_assets WHERE asset_id = %s", (unlinked,))
        self.world.query("UPDATE assets SET created_at = %s WHERE id = %s", (age, unlinked))
        hidden, upload, orphan = (str(uuid.uuid4()) for _unused in range(3))
        names = {"Bucket": self.world.bucket, "Key": f"assets/{hidden}"}
        self.client.put_object(**names, Body=b"hidden")
        self.client.delete_object(**names)
        self.client.create_multipart_upload(Bucket=self.world.bucket, Key=f"assets/{upload}")
        path = f"{self.cloud.directory}/opentalk-event-{orphan}"
        self.cloud.shared_folder(path)
        self.cloud.make_older([path], timedelta(days=2 if goes else 0))
        if goes:
            self.due |= {person, gone, event, build.room_of(event), unlinked, hidden, upload, orphan}
        return {f"assets/{key}" for key in (unlinked, hidden, upload)} if goes else set()

    def _person(self, name: str, disabled_since: datetime | None) -> str:
        """A user with a meeting, a recording and a folder, who is invited to a meeting of the host by mail."""
        build, goes = self.build, name in ("person", "gone")
        self._text(name, goes)
        user = build.user(
            email=f"{name}@example.org",
            firstname=name,
            lastname=name,
            display_name=name,
            disabled_since=disabled_since,
        )
        event = build.event(user, title=f"Meeting of {name}")
        self._share(event, goes)
        asset = build.asset(build.room_of(event))
        build.mail_invitation(build.event(self.host), f"{name}@example.org", self.host)
        self.due |= {event, build.room_of(event), asset} if goes else set()
        return user

    def _text(self, text: str, goes: bool) -> str:
        made = f"{text} due" if text == "title" and goes else text
        self.due |= {made} if goes else set()
        return made

    def _share(self, event: str, goes: bool) -> None:
        path = f"{self.cloud.directory}/opentalk-event-{event}"
        self.build.shared_folder(event, path=path, record=self.cloud.shared_folder(path))

    def places(self) -> dict[str, set[str]]:
        """Everything that there is, as texts, by place. No code of the collection is asked."""
        uploads = self.client.list_multipart_uploads(Bucket=self.world.bucket).get("Uploads", [])
        return {
            "database": {f"{table}: {row}" for table, rows in self.world.rows().items() for row in rows},
            "bucket": {" ".join(version) for version in self.world.storage.versions(self.world.bucket)},
            "uploads": {entry["Key"] for entry in uploads},
            "folders": set(self.cloud.folders),
            "shares": set(self.cloud.shares.values()),
            "trash": {entry.path for entry in self.cloud.trash},
        }

    def found(self) -> set[str]:
        """The texts of things that must go, as far as they are anywhere."""
        everything = "\n".join(text for texts in self.places().values() for text in texts).lower()
        return {text for text in self.due if text.lower() in everything}


@pytest.mark.parametrize(("version", "provider"), [(52, "nextcloud"), (67, "opencloud")])
def test_nothing_that_was_due_is_left_anywhere(
    open_world: Callable[..., World], open_cloud: Callable[..., CloudServer], version: int, provider: str
) -> None:
    world = open_world(version, versioned=True)
    scene = Scene(world, open_cloud(provider))
    rows, places = world.rows(), scene.places()
    assert scene.found() == scene.due and places["trash"] == set()

    person = {"emails": ["person@example.org"], "require_disabled": False, **EMPTY_TRASH}
    for job, options in {**NIGHT, "user_erasure": person}.items():
        preview = world.run(job, check_mode=True, **options)
        assert not preview.get("failed"), (job, preview["msg"])
        run = world.run(job, **options)
        assert not run.get("failed") and not run["failures"], (job, run.get("msg"))
        assert run["done"]["rows_deleted"] == preview["plan"]["rows_deleted"], job
    for job, options in NIGHT.items():
        again = world.run(job, **options)
        assert not again.get("failed") and not again["changed"], (job, again.get("msg"))

    assert scene.found() == set()
    # Everything else is as it was: what is gone is due, and nothing is new.
    after = scene.places()
    assert added(rows, world.rows()) == {} and removed(rows, world.rows())
    for place, texts in places.items():
        assert after[place] <= texts, place
        assert [
            text for text in texts - after[place] if not any(due.lower() in text.lower() for due in scene.due)
        ] == [], place
