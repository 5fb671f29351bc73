package sqlite

import (
	"cmp"
	"context"
	"database/sql"
	"fmt"
	"strings"
	"time"

	"github.com/sessiontrack/sessiontrack"
)

// touchSQL moves rows forward, never past the store's time. What has ended is neither
// changed nor returned.
const touchSQL = `UPDATE user_sessions AS s SET last_activity = max(s.last_activity, min(v.at, ?2)),
	last_seen = CASE WHEN v.seen > 0 THEN max(coalesce(s.last_seen, 0), min(v.seen, ?2)) ELSE s.last_seen END
FROM (SELECT e.value ->> 0 AS session_id, max(e.value ->> 1) AS at, max(e.value ->> 2) AS seen
	FROM json_each(?1) AS e GROUP BY 1) AS v
WHERE s.session_id = v.session_id AND s.logout_at IS NULL
RETURNING session_id, user_id, acted_by = '', last_activity,
	max(coalesce(last_seen, 0), last_activity)`

// presenceSQL moves users forward who are behind by a step.
const presenceSQL = `INSERT INTO user_presence (user_id, last_activity)
SELECT e.value ->> 0, e.value ->> 1 FROM json_each(?1) AS e WHERE true
ON CONFLICT (user_id) DO UPDATE SET last_activity = excluded.last_activity
WHERE excluded.last_activity > user_presence.last_activity
	AND excluded.last_activity >= user_presence.last_activity + ?2`

// Touch implements [sessiontrack.Store]: the whole batch is one transaction.
func (s *Store) Touch(
	ctx context.Context,
	batch []sessiontrack.TouchRecord,
	presenceStep time.Duration,
) ([]sessiontrack.SessionID, error) {
	if presenceStep < 0 {
		return nil, fmt.Errorf("sqlite: touch: presenceStep is %v: want 0 or more", presenceStep)
	}
	touches := make([][3]any, 0, len(batch))
	online := make(map[sessiontrack.SessionID]bool)
	for _, t := range batch {
		if _, err := sessiontrack.ParseSessionID(string(t.ID)); err == nil {
			touches = append(touches, [3]any{t.ID, column(t.At), column(t.Seen)})
			online[t.ID] = online[t.ID] || t.Online
		}
	}
	if len(touches) == 0 {
		return []sessiontrack.SessionID{}, ctxError("touch", ctx)
	}
	alive := make([]sessiontrack.SessionID, 0, len(touches))
	users := make(map[string]int64)
	err := s.transaction(ctx, "touch", func(t *transaction) error {
		err := t.each(func(rows *sql.Rows) error {
			var id sessiontrack.SessionID
			var user string
			var own bool
			var at, seen int64
			err := rows.Scan(&id, &user, &own, &at, &seen)
			alive = append(alive, id)
			if online[id] {
				at = seen
			}
			if own { // an administrator's session in the place of a user moves no presence
				users[user] = max(users[user], at)
			}
			return err
		}, touchSQL, asJSON(touches), t.now)
		if err != nil || len(users) == 0 {
			return err
		}
		seen := make([][2]any, 0, len(users))
		for user, at := range users {
			seen = append(seen, [2]any{user, at})
		}
		_, err = t.exec(presenceSQL, asJSON(seen), span(presenceStep))
		return err
	})
	if err != nil {
		return nil, err
	}
	return alive, nil
}

// renewSQL changes the secret of a live session that has the old one.
const renewSQL = `UPDATE user_sessions AS s SET secret_hash = ?3, methods = ?4, authenticated_at = ?5, renewed_at = ?5
WHERE s.session_id = ?1 AND s.logout_at IS NULL AND s.secret_hash = ?2`

// Renew implements [sessiontrack.Renewer].
func (s *Store) Renew(ctx context.Context, r sessiontrack.Renewal) (sessiontrack.Session, error) {
	if err := r.Check(); err != nil {
		return sessiontrack.Session{}, err
	}
	var renewed sessiontrack.Session
	err := s.transaction(ctx, "renew", func(t *transaction) error {
		n, err := t.exec(renewSQL, string(r.ID), r.OldHash[:], r.NewHash[:], strings.Join(r.Methods, " "), t.now)
		if err != nil || n == 0 {
			return cmp.Or(err, sessiontrack.ErrNotFound)
		}
		renewed, err = t.session(r.ID)
		return err
	})
	if err != nil {
		return sessiontrack.Session{}, err
	}
	return renewed, nil
}

func ctxError(verb string, ctx context.Context) error { return failed(verb, ctx.Err()) }
