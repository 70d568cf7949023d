-- SPDX-FileCopyrightText: The opentalk.maintenance authors
-- SPDX-License-Identifier: GPL-3.0-or-later
-- From migration 52 to 60.

ALTER TABLE users ADD COLUMN created_at timestamptz NOT NULL DEFAULT now();
ALTER TABLE users ADD COLUMN updated_at timestamptz NOT NULL DEFAULT now();

ALTER TABLE events DROP COLUMN is_recurring;

CREATE TYPE theme AS ENUM ('light', 'dark', 'system');
ALTER TABLE users ALTER COLUMN language DROP NOT NULL;
ALTER TABLE users ADD CHECK (length(language) > 0);
ALTER TABLE users DROP COLUMN dashboard_theme;
ALTER TABLE users DROP COLUMN conference_theme;
ALTER TABLE users ADD COLUMN dashboard_theme theme;
ALTER TABLE users ADD COLUMN conference_theme theme;

ALTER TABLE users ADD COLUMN last_authenticated_at timestamptz;

ALTER TABLE events DROP COLUMN is_time_independent;

INSERT INTO refinery_schema_history (version, name)
SELECT version, 'migration_' || version FROM generate_series(53, 60) version;
