-- SPDX-FileCopyrightText: The opentalk.maintenance authors
-- SPDX-License-Identifier: GPL-3.0-or-later
-- The OpenTalk controller's database at migration 52: tables, keys and indexes.

CREATE TYPE email_invite_role AS ENUM ('guest', 'moderator');
CREATE TYPE event_exception_kind AS ENUM ('modified', 'cancelled');
CREATE TYPE event_invite_status AS ENUM ('pending', 'accepted', 'tentative', 'declined');
CREATE TYPE invite_role AS ENUM ('user', 'moderator');
CREATE TYPE job_status AS ENUM ('started', 'succeeded', 'failed');
CREATE TYPE job_type AS ENUM ('adhoc_event_cleanup', 'event_cleanup', 'invite_cleanup', 'self_check', 'sync_storage_files', 'room_cleanup', 'keycloak_account_sync');
CREATE TYPE log_level AS ENUM ('trace', 'debug', 'info', 'warn', 'error');
CREATE TYPE streaming_kind AS ENUM ('custom');
CREATE TYPE tariff_status AS ENUM ('default', 'paid', 'downgraded');

CREATE SEQUENCE casbin_rule_id_seq;
CREATE SEQUENCE users_id_seq;
CREATE SEQUENCE rooms_id_seq;
CREATE SEQUENCE events_id_serial_seq;
CREATE SEQUENCE groups_id_serial_seq;
CREATE SEQUENCE invites_id_seq;
CREATE SEQUENCE jobs_id_seq;
CREATE SEQUENCE job_executions_id_seq;
CREATE SEQUENCE job_execution_logs_id_seq;
CREATE SEQUENCE sip_configs_id_seq;

CREATE TABLE tenants (
    id uuid NOT NULL DEFAULT gen_random_uuid(),
    created_at timestamptz NOT NULL DEFAULT now(),
    updated_at timestamptz NOT NULL DEFAULT now(),
    oidc_tenant_id text NOT NULL,
    UNIQUE (oidc_tenant_id),
    PRIMARY KEY (id)
);

CREATE TABLE assets (
    id uuid NOT NULL,
    created_at timestamptz NOT NULL DEFAULT now(),
    updated_at timestamptz NOT NULL DEFAULT now(),
    namespace varchar(255),
    kind varchar(255) NOT NULL,
    filename varchar(512) NOT NULL,
    tenant_id uuid NOT NULL,
    size bigint NOT NULL,
    PRIMARY KEY (id),
    CHECK ((size >= 0)),
    FOREIGN KEY (tenant_id) REFERENCES tenants (id)
);

CREATE TABLE casbin_rule (
    id integer NOT NULL DEFAULT nextval('casbin_rule_id_seq'::regclass),
    ptype varchar(12) NOT NULL,
    v0 varchar NOT NULL,
    v1 varchar NOT NULL,
    v2 varchar NOT NULL,
    v3 varchar NOT NULL,
    v4 varchar NOT NULL,
    v5 varchar NOT NULL,
    UNIQUE (ptype, v0, v1, v2, v3, v4, v5),
    PRIMARY KEY (id)
);

CREATE TABLE tariffs (
    id uuid NOT NULL DEFAULT gen_random_uuid(),
    name text NOT NULL,
    created_at timestamptz NOT NULL DEFAULT now(),
    updated_at timestamptz NOT NULL DEFAULT now(),
    quotas jsonb NOT NULL,
    disabled_modules text[] NOT NULL,
    disabled_features text[] NOT NULL DEFAULT ARRAY[]::text[],
    UNIQUE (name),
    PRIMARY KEY (id)
);

CREATE TABLE users (
    id uuid NOT NULL DEFAULT gen_random_uuid(),
    id_serial bigint NOT NULL DEFAULT nextval('users_id_seq'::regclass),
    oidc_sub varchar(255) NOT NULL,
    email varchar(255) NOT NULL,
    title varchar(255) NOT NULL,
    firstname varchar(255) NOT NULL,
    lastname varchar(255) NOT NULL,
    language varchar(35) NOT NULL,
    display_name varchar(511) NOT NULL,
    dashboard_theme varchar(128) NOT NULL DEFAULT 'system'::character varying,
    conference_theme varchar(128) NOT NULL DEFAULT 'system'::character varying,
    phone varchar(30) DEFAULT NULL::character varying,
    tenant_id uuid NOT NULL,
    tariff_id uuid NOT NULL,
    tariff_status tariff_status NOT NULL DEFAULT 'default'::tariff_status,
    disabled_since timestamptz,
    avatar_url varchar(2048),
    timezone varchar(255),
    UNIQUE (oidc_sub, tenant_id),
    PRIMARY KEY (id),
    CHECK ((lower((email)::text) = (email)::text)),
    FOREIGN KEY (tariff_id) REFERENCES tariffs (id),
    FOREIGN KEY (tenant_id) REFERENCES tenants (id)
);

CREATE TABLE rooms (
    id uuid NOT NULL DEFAULT gen_random_uuid(),
    id_serial bigint NOT NULL DEFAULT nextval('rooms_id_seq'::regclass),
    created_by uuid NOT NULL,
    created_at timestamptz NOT NULL DEFAULT now(),
    password varchar(255),
    waiting_room boolean NOT NULL DEFAULT false,
    tenant_id uuid NOT NULL,
    e2e_encryption boolean NOT NULL DEFAULT false,
    PRIMARY KEY (id),
    FOREIGN KEY (created_by) REFERENCES users (id),
    FOREIGN KEY (tenant_id) REFERENCES tenants (id)
);

CREATE TABLE events (
    id uuid NOT NULL DEFAULT gen_random_uuid(),
    id_serial bigint NOT NULL DEFAULT nextval('events_id_serial_seq'::regclass),
    title varchar(255) NOT NULL,
    description varchar(4096) NOT NULL,
    room uuid NOT NULL,
    created_by uuid NOT NULL,
    created_at timestamptz NOT NULL DEFAULT now(),
    updated_by uuid NOT NULL,
    updated_at timestamptz NOT NULL DEFAULT now(),
    is_time_independent boolean NOT NULL,
    is_all_day boolean,
    starts_at timestamptz,
    starts_at_tz varchar(255),
    ends_at timestamptz,
    ends_at_tz varchar(255),
    duration_secs integer,
    is_recurring boolean,
    recurrence_pattern varchar(4094),
    is_adhoc boolean NOT NULL DEFAULT false,
    tenant_id uuid NOT NULL,
    revision integer NOT NULL DEFAULT 0,
    show_meeting_details boolean NOT NULL DEFAULT false,
    UNIQUE (id_serial),
    UNIQUE (room),
    PRIMARY KEY (id),
    FOREIGN KEY (created_by) REFERENCES users (id),
    FOREIGN KEY (room) REFERENCES rooms (id),
    FOREIGN KEY (tenant_id) REFERENCES tenants (id),
    FOREIGN KEY (updated_by) REFERENCES users (id)
);

CREATE TABLE event_email_invites (
    event_id uuid NOT NULL,
    email varchar(255) NOT NULL,
    created_by uuid NOT NULL,
    created_at timestamptz NOT NULL DEFAULT now(),
    role email_invite_role NOT NULL DEFAULT 'guest'::email_invite_role,
    PRIMARY KEY (event_id, email),
    CHECK ((lower((email)::text) = (email)::text)),
    FOREIGN KEY (created_by) REFERENCES users (id),
    FOREIGN KEY (event_id) REFERENCES events (id) ON DELETE CASCADE
);

CREATE TABLE event_exceptions (
    id uuid NOT NULL DEFAULT gen_random_uuid(),
    event_id uuid NOT NULL,
    exception_date timestamptz NOT NULL,
    exception_date_tz varchar(255) NOT NULL,
    created_by uuid NOT NULL,
    created_at timestamptz NOT NULL DEFAULT now(),
    kind event_exception_kind NOT NULL,
    title varchar(255),
    description varchar(4096),
    is_all_day boolean,
    starts_at timestamptz,
    starts_at_tz varchar(255),
    ends_at timestamptz,
    ends_at_tz varchar(255),
    UNIQUE (event_id, exception_date, exception_date_tz),
    PRIMARY KEY (id),
    FOREIGN KEY (created_by) REFERENCES users (id),
    FOREIGN KEY (event_id) REFERENCES events (id) ON DELETE CASCADE
);

CREATE TABLE event_favorites (
    user_id uuid NOT NULL,
    event_id uuid NOT NULL,
    PRIMARY KEY (user_id, event_id),
    FOREIGN KEY (event_id) REFERENCES events (id) ON DELETE CASCADE,
    FOREIGN KEY (user_id) REFERENCES users (id) ON DELETE CASCADE
);

CREATE TABLE event_invites (
    id uuid NOT NULL DEFAULT gen_random_uuid(),
    event_id uuid NOT NULL,
    invitee uuid NOT NULL,
    created_by uuid NOT NULL,
    created_at timestamptz NOT NULL DEFAULT now(),
    status event_invite_status NOT NULL DEFAULT 'pending'::event_invite_status,
    role invite_role NOT NULL DEFAULT 'user'::invite_role,
    UNIQUE (event_id, invitee),
    PRIMARY KEY (id),
    FOREIGN KEY (created_by) REFERENCES users (id),
    FOREIGN KEY (event_id) REFERENCES events (id) ON DELETE CASCADE,
    FOREIGN KEY (invitee) REFERENCES users (id)
);

CREATE TABLE event_shared_folders (
    event_id uuid NOT NULL,
    created_at timestamptz NOT NULL DEFAULT now(),
    updated_at timestamptz NOT NULL DEFAULT now(),
    path text NOT NULL,
    write_share_id text NOT NULL,
    write_url text NOT NULL,
    write_password text NOT NULL,
    read_share_id text NOT NULL,
    read_url text NOT NULL,
    read_password text NOT NULL,
    PRIMARY KEY (event_id),
    FOREIGN KEY (event_id) REFERENCES events (id)
);

CREATE TABLE event_training_participation_report_parameter_sets (
    event_id uuid NOT NULL,
    initial_checkpoint_delay_after bigint NOT NULL,
    initial_checkpoint_delay_within bigint NOT NULL,
    checkpoint_interval_after bigint NOT NULL,
    checkpoint_interval_within bigint NOT NULL,
    PRIMARY KEY (event_id),
    FOREIGN KEY (event_id) REFERENCES events (id) ON DELETE CASCADE
);

CREATE TABLE external_tariffs (
    external_id text NOT NULL,
    tariff_id uuid NOT NULL,
    PRIMARY KEY (external_id),
    FOREIGN KEY (tariff_id) REFERENCES tariffs (id)
);

CREATE TABLE groups (
    id uuid NOT NULL DEFAULT gen_random_uuid(),
    id_serial bigint NOT NULL DEFAULT nextval('groups_id_serial_seq'::regclass),
    name text NOT NULL,
    tenant_id uuid NOT NULL,
    UNIQUE (tenant_id, name),
    PRIMARY KEY (id),
    FOREIGN KEY (tenant_id) REFERENCES tenants (id)
);

CREATE TABLE invites (
    id uuid NOT NULL DEFAULT gen_random_uuid(),
    id_serial bigint NOT NULL DEFAULT nextval('invites_id_seq'::regclass),
    created_by uuid NOT NULL,
    created_at timestamptz NOT NULL DEFAULT now(),
    updated_by uuid NOT NULL,
    updated_at timestamptz NOT NULL DEFAULT now(),
    room uuid NOT NULL,
    active boolean NOT NULL,
    expiration timestamptz,
    PRIMARY KEY (id),
    FOREIGN KEY (created_by) REFERENCES users (id),
    FOREIGN KEY (room) REFERENCES rooms (id) ON DELETE CASCADE,
    FOREIGN KEY (updated_by) REFERENCES users (id)
);

CREATE TABLE jobs (
    id bigint NOT NULL DEFAULT nextval('jobs_id_seq'::regclass),
    name text NOT NULL,
    kind job_type NOT NULL,
    parameters jsonb NOT NULL,
    timeout_secs integer NOT NULL,
    recurrence text NOT NULL,
    PRIMARY KEY (id),
    CHECK ((timeout_secs > 0))
);

CREATE TABLE job_executions (
    id bigint NOT NULL DEFAULT nextval('job_executions_id_seq'::regclass),
    job_id bigint NOT NULL,
    started_at timestamptz NOT NULL,
    ended_at timestamptz,
    job_status job_status NOT NULL,
    PRIMARY KEY (id),
    FOREIGN KEY (job_id) REFERENCES jobs (id) ON DELETE CASCADE
);

CREATE TABLE job_execution_logs (
    id bigint NOT NULL DEFAULT nextval('job_execution_logs_id_seq'::regclass),
    execution_id bigint NOT NULL,
    logged_at timestamptz NOT NULL,
    log_level log_level NOT NULL,
    log_message text NOT NULL,
    PRIMARY KEY (id),
    FOREIGN KEY (execution_id) REFERENCES job_executions (id) ON DELETE CASCADE
);

CREATE TABLE module_resources (
    id uuid NOT NULL DEFAULT gen_random_uuid(),
    tenant_id uuid NOT NULL,
    room_id uuid NOT NULL,
    created_by uuid NOT NULL,
    created_at timestamptz NOT NULL DEFAULT now(),
    updated_at timestamptz NOT NULL DEFAULT now(),
    namespace varchar(255) NOT NULL,
    tag varchar(255),
    data jsonb NOT NULL,
    PRIMARY KEY (id),
    FOREIGN KEY (created_by) REFERENCES users (id),
    FOREIGN KEY (room_id) REFERENCES rooms (id),
    FOREIGN KEY (tenant_id) REFERENCES tenants (id)
);

CREATE TABLE refinery_schema_history (
    version integer NOT NULL,
    name varchar(255),
    applied_on varchar(255),
    checksum varchar(255),
    PRIMARY KEY (version)
);

CREATE TABLE room_assets (
    room_id uuid NOT NULL,
    asset_id uuid NOT NULL,
    UNIQUE (asset_id),
    PRIMARY KEY (room_id, asset_id),
    FOREIGN KEY (asset_id) REFERENCES assets (id) ON DELETE CASCADE,
    FOREIGN KEY (room_id) REFERENCES rooms (id)
);

CREATE TABLE room_streaming_targets (
    id uuid NOT NULL DEFAULT gen_random_uuid(),
    room_id uuid NOT NULL,
    name text NOT NULL,
    kind streaming_kind NOT NULL,
    streaming_endpoint text NOT NULL,
    streaming_key text NOT NULL,
    public_url text NOT NULL,
    PRIMARY KEY (id),
    FOREIGN KEY (room_id) REFERENCES rooms (id) ON DELETE CASCADE
);

CREATE TABLE sip_configs (
    id bigint NOT NULL DEFAULT nextval('sip_configs_id_seq'::regclass),
    room uuid NOT NULL,
    sip_id varchar(10) NOT NULL,
    password varchar(10) NOT NULL,
    enable_lobby boolean NOT NULL,
    UNIQUE (room),
    UNIQUE (sip_id),
    PRIMARY KEY (id),
    FOREIGN KEY (room) REFERENCES rooms (id) ON DELETE CASCADE
);

CREATE TABLE user_groups (
    user_id uuid NOT NULL,
    group_id uuid NOT NULL,
    PRIMARY KEY (user_id, group_id),
    FOREIGN KEY (group_id) REFERENCES groups (id),
    FOREIGN KEY (user_id) REFERENCES users (id)
);

CREATE INDEX ON tenants USING btree (oidc_tenant_id);
CREATE INDEX ON casbin_rule USING btree (ptype, v1);
CREATE INDEX ON users USING btree (lower((((firstname)::text || ' '::text) || (lastname)::text)) text_pattern_ops);
CREATE INDEX ON event_exceptions USING btree (event_id, exception_date);
CREATE INDEX ON event_invites USING btree (event_id, invitee);

-- Not part of every PostgreSQL installation.
DO $$
BEGIN
    IF EXISTS (SELECT FROM pg_available_extensions WHERE name = 'fuzzystrmatch') THEN
        CREATE EXTENSION fuzzystrmatch;
        CREATE INDEX ON users USING btree (soundex(lower((display_name)::text)));
        CREATE INDEX ON users USING btree (soundex(lower((((firstname)::text || ' '::text) || (lastname)::text))));
    END IF;
END
$$;

ALTER SEQUENCE casbin_rule_id_seq OWNED BY casbin_rule.id;
ALTER SEQUENCE users_id_seq OWNED BY users.id_serial;
ALTER SEQUENCE rooms_id_seq OWNED BY rooms.id_serial;
ALTER SEQUENCE events_id_serial_seq OWNED BY events.id_serial;
ALTER SEQUENCE groups_id_serial_seq OWNED BY groups.id_serial;
ALTER SEQUENCE invites_id_seq OWNED BY invites.id_serial;
ALTER SEQUENCE jobs_id_seq OWNED BY jobs.id;
ALTER SEQUENCE job_executions_id_seq OWNED BY job_executions.id;
ALTER SEQUENCE job_execution_logs_id_seq OWNED BY job_execution_logs.id;
ALTER SEQUENCE sip_configs_id_seq OWNED BY sip_configs.id;

INSERT INTO refinery_schema_history (version, name)
SELECT version, 'migration_' || version FROM generate_series(1, 52) version;
