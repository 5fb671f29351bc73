-- A sign-in in one statement, and so in one round trip: a database that is 200 ms away
-- answers it in 200 ms. It is the body of (*BunStore).Create. Each statement in it has a
-- snapshot of its own, because the function is volatile and the transaction READ
-- COMMITTED: those behind the lock see what the sign-in before has committed.
--
-- n has the columns of the new row. turn is the key of the user's lock. Of the durations,
-- lifetime and idle are microseconds, patience is milliseconds.
--
-- Rows come and go as JSON: the function then depends on no row's type. It returns the
-- new row as 'created' and those that it ended as 'ended', or one row that
-- says why it has changed nothing: 'exists', 'limit', 'fence' with the reason, or
-- 'isolation', where the caller has to begin a transaction itself.
CREATE FUNCTION sessiontrack_create(
    n jsonb, lifetime bigint, replaces text, most integer, deny boolean, idle bigint,
    issued timestamptz, space integer, turn integer, patience bigint,
    OUT outcome text, OUT reason text, OUT session jsonb
) RETURNS SETOF record LANGUAGE plpgsql SET search_path FROM CURRENT AS $$
DECLARE
    deadline timestamptz := clock_timestamp() + patience * interval '1 millisecond';
    r user_sessions := jsonb_populate_record(NULL::user_sessions, n);
    made user_sessions;
    candidates bigint[];
    replaced bigint;
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

    -- All rows that may be ended are locked at once, in the order of every transaction.
    IF most > 0 THEN
        candidates := ARRAY(SELECT s.id FROM user_sessions AS s WHERE s.user_id = r.user_id AND s.logout_at IS NULL);
    END IF;
    IF replaces <> '' THEN
        candidates := candidates || ARRAY(SELECT s.id FROM user_sessions AS s WHERE s.session_id = replaces AND s.is_active);
    END IF;
    IF candidates <> '{}' THEN
        WITH locked AS MATERIALIZED (
            SELECT s.id, s.session_id, s.user_id, s.login_at, s.expires_at, s.last_activity FROM user_sessions AS s
            WHERE s.id = ANY(candidates) AND s.is_active ORDER BY s.id FOR NO KEY UPDATE OF s
        )
        SELECT max(l.id) FILTER (WHERE l.session_id = replaces),
            array_agg(l.id ORDER BY l.login_at, l.id) FILTER (WHERE l.session_id <> replaces AND l.user_id = r.user_id
                AND (l.expires_at IS NULL OR l.expires_at > statement_timestamp())
                AND (idle = 0 OR l.last_activity > statement_timestamp() - idle * interval '1 microsecond'))
        INTO replaced, active FROM locked AS l;
    END IF;
    IF most = 0 OR coalesce(cardinality(active), 0) < most THEN
        active := '{}';
    ELSIF deny THEN
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
        login_at, last_activity, created_at, updated_at, expires_at, credential_until)
    VALUES (r.session_id, r.user_id, r.derived, r.secret_hash,
        r.ip_address, r.ip_source, r.country_code, r.country, r.region, r.city, r.login_ip_address, r.login_ip_source,
        r.user_agent, r.client_hints, r.device_type, r.device_source, r.device_ambiguous,
        r.browser, r.browser_version, r.os, r.os_version, r.brand, r.model,
        moment, moment, moment, moment, CASE WHEN lifetime > 0 THEN moment + lifetime * interval '1 microsecond' END,
        r.credential_until)
    ON CONFLICT (session_id) DO NOTHING RETURNING s.* INTO made;
    IF NOT FOUND THEN
        outcome := 'exists';
        RETURN NEXT;
        RETURN;
    END IF;

    moment := clock_timestamp();
    FOR gone IN
        UPDATE user_sessions AS s SET logout_at = greatest(moment, s.last_activity), updated_at = moment,
            end_reason = CASE WHEN s.id = replaced THEN 'replaced' ELSE 'limit' END
        WHERE s.id = ANY(active || replaced) AND s.is_active RETURNING s.*
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
            INSERT INTO user_presence AS p (user_id, last_activity) VALUES (name, made.login_at)
            ON CONFLICT (user_id) DO UPDATE SET last_activity = greatest(p.last_activity, excluded.last_activity);
        ELSE
            PERFORM FROM user_presence AS p WHERE p.user_id = name FOR UPDATE;
            DELETE FROM user_presence AS p WHERE p.user_id = name
                AND (SELECT 1 FROM user_sessions AS s WHERE s.user_id >= name AND s.user_id <= name AND s.logout_at IS NULL
                    ORDER BY s.user_id, s.id LIMIT 1) IS NULL;
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

-- Sessions that have a user, for the application's own queries. What is remembered of an
-- ended session behind its retention has none: a cast of user_id, or a join, meets only
-- what it can read. Without secret_hash, which nobody has to read.
CREATE VIEW sessions_of_users WITH (security_barrier) AS
SELECT id, session_id, user_id, derived, is_active, login_at, last_activity, logout_at, end_reason, ended_by, expires_at,
    ip_address, country_code, country, region, city, login_ip_address, device_type, browser, browser_version,
    os, os_version, brand, model
FROM user_sessions WHERE user_id <> '';
