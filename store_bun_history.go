package sessiontrack

import (
	"context"
	"encoding/json"
	"time"

	"github.com/sessiontrack/sessiontrack/internal/postgres"
	"github.com/uptrace/bun"
	"github.com/uptrace/bun/dialect/pgdialect"
)

// rolledSQL returns the first minute that has not been rolled up. If none has been, it returns the
// latest minute that can be.
const rolledSQL = `SELECT coalesce((SELECT max(at) + interval '1 minute'
	FROM ?(schema)session_minutes), u.until - interval '1 minute') AS rolled, u.until
FROM (SELECT date_trunc('minute', statement_timestamp() - ? * interval '1 microsecond', 'UTC')) AS u(until)`

// minutesSQL rolls up minutes. Its arguments are the first minute and the end.
const minutesSQL = `INSERT INTO ?(schema)session_minutes (at, logins, ends)
SELECT m.at, coalesce(b.n, 0), coalesce(e.n, 0)
FROM generate_series(?0::timestamptz, ?1::timestamptz - interval '1 minute', interval '1 minute') AS m(at)
LEFT JOIN (SELECT date_trunc('minute', login_at, 'UTC') AS at, count(*) AS n FROM ?(schema)user_sessions
	WHERE login_at >= ?0 AND login_at < ?1 GROUP BY 1) AS b ON b.at = m.at
LEFT JOIN (SELECT date_trunc('minute', logout_at, 'UTC') AS at, count(*) AS n FROM ?(schema)user_sessions
	WHERE logout_at >= ?0 AND logout_at < ?1 AND login_at IS NOT NULL GROUP BY 1) AS e ON e.at = m.at
ON CONFLICT (at) DO NOTHING`

const begunByQuarterSQL = `SELECT to_timestamp(floor(extract(epoch FROM login_at) / 900) * 900) AS at,
	device_type, browser, os, country_code, count(*) AS n
FROM ?(schema)user_sessions WHERE login_at >= ?0 AND login_at < ?1 GROUP BY 1, 2, 3, 4, 5
	ORDER BY 1, 6 DESC, 2, 3, 4, 5`

const endedByQuarterSQL = `SELECT to_timestamp(floor(extract(epoch FROM logout_at) / 900) * 900) AS at,
	width_bucket(round(extract(epoch FROM CASE WHEN end_reason = ?2 THEN last_activity
		ELSE logout_at END - login_at) * 1000000)::bigint, ?3::bigint[]) AS bucket,
	count(*) AS n
FROM ?(schema)user_sessions WHERE logout_at >= ?0 AND logout_at < ?1 AND login_at IS NOT NULL GROUP BY 1, 2`

// bunQuarter is a row of session_quarters, or a part of one.
type bunQuarter struct {
	At      time.Time `bun:"at"`
	Logins  int       `bun:"logins"`
	Counts  string    `bun:"counts"`
	Device  string    `bun:"device_type"`
	Browser string    `bun:"browser"`
	OS      string    `bun:"os"`
	Country string    `bun:"country_code"`
	Bucket  int       `bun:"bucket"`
	N       int       `bun:"n"`
}

// RollUp implements [Historian]. After a pause it rolls up an hour per transaction and a day per
// call.
func (s *BunStore) RollUp(ctx context.Context, keep time.Duration) error {
	if err := notNegative("roll up", span{"keep", keep}); err != nil {
		return err
	}
	for range 24 {
		more := false
		err := s.db.Transaction(ctx, sampleTimeout, func(ctx context.Context, tx bun.Tx, _ time.Time) (err error) {
			more, err = rollUp(ctx, tx)
			return err
		})
		if err != nil {
			return bunFailed("roll up", err)
		}
		if !more {
			break
		}
	}
	for _, table := range []string{"online_samples", "session_minutes", "session_quarters"} {
		err := s.db.OnConn(ctx, func(conn bun.Conn) error {
			_, err := conn.ExecContext(ctx, "DELETE FROM ?(schema)?0 WHERE at IN (SELECT at FROM ?(schema)?0 WHERE at < "+
				"statement_timestamp() - ?1 * interval '1 microsecond' ORDER BY at LIMIT 10000)",
				bun.Ident(table), postgres.Micros(keep))
			return err
		})
		if err != nil {
			return bunFailed("roll up", err)
		}
	}
	return nil
}

// rollUp rolls up one span of minutes and reports whether there is another.
func rollUp(ctx context.Context, tx bun.Tx) (more bool, err error) {
	mine, err := postgres.TryWork(ctx, tx, "rollup")
	if err != nil || !mine {
		return false, err
	}
	var place struct {
		Rolled time.Time `bun:"rolled"`
		Until  time.Time `bun:"until"`
	}
	if err := tx.NewRaw(rolledSQL, postgres.Micros(rollUpLag)).Scan(ctx, &place); err != nil {
		return false, err
	}
	from, until := utc(place.Rolled), utc(place.Until)
	if !from.Before(until) {
		return false, nil
	}
	if more = until.Sub(from) > rollUpSpan; more {
		until = from.Add(rollUpSpan)
	}
	return more, rollUpMinutes(ctx, tx, from, until)
}

// rollUpMinutes rolls up the minutes of [from, until).
func rollUpMinutes(ctx context.Context, tx bun.Tx, from, until time.Time) error {
	if _, err := tx.NewRaw(minutesSQL, from, until).Exec(ctx); err != nil {
		return err
	}
	quarters, err := quartersOf(ctx, tx, from, until)
	if err != nil {
		return err
	}
	for _, q := range quarters {
		counts, err := json.Marshal(q.Counts)
		if err != nil { // cannot happen for names and numbers
			return err
		}
		_, err = tx.NewRaw("INSERT INTO ?(schema)session_quarters AS q (at, logins, counts) VALUES (?, ?, ?::jsonb) "+
			"ON CONFLICT (at) DO UPDATE SET logins = excluded.logins, counts = excluded.counts", q.At, q.Logins,
			string(counts)).Exec(ctx)
		if err != nil {
			return err
		}
	}
	return nil
}

// quartersOf returns the quarters of an hour that [from, until) changes, with their stored counts.
func quartersOf(ctx context.Context, tx bun.Tx, from, until time.Time) (map[int64]*HistoryQuarter, error) {
	var known, begun, ended []bunQuarter
	if err := tx.NewRaw("SELECT at, logins, counts FROM ?(schema)session_quarters WHERE at >= ? AND at < ?",
		from.Truncate(quarter), until).Scan(ctx, &known); err != nil {
		return nil, err
	}
	if err := tx.NewRaw(begunByQuarterSQL, from, until).Scan(ctx, &begun); err != nil {
		return nil, err
	}
	if err := tx.NewRaw(endedByQuarterSQL, from, until, string(ReasonIdle), pgdialect.Array(durationBounds[:])).Scan(ctx,
		&ended); err != nil {
		return nil, err
	}
	quarters := make(map[int64]*HistoryQuarter)
	at := func(r *bunQuarter) *HistoryQuarter {
		key := r.At.Unix()
		if quarters[key] == nil {
			quarters[key] = &HistoryQuarter{At: utc(r.At)}
		}
		return quarters[key]
	}
	for i := range known {
		q, err := known[i].quarter()
		if err != nil {
			return nil, err
		}
		*at(&known[i]) = q
	}
	for i := range begun {
		r, q := &begun[i], at(&begun[i])
		q.Logins += r.N
		q.Counts.AddSignIns(DeviceType(r.Device), r.Browser, r.OS, r.Country, r.N)
	}
	for i := range ended {
		at(&ended[i]).Counts.addDuration(ended[i].Bucket, ended[i].N)
	}
	return quarters, nil
}

func (r *bunQuarter) quarter() (HistoryQuarter, error) {
	q := HistoryQuarter{At: utc(r.At), Logins: r.Logins}
	return q, json.Unmarshal([]byte(r.Counts), &q.Counts)
}

const stepsSQL = `SELECT width_bucket(at, ?0::timestamptz[]) AS span, count(*) AS samples,
	count(devices) AS device_samples,
	sum(online) AS online, max(online) AS peak, sum(sessions) AS sessions,
	ARRAY[coalesce(sum(devices[1]), 0), coalesce(sum(devices[2]), 0), coalesce(sum(devices[3]), 0),
		coalesce(sum(devices[4]), 0), coalesce(sum(devices[5]), 0),
		coalesce(sum(devices[6]), 0), coalesce(sum(devices[7]), 0), coalesce(sum(devices[8]), 0),
			coalesce(sum(devices[9]), 0)]::bigint[] AS devices
FROM ?(schema)online_samples WHERE at >= ?1 AND at < ?2 GROUP BY 1`

const stepMinutesSQL = `SELECT width_bucket(at, ?0::timestamptz[]) AS span, sum(logins) AS logins, sum(ends) AS ends
FROM ?(schema)session_minutes WHERE at >= ?1 AND at < ?2 GROUP BY 1`

const dayPeaksSQL = `SELECT DISTINCT ON (span) width_bucket(at, ?0::timestamptz[]) AS span, at, very_active, online,
	recently_active, sessions, devices
FROM ?(schema)online_samples WHERE at >= ?1 AND at < ?2 ORDER BY span, online DESC, at`

// bunStep is a row about one span, numbered from 1.
type bunStep struct {
	bunCounts
	Span          int `bun:"span"`
	Samples       int `bun:"samples"`
	DeviceSamples int `bun:"device_samples"`
	Peak          int `bun:"peak"`
	Logins        int `bun:"logins"`
	Ends          int `bun:"ends"`
}

// ReadHistory implements [Historian].
func (s *BunStore) ReadHistory(ctx context.Context, q HistoryQuery) (HistoryData, error) {
	if err := q.Check(); err != nil {
		return HistoryData{}, err
	}
	out, err := s.readHistory(ctx, q)
	return out, bunFailed("read history", err)
}

func (s *BunStore) readHistory(ctx context.Context, q HistoryQuery) (out HistoryData, err error) {
	out = HistoryData{Steps: make([]HistoryStep, len(q.Steps)-1), Peaks: make([]Sample, len(q.Days)-1)}
	from, to := q.span()
	var steps, minutes, peaks []bunStep
	var quarters []bunQuarter
	for _, ask := range []struct {
		sql    string
		bounds []time.Time
		from   time.Time
		into   any
	}{
		{stepsSQL, q.Steps, from, &steps}, {stepMinutesSQL, q.Steps, from, &minutes}, {dayPeaksSQL, q.Days, from, &peaks},
		{"SELECT at, logins, counts FROM ?(schema)session_quarters WHERE at >= ?1 AND at < ?2 ORDER BY at", q.Days,
			from.Truncate(quarter), &quarters},
	} {
		err := s.db.Raw(ctx, ask.into, ask.sql, pgdialect.Array(utcAll(ask.bounds)), ask.from.UTC(), to.UTC())
		if err != nil {
			return HistoryData{}, err
		}
	}
	for i := range steps {
		steps[i].addTo(out.Steps)
	}
	for _, m := range minutes {
		if m.Span > 0 && m.Span <= len(out.Steps) {
			out.Steps[m.Span-1].Logins, out.Steps[m.Span-1].Ends = m.Logins, m.Ends
		}
	}
	for i := range peaks {
		if span := peaks[i].Span; span > 0 && span <= len(out.Peaks) {
			out.Peaks[span-1] = peaks[i].sample()
		}
	}
	for i := range quarters {
		row, err := quarters[i].quarter()
		if err != nil {
			return HistoryData{}, err
		}
		out.Quarters = append(out.Quarters, row)
	}
	out.Now, err = s.db.Now(ctx)
	return out, err
}

func (r *bunStep) addTo(steps []HistoryStep) {
	if r.Span < 1 || r.Span > len(steps) {
		return
	}
	step := &steps[r.Span-1]
	step.Samples, step.DeviceSamples, step.PeakOnline = r.Samples, r.DeviceSamples, r.Peak
	step.Online, step.Sessions = r.Online, r.Sessions
	for i := range min(len(r.Devices), len(step.Devices)) {
		step.Devices[i] = int(r.Devices[i])
	}
}

func utcAll(times []time.Time) []time.Time {
	out := make([]time.Time, len(times))
	for i, t := range times {
		out[i] = t.UTC()
	}
	return out
}
