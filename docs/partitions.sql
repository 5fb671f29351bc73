-- Hash partitions of user_sessions by session_id. Run it in one transaction after Migrate, as the
-- tables' owner, with the schema of the tables first in search_path, while user_sessions is empty:
--
--	psql -1 -v ON_ERROR_STOP=1 -f partitions.sql …
--
-- docs/postgresql.md says what it is for and what gets slower.

DO $$ BEGIN
    IF EXISTS (SELECT FROM user_sessions) THEN
        RAISE EXCEPTION 'user_sessions has rows: this makes an empty table';
    END IF;
END $$;

DROP VIEW sessions_of_users;
ALTER TABLE user_sessions RENAME TO plain;
CREATE TABLE user_sessions (LIKE plain INCLUDING DEFAULTS INCLUDING GENERATED INCLUDING CONSTRAINTS)
    PARTITION BY HASH (session_id);
-- Serials come from one sequence, because an identity column needs a primary key that the table
-- cannot have: every unique index of a partitioned table contains the partition's key.
CREATE SEQUENCE user_sessions_serial OWNED BY user_sessions.id;
ALTER TABLE user_sessions ALTER id SET DEFAULT nextval('user_sessions_serial');
DROP TABLE plain;

CREATE UNIQUE INDEX user_sessions_session_id_key ON user_sessions (session_id);
CREATE INDEX user_sessions_pkey ON user_sessions (id);
CREATE INDEX user_sessions_user_id ON user_sessions (user_id, login_at, id);
CREATE INDEX user_sessions_live_user_id ON user_sessions (user_id, id) WHERE logout_at IS NULL;
CREATE INDEX user_sessions_logout_at ON user_sessions (logout_at, id) WHERE logout_at IS NOT NULL;
CREATE INDEX user_sessions_login_at ON user_sessions (login_at);
CREATE INDEX user_sessions_by_login ON user_sessions (is_active, login_at, id) WHERE user_id <> '';
CREATE INDEX user_sessions_by_derived ON user_sessions (is_active, login_at, id) WHERE derived AND user_id <> '';
CREATE INDEX user_sessions_by_reason ON user_sessions (end_reason, login_at, id) WHERE NOT is_active AND user_id <> '';
CREATE INDEX user_sessions_by_tenant ON user_sessions (tenant, is_active, login_at, id) WHERE tenant <> '';
CREATE INDEX user_sessions_by_client ON user_sessions (client, is_active, login_at, id) WHERE client <> '';
CREATE INDEX user_sessions_by_acted_by ON user_sessions (acted_by, is_active, login_at, id) WHERE acted_by <> '';
CREATE INDEX user_sessions_by_device_type ON user_sessions (device_type, is_active, login_at, id) WHERE device_type <> '';
CREATE INDEX user_sessions_by_browser ON user_sessions (browser, is_active, login_at, id) WHERE browser <> '';
CREATE INDEX user_sessions_by_os ON user_sessions (os, is_active, login_at, id) WHERE os <> '';
CREATE INDEX user_sessions_by_country_code ON user_sessions (country_code, is_active, login_at, id) WHERE country_code <> '';
CREATE INDEX user_sessions_by_ip_address ON user_sessions (
    (CASE WHEN ip_address ~ '^[0-9a-fA-F.]*[.:][0-9a-fA-F.:]*$' THEN ip_address::inet END), is_active, login_at, id
) WHERE ip_address <> '';
CREATE INDEX user_sessions_by_login_ip_address ON user_sessions (
    (CASE WHEN login_ip_address ~ '^[0-9a-fA-F.]*[.:][0-9a-fA-F.:]*$' THEN login_ip_address::inet END), is_active, login_at, id
) WHERE login_ip_address <> '';
CREATE INDEX user_sessions_retained ON user_sessions (logout_at) WHERE logout_at IS NOT NULL AND user_id <> '';
CREATE INDEX user_sessions_remembered ON user_sessions (credential_until, logout_at)
    WHERE logout_at IS NOT NULL AND user_id = '';
CREATE INDEX user_sessions_provider_id ON user_sessions (provider_id) WHERE provider_id <> '';
CREATE INDEX user_sessions_renewed_at ON user_sessions (renewed_at) WHERE renewed_at IS NOT NULL;

CREATE TRIGGER user_sessions_ended_is_final BEFORE UPDATE ON user_sessions
    FOR EACH ROW WHEN (OLD.logout_at IS NOT NULL) EXECUTE FUNCTION user_sessions_ended_is_final();

-- Room on each page, so that a touch stays on its page and writes no index.
CREATE TABLE user_sessions_0 PARTITION OF user_sessions FOR VALUES WITH (MODULUS 4, REMAINDER 0) WITH (fillfactor = 85);
CREATE TABLE user_sessions_1 PARTITION OF user_sessions FOR VALUES WITH (MODULUS 4, REMAINDER 1) WITH (fillfactor = 85);
CREATE TABLE user_sessions_2 PARTITION OF user_sessions FOR VALUES WITH (MODULUS 4, REMAINDER 2) WITH (fillfactor = 85);
CREATE TABLE user_sessions_3 PARTITION OF user_sessions FOR VALUES WITH (MODULUS 4, REMAINDER 3) WITH (fillfactor = 85);

CREATE VIEW sessions_of_users WITH (security_barrier) AS
SELECT id, session_id, user_id, derived, is_active, login_at, last_activity,
    greatest(last_seen, last_activity) AS last_seen, logout_at, end_reason, ended_by, expires_at,
    client, tenant, acted_by, authenticated_at, methods, remember,
    ip_address, country_code, country, region, city, login_ip_address, device_type, browser, browser_version,
    os, os_version, brand, model
FROM user_sessions WHERE user_id <> '';
