-- What an application says of a session at the sign-in: the kind of client, the organisation,
-- the administrator who acts in it, how the user authenticated, an idle limit of its own.
--
-- last_seen is the latest sign of life that was no activity; where last_activity is later, that
-- counts. A touch writes one of the two. No index uses either, so it stays a heap-only update.
ALTER TABLE user_sessions
    ADD COLUMN client            text COLLATE "C" NOT NULL DEFAULT '',
    ADD COLUMN tenant            text COLLATE "C" NOT NULL DEFAULT '',
    ADD COLUMN acted_by          text COLLATE "C" NOT NULL DEFAULT '',
    ADD COLUMN authenticated_at  timestamptz,
    ADD COLUMN methods           text NOT NULL DEFAULT '', -- words with spaces between
    ADD COLUMN last_seen         timestamptz,
    ADD COLUMN idle_timeout      bigint NOT NULL DEFAULT 0, -- microseconds; 0: the usual limit, -1: none
    ADD COLUMN remember          boolean NOT NULL DEFAULT false,
    ADD COLUMN renewed_at        timestamptz,
    ADD COLUMN provider_id       text COLLATE "C" NOT NULL DEFAULT '';

-- The session of an identity provider that a session belongs to, as a hash, for logouts that come
-- from there. That it has ended is remembered in user_fences, under chr(1) and the hash: no user
-- id has a control character.
CREATE INDEX user_sessions_provider_id ON user_sessions (provider_id) WHERE provider_id <> '';

-- The feed of sessions whose secret has changed. They are few, and only a step-up writes it.
CREATE INDEX user_sessions_renewed_at ON user_sessions (renewed_at) WHERE renewed_at IS NOT NULL;

-- The sign-in, with the new columns. ends names sessions of the user that a person chose to end;
-- policy is 'oldest', 'least' for the least active, or 'deny'. A session that an administrator acts
-- in makes nobody online: its user's presence is the first microsecond of all, so that lists have
-- the user and no window does.
DROP FUNCTION sessiontrack_create(jsonb, bigint, text, integer, boolean, bigint, timestamptz, integer, integer, bigint);
CREATE FUNCTION sessiontrack_create(
    n jsonb, lifetime bigint, replaces text, ends text[], most integer, policy text, idle bigint,
    issued timestamptz, space integer, turn integer, patience bigint,
    OUT outcome text, OUT reason text, OUT session jsonb
) RETURNS SETOF record LANGUAGE plpgsql SET search_path FROM CURRENT AS $$
DECLARE
    deadline timestamptz := clock_timestamp() + patience * interval '1 millisecond';
    r user_sessions := jsonb_populate_record(NULL::user_sessions, n);
    made user_sessions;
    candidates bigint[];
    replaced bigint;
    chosen bigint[];
    active bigint[];
    moment timestamptz;
    gone user_sessions;
    name text;
    others text[] := '{}';
BEGIN
    IF current_setting('transaction_isolation') <> 'read committed' THEN
        outcome := 'isolation';
        RETURN NEXT;
        RETURN;
    END IF;
    PERFORM set_config('lock_timeout', patience::text, true);
    IF current_setting('synchronous_commit') = 'off' THEN -- what is acknowledged is on disk
        PERFORM set_config('synchronous_commit', 'on', true);
    END IF;

    IF most > 0 OR issued IS NOT NULL THEN
        PERFORM pg_advisory_xact_lock(space, turn);
    END IF;
    IF issued IS NOT NULL THEN
        SELECT f.reason INTO reason FROM user_fences AS f
        WHERE f.user_id = r.user_id AND f.at >= date_trunc('second', issued)
            AND NOT EXISTS (SELECT FROM user_sessions AS s WHERE s.session_id = r.session_id);
        IF FOUND THEN
            outcome := 'fence';
            RETURN NEXT;
            RETURN;
        END IF;
    END IF;

    IF r.provider_id <> '' THEN
        PERFORM pg_advisory_xact_lock(space, hashtext('session_leases'::regclass::oid || ' ' || chr(1) || r.provider_id));
        SELECT f.reason INTO reason FROM user_fences AS f WHERE f.user_id = chr(1) || r.provider_id
            AND NOT EXISTS (SELECT FROM user_sessions AS s WHERE s.session_id = r.session_id);
        IF FOUND THEN
            outcome := 'fence';
            RETURN NEXT;
            RETURN;
        END IF;
    END IF;

    -- All rows that may be ended are locked at once, in the order of every transaction.
    IF most > 0 OR ends <> '{}' THEN
        candidates := ARRAY(SELECT s.id FROM user_sessions AS s WHERE s.user_id = r.user_id AND s.logout_at IS NULL);
    END IF;
    IF replaces <> '' THEN
        candidates := candidates || ARRAY(SELECT s.id FROM user_sessions AS s WHERE s.session_id = replaces AND s.is_active);
    END IF;
    IF candidates <> '{}' THEN
        WITH locked AS MATERIALIZED (
            SELECT s.id, s.session_id, s.user_id, s.acted_by, s.login_at, s.expires_at, s.last_activity,
                CASE s.idle_timeout WHEN 0 THEN idle ELSE s.idle_timeout END AS idle_limit FROM user_sessions AS s
            WHERE s.id = ANY(candidates) AND s.is_active ORDER BY s.id FOR NO KEY UPDATE OF s
        )
        SELECT max(l.id) FILTER (WHERE l.session_id = replaces),
            array_agg(l.id) FILTER (WHERE l.session_id <> replaces AND l.user_id = r.user_id AND l.session_id = ANY(ends)),
            array_agg(l.id ORDER BY CASE policy WHEN 'least' THEN l.last_activity ELSE l.login_at END, l.id)
                FILTER (WHERE l.session_id <> replaces AND l.user_id = r.user_id AND l.session_id <> ALL(ends)
                AND l.acted_by = '' AND (l.expires_at IS NULL OR l.expires_at > statement_timestamp())
                AND (l.idle_limit <= 0 OR l.last_activity > statement_timestamp() - l.idle_limit * interval '1 microsecond'))
        INTO replaced, chosen, active FROM locked AS l;
    END IF;
    IF most = 0 OR coalesce(cardinality(active), 0) < most THEN
        active := '{}';
    ELSIF policy = 'deny' THEN
        outcome := 'limit';
        RETURN NEXT;
        RETURN;
    ELSE
        active := active[:cardinality(active) + 1 - most];
    END IF;

    moment := clock_timestamp();
    INSERT INTO user_sessions AS s (session_id, user_id, derived, secret_hash,
        ip_address, ip_source, country_code, country, region, city, login_ip_address, login_ip_source,
        user_agent, client_hints, device_type, device_source, device_ambiguous,
        browser, browser_version, os, os_version, brand, model,
        login_at, last_activity, created_at, updated_at, expires_at, credential_until,
        client, tenant, acted_by, authenticated_at, methods, idle_timeout, remember, provider_id)
    VALUES (r.session_id, r.user_id, r.derived, r.secret_hash,
        r.ip_address, r.ip_source, r.country_code, r.country, r.region, r.city, r.login_ip_address, r.login_ip_source,
        r.user_agent, r.client_hints, r.device_type, r.device_source, r.device_ambiguous,
        r.browser, r.browser_version, r.os, r.os_version, r.brand, r.model,
        moment, moment, moment, moment, CASE WHEN lifetime > 0 THEN moment + lifetime * interval '1 microsecond' END,
        r.credential_until, r.client, r.tenant, r.acted_by,
        CASE WHEN r.authenticated_at IS NULL AND r.derived THEN NULL ELSE least(r.authenticated_at, moment) END,
        r.methods, r.idle_timeout, r.remember, coalesce(r.provider_id, ''))
    ON CONFLICT (session_id) DO NOTHING RETURNING s.* INTO made;
    IF NOT FOUND THEN
        outcome := 'exists';
        RETURN NEXT;
        RETURN;
    END IF;

    moment := clock_timestamp();
    FOR gone IN
        UPDATE user_sessions AS s SET logout_at = greatest(moment, s.last_activity), updated_at = moment,
            end_reason = CASE WHEN s.id = replaced THEN 'replaced' WHEN s.id = ANY(chosen) THEN 'user' ELSE 'limit' END,
            ended_by = CASE WHEN s.id = ANY(chosen) AND s.id IS DISTINCT FROM replaced THEN r.user_id ELSE '' END
        WHERE s.id = ANY(active || chosen || replaced) AND s.is_active RETURNING s.*
    LOOP
        outcome := 'ended';
        session := to_jsonb(gone) - 'secret_hash';
        others := others || gone.user_id;
        RETURN NEXT;
    END LOOP;

    -- Presence, user by user in their order: the new session's user is online, and the
    -- one of a replaced session may be no longer. The row is locked in one statement and
    -- the sessions are looked up in the next.
    FOR name IN SELECT DISTINCT u COLLATE "C" FROM unnest(others || made.user_id) AS u ORDER BY 1 LOOP
        IF name = made.user_id THEN
            INSERT INTO user_presence AS p (user_id, last_activity)
            VALUES (name, CASE made.acted_by WHEN '' THEN made.login_at ELSE '1970-01-01 00:00:00.000001Z' END)
            ON CONFLICT (user_id) DO UPDATE SET last_activity = greatest(p.last_activity, excluded.last_activity);
        ELSE
            PERFORM FROM user_presence AS p WHERE p.user_id = name FOR UPDATE;
            DELETE FROM user_presence AS p WHERE p.user_id = name
                AND (SELECT 1 FROM user_sessions AS s WHERE s.user_id >= name AND s.user_id <= name AND s.logout_at IS NULL
                    ORDER BY s.user_id, s.id LIMIT 1) IS NULL;
            UPDATE user_presence AS p SET last_activity = '1970-01-01 00:00:00.000001Z' WHERE p.user_id = name
                AND (SELECT 1 FROM user_sessions AS s WHERE s.user_id >= name AND s.user_id <= name AND s.logout_at IS NULL
                    AND s.acted_by = '' ORDER BY s.user_id, s.id LIMIT 1) IS NULL;
        END IF;
    END LOOP;
    IF others <> '{}' THEN
        PERFORM pg_notify('sessiontrack_ended', '');
    END IF;
    IF clock_timestamp() > deadline THEN -- an end must not become visible long after its stamp
        RAISE EXCEPTION 'the sign-in took longer than % ms', patience USING ERRCODE = 'query_canceled';
    END IF;
    outcome := 'created';
    session := to_jsonb(made) - 'secret_hash';
    RETURN NEXT;
END
$$;

DROP VIEW sessions_of_users;
CREATE VIEW sessions_of_users WITH (security_barrier) AS
SELECT id, session_id, user_id, derived, is_active, login_at, last_activity,
    greatest(last_seen, last_activity) AS last_seen, logout_at, end_reason, ended_by, expires_at,
    client, tenant, acted_by, authenticated_at, methods, remember,
    ip_address, country_code, country, region, city, login_ip_address, device_type, browser, browser_version,
    os, os_version, brand, model
FROM user_sessions WHERE user_id <> '';

-- The lists of a filter, in the order of the sign-ins: each index finds the live, or the ended, rows
-- with one fact, and a page reads no more of it than it shows. No index has a column that a touch
-- writes.
DROP INDEX user_sessions_live_ip_address;
DROP INDEX user_sessions_live_device_type;
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

-- An address as a value that has an order, so that a prefix is a range. An address with a zone has
-- none.
CREATE INDEX user_sessions_by_ip_address ON user_sessions (
    (CASE WHEN ip_address ~ '^[0-9a-fA-F.]*[.:][0-9a-fA-F.:]*$' THEN ip_address::inet END), is_active, login_at, id
) WHERE ip_address <> '';
CREATE INDEX user_sessions_by_login_ip_address ON user_sessions (
    (CASE WHEN login_ip_address ~ '^[0-9a-fA-F.]*[.:][0-9a-fA-F.:]*$' THEN login_ip_address::inet END), is_active, login_at, id
) WHERE login_ip_address <> '';

-- The audit trail. at is the time of the record. An empty text is "none".
CREATE TABLE session_audit (
    id          bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    at          timestamptz NOT NULL,
    action      text COLLATE "C" NOT NULL,
    outcome     text COLLATE "C" NOT NULL CHECK (outcome IN ('done', 'refused', 'failed')),
    actor       text COLLATE "C" NOT NULL,
    user_id     text COLLATE "C" NOT NULL,
    session_id  text COLLATE "C" NOT NULL,
    reason      text COLLATE "C" NOT NULL,
    count       integer NOT NULL CHECK (count >= 0),
    filter      text NOT NULL,
    ip_address  text COLLATE "C" NOT NULL
);
CREATE INDEX session_audit_at ON session_audit (at, id);
CREATE INDEX session_audit_actor ON session_audit (actor, at, id) WHERE actor <> '';
CREATE INDEX session_audit_user_id ON session_audit (user_id, at, id) WHERE user_id <> '';

-- A record never changes, but personal data may be blanked. It is deleted only by a transaction that
-- says up to which time records are past their retention, as the cleanup does.
CREATE FUNCTION session_audit_is_append_only() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    IF TG_OP = 'DELETE' AND OLD.at < nullif(current_setting('sessiontrack.audit_before', true), '')::timestamptz THEN
        RETURN OLD;
    END IF;
    IF TG_OP = 'UPDATE' AND NOT EXISTS (
        SELECT FROM jsonb_each(to_jsonb(OLD)) AS o JOIN jsonb_each(to_jsonb(NEW)) AS n USING (key)
        WHERE o.value <> n.value
          AND NOT (n.value = '""' AND key IN ('actor', 'user_id', 'session_id', 'filter', 'ip_address'))
    ) THEN
        RETURN NEW;
    END IF;
    RAISE EXCEPTION 'the audit trail is append-only' USING ERRCODE = 'integrity_constraint_violation';
END
$$;
CREATE TRIGGER session_audit_is_append_only BEFORE UPDATE OR DELETE ON session_audit
    FOR EACH ROW EXECUTE FUNCTION session_audit_is_append_only();
CREATE TRIGGER session_audit_is_not_emptied BEFORE TRUNCATE ON session_audit
    FOR EACH STATEMENT EXECUTE FUNCTION session_audit_is_append_only();
