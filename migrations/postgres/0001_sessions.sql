-- One row per session. Retention decides how long it stays.
--
-- No index uses last_activity or another column that a touch writes, and each page keeps free
-- space. So a touch is a heap-only update: it costs a third of the write-ahead log and leaves no
-- work for vacuum in the indexes.
--
-- user_id is compared by bytes (COLLATE "C"). So every transaction locks users in the same order in
-- every locale of the database, and the order of pages does not depend on the locale.
CREATE TABLE user_sessions (
    id                bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    user_id           text COLLATE "C" NOT NULL,
    session_id        text COLLATE "C" NOT NULL,
    secret_hash       bytea,
    derived           boolean NOT NULL DEFAULT false,

    ip_address        text NOT NULL DEFAULT '',
    ip_source         text NOT NULL DEFAULT '',
    country_code      text NOT NULL DEFAULT '',
    country           text NOT NULL DEFAULT '',
    region            text NOT NULL DEFAULT '',
    city              text NOT NULL DEFAULT '',
    login_ip_address  text NOT NULL DEFAULT '',
    login_ip_source   text NOT NULL DEFAULT '',

    user_agent        text NOT NULL DEFAULT '',
    client_hints      text NOT NULL DEFAULT '',
    device_type       text NOT NULL DEFAULT '',
    device_source     text NOT NULL DEFAULT '',
    device_ambiguous  boolean NOT NULL DEFAULT false,
    browser           text NOT NULL DEFAULT '',
    browser_version   text NOT NULL DEFAULT '',
    os                text NOT NULL DEFAULT '',
    os_version        text NOT NULL DEFAULT '',
    brand             text NOT NULL DEFAULT '',
    model             text NOT NULL DEFAULT '',

    is_active         boolean GENERATED ALWAYS AS (logout_at IS NULL) STORED,
    last_activity     timestamptz,
    login_at          timestamptz,
    logout_at         timestamptz,
    end_reason        text,
    ended_by          text NOT NULL DEFAULT '',
    expires_at        timestamptz,
    credential_until  timestamptz,
    created_at        timestamptz,
    updated_at        timestamptz NOT NULL,

    CONSTRAINT user_sessions_session_id_key UNIQUE (session_id),
    CONSTRAINT user_sessions_user_agent_length CHECK (octet_length(user_agent) <= 512),
    CONSTRAINT user_sessions_end_is_whole CHECK ((logout_at IS NULL) = (end_reason IS NULL)),
    CONSTRAINT user_sessions_live_is_whole CHECK (logout_at IS NOT NULL
        OR (user_id <> '' AND last_activity IS NOT NULL AND login_at IS NOT NULL AND created_at IS NOT NULL))
) WITH (fillfactor = 85);

-- The indexes serve, in this order: a user's sessions by login; a user's live sessions; the feed of
-- ended sessions; the sessions that began since a sample; the filters of the lists.
CREATE INDEX user_sessions_user_id ON user_sessions (user_id, login_at, id);
CREATE INDEX user_sessions_live_user_id ON user_sessions (user_id, id) WHERE logout_at IS NULL;
CREATE INDEX user_sessions_logout_at ON user_sessions (logout_at, id) WHERE logout_at IS NOT NULL;
CREATE INDEX user_sessions_login_at ON user_sessions (login_at);
CREATE INDEX user_sessions_live_ip_address ON user_sessions (ip_address) WHERE logout_at IS NULL;
CREATE INDEX user_sessions_live_device_type ON user_sessions (device_type) WHERE logout_at IS NULL;

-- These two serve the purge: complete ended rows, and ended rows of which only the handle is left.
-- Each is ordered by the time that the purge compares, so it reads only the rows that are due.
CREATE INDEX user_sessions_retained ON user_sessions (logout_at) WHERE logout_at IS NOT NULL AND user_id <> '';
CREATE INDEX user_sessions_remembered ON user_sessions (credential_until, logout_at) WHERE logout_at IS NOT NULL AND user_id = '';

-- An ended session never changes. The only exception is a purge, which blanks personal data.
CREATE FUNCTION user_sessions_ended_is_final() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    IF EXISTS (
        SELECT FROM jsonb_each(to_jsonb(OLD)) AS o JOIN jsonb_each(to_jsonb(NEW)) AS n USING (key)
        WHERE o.value <> n.value
          AND key NOT IN ('is_active', 'updated_at')
          AND NOT (n.value IN ('null', '""', 'false')
                   AND key NOT IN ('id', 'session_id', 'derived', 'logout_at', 'end_reason', 'credential_until'))
    ) THEN
        RAISE EXCEPTION 'session % has ended and cannot change', OLD.session_id
            USING ERRCODE = 'integrity_constraint_violation';
    END IF;
    RETURN NEW;
END
$$;

CREATE TRIGGER user_sessions_ended_is_final BEFORE UPDATE ON user_sessions
    FOR EACH ROW WHEN (OLD.logout_at IS NOT NULL)
    EXECUTE FUNCTION user_sessions_ended_is_final();

-- One row per user with a session that has not ended. It answers who is online. It moves in steps,
-- so an index on it is cheap.
CREATE TABLE user_presence (
    user_id        text COLLATE "C" PRIMARY KEY,
    last_activity  timestamptz NOT NULL
) WITH (fillfactor = 85, autovacuum_vacuum_scale_factor = 0.05);

CREATE INDEX user_presence_last_activity ON user_presence (last_activity DESC, user_id);

-- One row per minute, for peaks and history. taken_at is the exact time of the count.
CREATE TABLE online_samples (
    at               timestamptz PRIMARY KEY,
    taken_at         timestamptz NOT NULL,
    very_active      integer NOT NULL,
    online           integer NOT NULL,
    recently_active  integer NOT NULL,
    sessions         integer NOT NULL
);
