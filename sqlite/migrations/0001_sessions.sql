-- One row per session, for as long as it is retained. Times are microseconds since
-- 1970 in UTC; the columns are those of the PostgreSQL schema.
--
-- No index mentions last_activity, nor anything else that a touch writes: a touch then
-- changes the row and no index.
--
-- AUTOINCREMENT keeps a number from being given twice, because ids order sessions.
CREATE TABLE user_sessions (
    id                INTEGER PRIMARY KEY AUTOINCREMENT,
    user_id           TEXT NOT NULL,
    session_id        TEXT NOT NULL UNIQUE,
    secret_hash       BLOB,
    derived           INTEGER NOT NULL DEFAULT 0,

    ip_address        TEXT NOT NULL DEFAULT '',
    ip_source         TEXT NOT NULL DEFAULT '',
    country_code      TEXT NOT NULL DEFAULT '',
    country           TEXT NOT NULL DEFAULT '',
    region            TEXT NOT NULL DEFAULT '',
    city              TEXT NOT NULL DEFAULT '',
    login_ip_address  TEXT NOT NULL DEFAULT '',
    login_ip_source   TEXT NOT NULL DEFAULT '',

    user_agent        TEXT NOT NULL DEFAULT '',
    client_hints      TEXT NOT NULL DEFAULT '',
    device_type       TEXT NOT NULL DEFAULT '',
    device_source     TEXT NOT NULL DEFAULT '',
    device_ambiguous  INTEGER NOT NULL DEFAULT 0,
    browser           TEXT NOT NULL DEFAULT '',
    browser_version   TEXT NOT NULL DEFAULT '',
    os                TEXT NOT NULL DEFAULT '',
    os_version        TEXT NOT NULL DEFAULT '',
    brand             TEXT NOT NULL DEFAULT '',
    model             TEXT NOT NULL DEFAULT '',

    last_activity     INTEGER,
    login_at          INTEGER,
    logout_at         INTEGER,
    end_reason        TEXT,
    ended_by          TEXT NOT NULL DEFAULT '',
    expires_at        INTEGER,
    credential_until  INTEGER,

    CONSTRAINT user_sessions_user_agent_length CHECK (octet_length(user_agent) <= 512),
    CONSTRAINT user_sessions_end_is_whole CHECK ((logout_at IS NULL) = (end_reason IS NULL)),
    CONSTRAINT user_sessions_live_is_whole CHECK (logout_at IS NOT NULL
        OR (user_id <> '' AND last_activity IS NOT NULL AND login_at IS NOT NULL))
) STRICT;

-- The indexes serve, in this order: a user's sessions by login; a user's live sessions; the feed of
-- ended sessions; the sessions that began since a sample; the filters of the lists.
CREATE INDEX user_sessions_user_id ON user_sessions (user_id, login_at, id);
CREATE INDEX user_sessions_live_user_id ON user_sessions (user_id, id) WHERE logout_at IS NULL;
CREATE INDEX user_sessions_logout_at ON user_sessions (logout_at, id) WHERE logout_at IS NOT NULL;
CREATE INDEX user_sessions_login_at ON user_sessions (login_at, id) WHERE login_at IS NOT NULL;
CREATE INDEX user_sessions_live_ip_address ON user_sessions (ip_address) WHERE logout_at IS NULL;
CREATE INDEX user_sessions_live_device_type ON user_sessions (device_type) WHERE logout_at IS NULL;

-- What a purge looks at: ended rows in full, and those of which only the handle is left,
-- by what they wait for.
CREATE INDEX user_sessions_retained ON user_sessions (logout_at) WHERE logout_at IS NOT NULL AND user_id <> '';
CREATE INDEX user_sessions_remembered ON user_sessions (credential_until, logout_at) WHERE logout_at IS NOT NULL AND user_id = '';

-- Ended is final. The one change that an ended row accepts is the blanking of what is
-- personal in it.
CREATE TRIGGER user_sessions_ended_is_final BEFORE UPDATE ON user_sessions
    WHEN OLD.logout_at IS NOT NULL AND NOT (
        NEW.id = OLD.id AND NEW.session_id = OLD.session_id AND NEW.derived = OLD.derived
        AND NEW.logout_at IS OLD.logout_at AND NEW.end_reason IS OLD.end_reason
        AND NEW.credential_until IS OLD.credential_until
        AND (NEW.user_id = OLD.user_id OR NEW.user_id = '')
        AND (NEW.secret_hash IS OLD.secret_hash OR NEW.secret_hash IS NULL)
        AND (NEW.ip_address = OLD.ip_address OR NEW.ip_address = '')
        AND (NEW.ip_source = OLD.ip_source OR NEW.ip_source = '')
        AND (NEW.country_code = OLD.country_code OR NEW.country_code = '')
        AND (NEW.country = OLD.country OR NEW.country = '')
        AND (NEW.region = OLD.region OR NEW.region = '')
        AND (NEW.city = OLD.city OR NEW.city = '')
        AND (NEW.login_ip_address = OLD.login_ip_address OR NEW.login_ip_address = '')
        AND (NEW.login_ip_source = OLD.login_ip_source OR NEW.login_ip_source = '')
        AND (NEW.user_agent = OLD.user_agent OR NEW.user_agent = '')
        AND (NEW.client_hints = OLD.client_hints OR NEW.client_hints = '')
        AND (NEW.device_type = OLD.device_type OR NEW.device_type = '')
        AND (NEW.device_source = OLD.device_source OR NEW.device_source = '')
        AND (NEW.device_ambiguous = OLD.device_ambiguous OR NEW.device_ambiguous = 0)
        AND (NEW.browser = OLD.browser OR NEW.browser = '')
        AND (NEW.browser_version = OLD.browser_version OR NEW.browser_version = '')
        AND (NEW.os = OLD.os OR NEW.os = '')
        AND (NEW.os_version = OLD.os_version OR NEW.os_version = '')
        AND (NEW.brand = OLD.brand OR NEW.brand = '')
        AND (NEW.model = OLD.model OR NEW.model = '')
        AND (NEW.last_activity IS OLD.last_activity OR NEW.last_activity IS NULL)
        AND (NEW.login_at IS OLD.login_at OR NEW.login_at IS NULL)
        AND (NEW.expires_at IS OLD.expires_at OR NEW.expires_at IS NULL)
        AND (NEW.ended_by = OLD.ended_by OR NEW.ended_by = '')
    )
BEGIN
    SELECT RAISE(ABORT, 'the session has ended and cannot change');
END;

-- One row per user with a session that has not ended. It answers who is online. It moves in steps,
-- so an index on it is cheap.
CREATE TABLE user_presence (
    user_id        TEXT PRIMARY KEY,
    last_activity  INTEGER NOT NULL
) STRICT, WITHOUT ROWID;

CREATE INDEX user_presence_last_activity ON user_presence (last_activity DESC, user_id);

-- One row per user whose sessions were all ended. A credential of that user that was issued before,
-- and was never used, begins no session.
CREATE TABLE user_fences (
    user_id  TEXT PRIMARY KEY,
    at       INTEGER NOT NULL,
    reason   TEXT NOT NULL
) STRICT, WITHOUT ROWID;

CREATE INDEX user_fences_at ON user_fences (at);

-- One row a minute: peaks and history. taken_at is the exact moment of the count;
-- devices is a JSON array of counts in the order desktop, mobile, tablet, bot, tv,
-- console, wearable, other, unknown.
CREATE TABLE online_samples (
    at               INTEGER PRIMARY KEY,
    taken_at         INTEGER NOT NULL,
    very_active      INTEGER NOT NULL,
    online           INTEGER NOT NULL,
    recently_active  INTEGER NOT NULL,
    sessions         INTEGER NOT NULL,
    devices          TEXT NOT NULL
) STRICT;

-- One row per minute that was rolled up: the numbers of sessions that began and ended.
CREATE TABLE session_minutes (
    at      INTEGER PRIMARY KEY,
    logins  INTEGER NOT NULL,
    ends    INTEGER NOT NULL
) STRICT;

-- One row for each quarter of an hour in which sessions began or ended. counts is a JSON
-- object: how many began, by device type, browser, system and country, and how long those
-- that ended had lasted, by the number of their bucket.
CREATE TABLE session_quarters (
    at      INTEGER PRIMARY KEY,
    logins  INTEGER NOT NULL,
    counts  TEXT NOT NULL
) STRICT;

-- Who may do a periodic job, such as the cleanup: one process at a time.
CREATE TABLE session_leases (
    job       TEXT PRIMARY KEY,
    given_at  INTEGER NOT NULL
) STRICT, WITHOUT ROWID;
