package sqlite

import (
	"context"
	"database/sql"
	"fmt"
	"time"

	"github.com/sessiontrack/sessiontrack"
)

// touchSQL moves rows forward, never past the store's time. What has ended is neither
// changed nor returned.
const touchSQL = `UPDATE user_sessions AS s SET last_activity = max(s.last_activity, min(v.at, ?2))
FROM (SELECT e.value ->> 0 AS session_id, max(e.value ->> 1) AS at FROM json_each(?1) AS e GROUP BY 1) AS v
WHERE s.session_id = v.session_id AND s.logout_at IS NULL RETURNING session_id, user_id, last_activity`

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
	touches := make([][2]any, 0, len(batch))
	for _, t := range batch {
		if _, err := sessiontrack.ParseSessionID(string(t.ID)); err == nil {
			touches = append(touches, [2]any{t.ID, column(t.At)})
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
			var at int64
			err := rows.Scan(&id, &user, &at)
			alive, users[user] = append(alive, id), max(users[user], at)
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

func ctxError(verb string, ctx context.Context) error { return failed(verb, ctx.Err()) }
