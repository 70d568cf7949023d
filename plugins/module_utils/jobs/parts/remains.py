# SPDX-FileCopyrightText: The opentalk.maintenance authors
# SPDX-License-Identifier: GPL-3.0-or-later

"""What may remain of an erased person in places that no job of this collection reaches. See docs/data-protection.md."""

from __future__ import annotations

REMAINS = [
    {"place": place, "action": action}
    for place, action in (
        (
            "Keycloak",
            "Delete the account of each person there. Otherwise the user is made anew when the person logs in again.",
        ),
        (
            "Backups",
            "Copies of the database, of the bucket and of the cloud have everything until they are deleted. After a restore,"
            " erase the same persons again, by the ids in the audit log.",
        ),
        (
            "Trash bin of the cloud",
            "Nextcloud and OpenCloud keep a deleted folder there. Empty it, or wait until its time is over.",
        ),
        (
            "What others wrote",
            "Titles, descriptions, names of files and of rooms, recordings, shared files, and what modules of meetings such as"
            " votes store may name the person, if they are of people who stay. Ask these people, or delete their events.",
        ),
        (
            "Logs",
            "The logs of the controller, of the web server and of PostgreSQL may have names, addresses and ids. Rotate them"
            " early, or delete them.",
        ),
        (
            "Mail",
            "Mailboxes have the invitations, and so do the queue and the logs of mail servers. Rotate these logs.",
        ),
        (
            "Etherpad",
            "It keeps its own authors, and pads that the controller could not delete. Delete these with Etherpad's API.",
        ),
        (
            "Spacedeck",
            "It keeps spaces that the controller could not delete. Delete these in Spacedeck.",
        ),
        (
            "redis",
            "It has the meetings that are going on, and what a crash left of others. Stop all controllers and empty it.",
        ),
        (
            "Recorder",
            "Some versions keep parts of recordings in files of their own. Delete these while nothing is recorded.",
        ),
        (
            "Groups, and logs of the controller's jobs in the database",
            "The name of a group or a line of such a log is rarely about a person. Look at the tables groups and"
            " job_execution_logs.",
        ),
    )
]
