package sqlite

import (
	"context"
	"database/sql"
	"encoding/json"
	"time"

	"github.com/sessiontrack/sessiontrack"
	"github.com/sessiontrack/sessiontrack/internal/calendar"
)

const (
	sampleColumns = "at, very_active, online, recently_active, sessions, devices"

	// activeSQL selects the sessions inside both limits of time; ?1 is the time and ?2 the
	// idle timeout, 0 for none.
	activeSQL = ` FROM user_sessions AS s WHERE logout_at IS NULL AND (expires_at IS NULL OR expires_at > ?1) AND `

	// sinceSQL is how the number of active sessions has moved since the sample of ?1: what
	// a limit of time has ended was no active session any more when it was ended.
	sinceSQL = `SELECT (SELECT count(*) FROM user_sessions WHERE login_at > ?1)
		- (SELECT count(*) FROM user_sessions WHERE logout_at > ?1 AND end_reason NOT IN (?2, ?3))`
)

// CountStats implements [sessiontrack.Sampler].
func (s *Store) CountStats(ctx context.Context, q sessiontrack.StatsQuery) (sessiontrack.StatsCounts, error) {
	if err := q.Check(); err != nil {
		return sessiontrack.StatsCounts{}, err
	}
	now := s.clock.now()
	out := sessiontrack.StatsCounts{Now: timeOf(now)}
	err := s.snapshot(ctx, func(conn *sql.Conn) error {
		if err := countOnline(ctx, conn, now, q.Windows, &out.Online); err != nil {
			return err
		}
		var err error
		if out.Sessions, err = activeSessions(ctx, conn, now, q.IdleTimeout); err != nil {
			return err
		}
		today := calendar.Day(out.Now, q.Zone)
		return each(ctx, conn, func(rows *sql.Rows) (err error) { out.Peak, err = scanSample(rows); return err },
			"SELECT "+sampleColumns+" FROM online_samples WHERE at >= ? ORDER BY online DESC, at LIMIT 1", today.UnixMicro())
	})
	if err != nil {
		return sessiontrack.StatsCounts{}, failed("count stats", err)
	}
	return out, nil
}

func countOnline(ctx context.Context, q querier, now int64, windows [3]time.Duration, counts *[3]int) error {
	for i, w := range windows {
		err := each(ctx, q, func(rows *sql.Rows) error { return rows.Scan(&counts[i]) },
			"SELECT count(*) FROM user_presence WHERE last_activity > ?", now-span(w))
		if err != nil {
			return err
		}
	}
	return nil
}

// activeSessions is the latest sample's exact count and what has moved since; counted
// where there is no sample.
func activeSessions(ctx context.Context, q querier, now int64, idle time.Duration) (n int, err error) {
	var taken int64
	err = each(ctx, q, func(rows *sql.Rows) error { return rows.Scan(&taken, &n) },
		"SELECT taken_at, sessions FROM online_samples ORDER BY at DESC LIMIT 1")
	if err != nil {
		return 0, err
	}
	if taken == 0 {
		err = each(ctx, q, func(rows *sql.Rows) error { return rows.Scan(&n) },
			"SELECT count(*)"+activeSQL+notIdle("?1", "?2"), now, span(idle))
		return n, err
	}
	moved := 0
	err = each(ctx, q, func(rows *sql.Rows) error { return rows.Scan(&moved) }, sinceSQL,
		taken, string(sessiontrack.ReasonIdle), string(sessiontrack.ReasonLifetime))
	return max(0, n+moved), err
}

func scanSample(rows *sql.Rows) (sessiontrack.Sample, error) {
	var sample sessiontrack.Sample
	var at int64
	var devices string
	err := rows.Scan(&at, &sample.VeryActive, &sample.Online, &sample.RecentlyActive, &sample.Sessions, &devices)
	if err != nil {
		return sessiontrack.Sample{}, err
	}
	sample.At = timeOf(at)
	return sample, json.Unmarshal([]byte(devices), &sample.Devices)
}

// Sample implements [sessiontrack.Sampler].
func (s *Store) Sample(
	ctx context.Context,
	q sessiontrack.StatsQuery,
) (sample sessiontrack.Sample, taken bool, err error) {
	if err := q.Check(); err != nil {
		return sessiontrack.Sample{}, false, err
	}
	err = s.transaction(ctx, "sample", func(t *transaction) error {
		minute := t.now - t.now%time.Minute.Microseconds()
		err := t.each(func(rows *sql.Rows) (err error) { sample, err = scanSample(rows); return err },
			"SELECT "+sampleColumns+" FROM online_samples WHERE at >= ? ORDER BY at DESC LIMIT 1", minute)
		if err != nil || !sample.At.IsZero() {
			return err
		}
		sample, err = t.takeSample(minute, &q)
		taken = err == nil
		return err
	})
	if err != nil {
		return sessiontrack.Sample{}, false, err
	}
	return sample, taken, nil
}

// takeSample counts exactly and writes what it counted.
func (t *transaction) takeSample(minute int64, q *sessiontrack.StatsQuery) (sessiontrack.Sample, error) {
	sample := sessiontrack.Sample{At: timeOf(minute)}
	var online [3]int
	if q.Online != nil {
		online = *q.Online
	} else if err := countOnline(t.ctx, t.conn, t.now, q.Windows, &online); err != nil {
		return sample, err
	}
	sample.VeryActive, sample.Online, sample.RecentlyActive = online[0], online[1], online[2]
	err := t.each(func(rows *sql.Rows) error {
		var kind sessiontrack.DeviceType
		n := 0
		err := rows.Scan(&kind, &n)
		sample.Devices.Add(kind, n)
		sample.Sessions += n
		return err
	}, "SELECT device_type, count(*)"+activeSQL+notIdle("?1", "?2")+" GROUP BY device_type", t.now, span(q.IdleTimeout))
	if err != nil {
		return sample, err
	}
	_, err = t.exec("INSERT INTO online_samples (taken_at, "+sampleColumns+") VALUES (?, ?, ?, ?, ?, ?, ?)",
		t.now, minute, sample.VeryActive, sample.Online, sample.RecentlyActive, sample.Sessions, asJSON(sample.Devices))
	return sample, err
}
