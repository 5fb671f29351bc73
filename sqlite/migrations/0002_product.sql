-- What an application says of a session at the sign-in: the kind of client, the organisation,
-- the administrator who acts in it, how the user authenticated, an idle limit of its own.
-- methods are words with spaces between. idle_timeout is in microseconds; 0 is the usual
-- limit and -1 none. last_seen is the latest sign of life that was no activity; where
-- last_activity is later, that counts.
ALTER TABLE user_sessions ADD COLUMN client TEXT NOT NULL DEFAULT '';
ALTER TABLE user_sessions ADD COLUMN tenant TEXT NOT NULL DEFAULT '';
ALTER TABLE user_sessions ADD COLUMN acted_by TEXT NOT NULL DEFAULT '';
ALTER TABLE user_sessions ADD COLUMN authenticated_at INTEGER;
ALTER TABLE user_sessions ADD COLUMN methods TEXT NOT NULL DEFAULT '';
ALTER TABLE user_sessions ADD COLUMN last_seen INTEGER;
ALTER TABLE user_sessions ADD COLUMN idle_timeout INTEGER NOT NULL DEFAULT 0;
ALTER TABLE user_sessions ADD COLUMN remember INTEGER NOT NULL DEFAULT 0;
ALTER TABLE user_sessions ADD COLUMN renewed_at INTEGER;
ALTER TABLE user_sessions ADD COLUMN provider_id TEXT NOT NULL DEFAULT '';

-- The session of an identity provider that a session belongs to, as a hash, for logouts that come
-- from there. That it has ended is remembered in user_fences, under char(1) and the hash: no user
-- id has a control character.
CREATE INDEX user_sessions_provider_id ON user_sessions (provider_id) WHERE provider_id <> '';

-- The feed of sessions whose secret has changed. They are few, and only a step-up writes it.
CREATE INDEX user_sessions_renewed_at ON user_sessions (renewed_at) WHERE renewed_at IS NOT NULL;

-- Ended is final, for the new columns too.
DROP TRIGGER user_sessions_ended_is_final;
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
        AND (NEW.client = OLD.client OR NEW.client = '')
        AND (NEW.tenant = OLD.tenant OR NEW.tenant = '')
        AND (NEW.acted_by = OLD.acted_by OR NEW.acted_by = '')
        AND (NEW.authenticated_at IS OLD.authenticated_at OR NEW.authenticated_at IS NULL)
        AND (NEW.methods = OLD.methods OR NEW.methods = '')
        AND (NEW.last_seen IS OLD.last_seen OR NEW.last_seen IS NULL)
        AND NEW.idle_timeout = OLD.idle_timeout
        AND (NEW.remember = OLD.remember OR NEW.remember = 0)
        AND (NEW.renewed_at IS OLD.renewed_at OR NEW.renewed_at IS NULL)
        AND (NEW.provider_id = OLD.provider_id OR NEW.provider_id = '')
    )
BEGIN
    SELECT RAISE(ABORT, 'the session has ended and cannot change');
END;

-- The lists of a filter, in the order of the sign-ins: each index finds the live, or the ended, rows
-- with one fact. No index has a column that a touch writes.
DROP INDEX user_sessions_live_ip_address;
DROP INDEX user_sessions_live_device_type;
CREATE INDEX user_sessions_live_login ON user_sessions (login_at, id) WHERE logout_at IS NULL;
CREATE INDEX user_sessions_ended_login ON user_sessions (login_at, id) WHERE logout_at IS NOT NULL AND user_id <> '';
CREATE INDEX user_sessions_ended_reason ON user_sessions (end_reason, login_at, id) WHERE logout_at IS NOT NULL AND user_id <> '';
CREATE INDEX user_sessions_live_tenant ON user_sessions (tenant, login_at, id) WHERE logout_at IS NULL AND tenant <> '';
CREATE INDEX user_sessions_ended_tenant ON user_sessions (tenant, login_at, id) WHERE logout_at IS NOT NULL AND tenant <> '';
CREATE INDEX user_sessions_live_client ON user_sessions (client, login_at, id) WHERE logout_at IS NULL AND client <> '';
CREATE INDEX user_sessions_ended_client ON user_sessions (client, login_at, id) WHERE logout_at IS NOT NULL AND client <> '';
CREATE INDEX user_sessions_live_acted_by ON user_sessions (acted_by, login_at, id) WHERE logout_at IS NULL AND acted_by <> '';
CREATE INDEX user_sessions_ended_acted_by ON user_sessions (acted_by, login_at, id) WHERE logout_at IS NOT NULL AND acted_by <> '';
CREATE INDEX user_sessions_live_device_type ON user_sessions (device_type, login_at, id) WHERE logout_at IS NULL AND device_type <> '';
CREATE INDEX user_sessions_ended_device_type ON user_sessions (device_type, login_at, id) WHERE logout_at IS NOT NULL AND device_type <> '';
CREATE INDEX user_sessions_live_browser ON user_sessions (browser, login_at, id) WHERE logout_at IS NULL AND browser <> '';
CREATE INDEX user_sessions_ended_browser ON user_sessions (browser, login_at, id) WHERE logout_at IS NOT NULL AND browser <> '';
CREATE INDEX user_sessions_live_os ON user_sessions (os, login_at, id) WHERE logout_at IS NULL AND os <> '';
CREATE INDEX user_sessions_ended_os ON user_sessions (os, login_at, id) WHERE logout_at IS NOT NULL AND os <> '';
CREATE INDEX user_sessions_live_country_code ON user_sessions (country_code, login_at, id) WHERE logout_at IS NULL AND country_code <> '';
CREATE INDEX user_sessions_ended_country_code ON user_sessions (country_code, login_at, id) WHERE logout_at IS NOT NULL AND country_code <> '';
CREATE INDEX user_sessions_live_ip_address ON user_sessions (ip_address, login_at, id) WHERE logout_at IS NULL AND ip_address <> '';
CREATE INDEX user_sessions_ended_ip_address ON user_sessions (ip_address, login_at, id) WHERE logout_at IS NOT NULL AND ip_address <> '';
CREATE INDEX user_sessions_live_login_ip_address ON user_sessions (login_ip_address, login_at, id) WHERE logout_at IS NULL AND login_ip_address <> '';
CREATE INDEX user_sessions_ended_login_ip_address ON user_sessions (login_ip_address, login_at, id) WHERE logout_at IS NOT NULL AND login_ip_address <> '';

-- The audit trail. at is the time of the record. An empty text is "none".
CREATE TABLE session_audit (
    id          INTEGER PRIMARY KEY AUTOINCREMENT,
    at          INTEGER NOT NULL,
    action      TEXT NOT NULL,
    outcome     TEXT NOT NULL CHECK (outcome IN ('done', 'refused', 'failed')),
    actor       TEXT NOT NULL,
    user_id     TEXT NOT NULL,
    session_id  TEXT NOT NULL,
    reason      TEXT NOT NULL,
    count       INTEGER NOT NULL CHECK (count >= 0),
    filter      TEXT NOT NULL,
    ip_address  TEXT NOT NULL
) STRICT;
CREATE INDEX session_audit_at ON session_audit (at, id);
CREATE INDEX session_audit_actor ON session_audit (actor, at, id) WHERE actor <> '';
CREATE INDEX session_audit_user_id ON session_audit (user_id, at, id) WHERE user_id <> '';

-- The time up to which records are past their retention. The cleanup moves it.
CREATE TABLE session_audit_retention (before INTEGER NOT NULL) STRICT;
INSERT INTO session_audit_retention VALUES (0);

-- A record never changes, but personal data may be blanked. It is deleted only after its retention.
CREATE TRIGGER session_audit_changes_only_to_blank BEFORE UPDATE ON session_audit
    WHEN NOT (
        NEW.id = OLD.id AND NEW.at = OLD.at AND NEW.action = OLD.action AND NEW.outcome = OLD.outcome
        AND NEW.reason = OLD.reason AND NEW.count = OLD.count
        AND (NEW.actor = OLD.actor OR NEW.actor = '')
        AND (NEW.user_id = OLD.user_id OR NEW.user_id = '')
        AND (NEW.session_id = OLD.session_id OR NEW.session_id = '')
        AND (NEW.filter = OLD.filter OR NEW.filter = '')
        AND (NEW.ip_address = OLD.ip_address OR NEW.ip_address = '')
    )
BEGIN
    SELECT RAISE(ABORT, 'the audit trail is append-only');
END;
CREATE TRIGGER session_audit_is_retained BEFORE DELETE ON session_audit
    WHEN OLD.at >= (SELECT coalesce(max(before), 0) FROM session_audit_retention)
BEGIN
    SELECT RAISE(ABORT, 'the audit trail is append-only');
END;
