-- SPDX-FileCopyrightText: The opentalk.maintenance authors
-- SPDX-License-Identifier: GPL-3.0-or-later
-- From migration 52 to 60.

-- A row of tariffs may have three quotas with whole numbers, and names of modules and features in a certain form.
CREATE FUNCTION refuse_odd_tariff() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    IF EXISTS (
        SELECT FROM jsonb_each_text(NEW.quotas)
        WHERE key NOT IN ('max_storage', 'room_time_limit_secs', 'room_participant_limit') OR value !~ '^[0-9]+$'
    ) OR EXISTS (SELECT FROM unnest(NEW.disabled_modules) module WHERE module !~ '^[_0-9a-z]+$')
    OR EXISTS (SELECT FROM unnest(NEW.disabled_features) feature WHERE feature !~ '^[_0-9a-z]+::[_0-9a-z]+$') THEN
        RAISE 'the tariff has a value that is not allowed' USING ERRCODE = 'OTALK';
    END IF;
    RETURN NEW;
END;
$$;
CREATE TRIGGER check_values_for_tariff BEFORE INSERT OR UPDATE ON tariffs FOR EACH ROW EXECUTE FUNCTION refuse_odd_tariff();

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
