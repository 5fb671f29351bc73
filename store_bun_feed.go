package sessiontrack

import (
	"context"
	"fmt"
	"strings"
	"time"

	"github.com/sessiontrack/sessiontrack/internal/postgres"
	"github.com/uptrace/bun"
)

// EndedSince implements [EndedFeed].
func (s *BunStore) EndedSince(ctx context.Context, since time.Time, limit int) (EndedPage, error) {
	if limit < 1 {
		return EndedPage{}, fmt.Errorf("sessiontrack: ended since: limit is %d, want 1 or more", limit)
	}
	if since.IsZero() {
		now, err := s.db.Now(ctx)
		return EndedPage{Now: now}, bunFailed("ended since", err)
	}
	var groups []endedGroup
	err := s.readEnds(ctx, func(conn bun.Conn) (standby bool, err error) {
		groups = nil
		err = conn.NewRaw(endedSQL, columnTime(since), limit+1).Scan(ctx, &groups)
		return err == nil && groups[0].Standby, err
	})
	if err != nil {
		return EndedPage{}, bunFailed("ended since", err)
	}
	page := EndedPage{Now: utc(groups[0].Now)}
	page.Ended = endedOf(groups)
	if page.More = len(page.Ended) > limit; page.More {
		page.Ended = page.Ended[:limit]
	}
	return page, nil
}

// readEnds is the one way to read which sessions have ended. read reports whether the
// server that answered is in recovery: a standby may not know of ends that the primary has
// acknowledged, so its answer must renew nobody's trust in a cache. The connection is given
// up then, and the pool finds another one.
func (s *BunStore) readEnds(ctx context.Context, read func(bun.Conn) (standby bool, err error)) error {
	return s.db.OnConn(ctx, func(conn bun.Conn) error {
		standby, err := read(conn)
		if err == nil && standby {
			return postgres.ErrStandby
		}
		return err
	})
}

// endedSQL gathers what ended in one moment, as what one call ends does, into one row:
// thousands of rows cost the replica that reads them several times as much.
const endedSQL = `SELECT statement_timestamp() AS now, pg_is_in_recovery() AS standby, g.* FROM (SELECT 1) AS one LEFT JOIN (
	SELECT e.logout_at, e.end_reason, e.ended_by, string_agg(e.session_id, ' ' ORDER BY e.id) AS ids
	FROM (
		SELECT s.id, s.session_id, s.logout_at, s.end_reason, s.ended_by FROM ?(schema)user_sessions AS s
		WHERE s.logout_at > ? AND s.logout_at < 'infinity' ORDER BY s.logout_at, s.id LIMIT ?
	) AS e GROUP BY e.logout_at, e.end_reason, e.ended_by
) AS g ON true ORDER BY g.logout_at`

// endedGroup is a row of endedSQL: the only one is empty where nothing has ended.
type endedGroup struct {
	Now     time.Time `bun:"now"`
	Standby bool      `bun:"standby"`

	LogoutAt  time.Time `bun:"logout_at"`
	EndReason string    `bun:"end_reason"`
	EndedBy   string    `bun:"ended_by"`
	IDs       string    `bun:"ids"` // handles, which have no spaces
}

func endedOf(groups []endedGroup) (ended []EndedSession) {
	for _, g := range groups {
		if g.LogoutAt.IsZero() {
			continue
		}
		s := EndedSession{LogoutAt: utc(g.LogoutAt), EndReason: EndReason(g.EndReason), EndedBy: g.EndedBy}
		for id := range strings.SplitSeq(g.IDs, " ") { // no fewer than there were rows: a cut must show
			s.ID = SessionID(id)
			ended = append(ended, s)
		}
	}
	return ended
}
