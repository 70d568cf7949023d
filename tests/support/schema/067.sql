-- SPDX-FileCopyrightText: The opentalk.maintenance authors
-- SPDX-License-Identifier: GPL-3.0-or-later
-- From migration 61 to 67.

CREATE TABLE event_recurrences (
    event_id uuid PRIMARY KEY REFERENCES event_dates (event_id) ON DELETE CASCADE,
    recurrence_pattern varchar(4092) NOT NULL
);
ALTER TABLE event_dates DROP COLUMN recurrence_pattern;
ALTER TABLE event_dates ALTER COLUMN duration_secs SET NOT NULL;

CREATE TYPE guest_access AS ENUM ('disabled', 'waiting_room', 'direct_access');
ALTER TABLE rooms ADD COLUMN guest_access guest_access NOT NULL DEFAULT 'direct_access';
ALTER TABLE rooms ADD CHECK (NOT (waiting_room = true AND guest_access = 'direct_access'));

ALTER TABLE event_shared_folders DROP COLUMN write_share_id, DROP COLUMN read_share_id;
ALTER TABLE event_shared_folders ADD COLUMN provider_data jsonb NOT NULL;

DROP TABLE casbin_rule;

ALTER TABLE rooms ADD COLUMN name varchar(40);
ALTER TABLE rooms ADD COLUMN suffix varchar(64);
ALTER TABLE rooms ADD CHECK (suffix IS NULL OR name IS NOT NULL);
CREATE UNIQUE INDEX ON rooms (name, suffix) NULLS NOT DISTINCT WHERE name IS NOT NULL;

ALTER TYPE job_type ADD VALUE 'user_cleanup';

INSERT INTO refinery_schema_history (version, name)
SELECT version, 'migration_' || version FROM generate_series(62, 67) version;
