-- SPDX-FileCopyrightText: The opentalk.maintenance authors
-- SPDX-License-Identifier: GPL-3.0-or-later
-- From migration 60 to 61: dates have a table of their own.

CREATE TABLE event_dates (
    event_id uuid PRIMARY KEY REFERENCES events (id) ON DELETE CASCADE,
    starts_at timestamptz NOT NULL,
    starts_at_tz varchar(255) NOT NULL,
    ends_at timestamptz NOT NULL,
    ends_at_tz varchar(255) NOT NULL,
    is_all_day boolean NOT NULL,
    duration_secs integer,
    recurrence_pattern varchar(4092)
);

ALTER TABLE events
    DROP COLUMN is_all_day,
    DROP COLUMN starts_at,
    DROP COLUMN starts_at_tz,
    DROP COLUMN ends_at,
    DROP COLUMN ends_at_tz,
    DROP COLUMN duration_secs,
    DROP COLUMN recurrence_pattern;

INSERT INTO refinery_schema_history (version, name)
SELECT version, 'migration_' || version FROM generate_series(61, 61) version;
