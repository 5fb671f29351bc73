package sqlite

import (
	"context"
	"database/sql"
	"encoding/json"
	"fmt"
	"sort"
	"time"

	"github.com/sessiontrack/sessiontrack"
)

const (
	minute  = int64(time.Minute / time.Microsecond)
	quarter = 15 * minute
	// rollUpLag is how long after its end a minute is added up: by then what began in it
	// is written, and its browser named.
	rollUpLag = int64(10 * time.Second / time.Microsecond)
	// rollUpStep is how much one transaction adds up after a pause.
	rollUpStep = 60 * minute
	// rollUpSteps bounds one call to a day.
	rollUpSteps = 24
)

// RollUp implements [sessiontrack.Historian]. After a pause it adds up an hour in each
// transaction, a day in each call.
func (s *Store) RollUp(ctx context.Context, keep time.Duration) error {
	if keep < 0 {
		return fmt.Errorf("sqlite: roll up: keep is %v: want 0 or more", keep)
	}
	for range rollUpSteps {
		more := false
		err := s.transaction(ctx, "roll up", func(t *transaction) (err error) {
			more, err = t.rollUp()
			return err
		})
		if err != nil {
			return err
		}
		if !more {
			break
		}
	}
	return s.transaction(ctx, "roll up", func(t *transaction) error {
		for _, table := range [...]string{"online_samples", "session_minutes", "session_quarters"} {
			_, err := t.exec(
				"DELETE FROM "+table+" WHERE at IN (SELECT at FROM "+table+" WHERE at < ? ORDER BY at LIMIT 10000)",
				t.now-span(keep),
			)
			if err != nil {
				return err
			}
		}
		return nil
	})
}

// rollUp adds up one step of minutes and reports whether there is another.
func (t *transaction) rollUp() (more bool, err error) {
	until := t.now - rollUpLag
	until -= until % minute
	from := until - minute
	err = t.each(func(rows *sql.Rows) error { return rows.Scan(&from) },
		"SELECT at + ? FROM session_minutes ORDER BY at DESC LIMIT 1", minute)
	if err != nil || from >= until {
		return false, err
	}
	if more = until-from > rollUpStep; more {
		until = from + rollUpStep
	}
	for at := from; at < until; at += minute {
		_, err := t.exec(`INSERT INTO session_minutes (at, logins, ends) VALUES (?1,
			(SELECT count(*) FROM user_sessions WHERE login_at >= ?1 AND login_at < ?2),
			(SELECT count(*) FROM user_sessions WHERE logout_at >= ?1 AND logout_at < ?2 AND login_at IS NOT NULL))
			ON CONFLICT (at) DO NOTHING`, at, at+minute)
		if err != nil {
			return false, err
		}
	}
	return more, t.rollUpQuarters(from, until)
}

// rollUpQuarters adds what began and ended in [from, until) to its quarters.
func (t *transaction) rollUpQuarters(from, until int64) error {
	quarters := make(map[int64]*sessiontrack.HistoryQuarter)
	of := func(at int64) *sessiontrack.HistoryQuarter {
		at -= at % quarter
		if quarters[at] == nil {
			quarters[at] = &sessiontrack.HistoryQuarter{At: timeOf(at)}
		}
		return quarters[at]
	}
	err := t.each(func(rows *sql.Rows) error {
		q, err := scanQuarter(rows)
		*of(q.At.UnixMicro()) = q
		return err
	}, "SELECT at, logins, counts FROM session_quarters WHERE at >= ? AND at < ?", from-from%quarter, until)
	if err != nil {
		return err
	}
	if err := t.addBegun(from, until, of); err != nil {
		return err
	}
	if err := t.addEnded(from, until, of); err != nil {
		return err
	}
	for at, q := range quarters {
		_, err := t.exec(`INSERT INTO session_quarters (at, logins, counts) VALUES (?, ?, ?)
			ON CONFLICT (at) DO UPDATE SET logins = excluded.logins, counts = excluded.counts`, at, q.Logins, asJSON(q.Counts))
		if err != nil {
			return err
		}
	}
	return nil
}

func (t *transaction) addBegun(from, until int64, of func(int64) *sessiontrack.HistoryQuarter) error {
	return t.each(func(rows *sql.Rows) error {
		var at int64
		var device sessiontrack.DeviceType
		var browser, system, country string
		n := 0
		err := rows.Scan(&at, &device, &browser, &system, &country, &n)
		q := of(at)
		q.Logins += n
		q.Counts.AddSignIns(device, browser, system, country, n)
		return err
	}, `SELECT login_at - login_at % ?3 AS at, device_type, browser, os, country_code, count(*) AS n
		FROM user_sessions WHERE login_at >= ?1 AND login_at < ?2 GROUP BY 1, 2, 3, 4, 5
			ORDER BY 1, 6 DESC, 2, 3, 4, 5`, from, until, quarter)
}

func (t *transaction) addEnded(from, until int64, of func(int64) *sessiontrack.HistoryQuarter) error {
	return t.each(func(rows *sql.Rows) error {
		var at, lasted int64
		err := rows.Scan(&at, &lasted)
		of(at).Counts.AddDuration(time.Duration(lasted) * time.Microsecond)
		return err
	}, `SELECT logout_at, CASE WHEN end_reason = ?3 THEN last_activity ELSE logout_at END - login_at
		FROM user_sessions WHERE logout_at >= ?1 AND logout_at < ?2
			AND login_at IS NOT NULL`, from, until, string(sessiontrack.ReasonIdle))
}

func scanQuarter(rows *sql.Rows) (q sessiontrack.HistoryQuarter, err error) {
	var at int64
	var counts string
	if err := rows.Scan(&at, &q.Logins, &counts); err != nil {
		return q, err
	}
	q.At = timeOf(at)
	return q, json.Unmarshal([]byte(counts), &q.Counts)
}

// ReadHistory implements [sessiontrack.Historian].
func (s *Store) ReadHistory(ctx context.Context, q sessiontrack.HistoryQuery) (sessiontrack.HistoryData, error) {
	if err := q.Check(); err != nil {
		return sessiontrack.HistoryData{}, err
	}
	var out sessiontrack.HistoryData
	err := s.snapshot(ctx, func(conn *sql.Conn) error {
		from, to := q.Steps[0].UnixMicro(), q.Steps[len(q.Steps)-1].UnixMicro()
		var samples []sessiontrack.Sample
		err := each(ctx, conn, func(rows *sql.Rows) error {
			sample, err := scanSample(rows)
			samples = append(samples, sample)
			return err
		}, "SELECT "+sampleColumns+" FROM online_samples WHERE at >= ? AND at < ? ORDER BY at", from, to)
		if err != nil {
			return err
		}
		out = q.Gather(samples)
		if err := addMinutes(ctx, conn, from, to, q.Steps, out.Steps); err != nil {
			return err
		}
		return each(ctx, conn, func(rows *sql.Rows) error {
			quarter, err := scanQuarter(rows)
			out.Quarters = append(out.Quarters, quarter)
			return err
		}, "SELECT at, logins, counts FROM session_quarters WHERE at >= ? AND at < ? ORDER BY at", from-from%quarter, to)
	})
	if err != nil {
		return sessiontrack.HistoryData{}, failed("read history", err)
	}
	out.Now = timeOf(s.clock.now())
	return out, nil
}

// addMinutes adds the minutes' sign-ins and ends to their steps.
func addMinutes(
	ctx context.Context,
	q querier,
	from, to int64,
	bounds []time.Time,
	steps []sessiontrack.HistoryStep,
) error {
	return each(ctx, q, func(rows *sql.Rows) error {
		var at int64
		var logins, ends int
		err := rows.Scan(&at, &logins, &ends)
		i := sort.Search(len(bounds), func(i int) bool { return bounds[i].UnixMicro() > at }) - 1
		if i >= 0 && i < len(steps) {
			steps[i].Logins += logins
			steps[i].Ends += ends
		}
		return err
	}, "SELECT at, logins, ends FROM session_minutes WHERE at >= ? AND at < ?", from, to)
}
