package sessiontrack

import (
	"context"
	"fmt"
	"math/rand/v2"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"github.com/uptrace/bun"
)

// TestHistoryOnPostgres holds the same against a database that was given the same.
func TestHistoryOnPostgres(t *testing.T) {
	t.Parallel()
	s := newBunStore(t)
	tracker, err := New(s, &Options{Logger: quiet})
	require.NoError(t, err)
	for i, span := range daylight[:2] {
		r := rand.New(rand.NewPCG(9, uint64(i)))
		all := randomTraffic(r, span.from.Add(time.Hour), 3, 700)
		all.insert(t, r, s, span.from)
		askAtRandom(t, r, tracker, all, span.from, 4, span.zone, "Asia/Kathmandu", "UTC")
	}
}

// insert writes sessions and samples as they would have come to be, and adds them up.
func (all *traffic) insert(t *testing.T, r *rand.Rand, s *BunStore, from time.Time) {
	t.Helper()
	for at := from; at.Before(from.Add(5 * 24 * time.Hour)); at = at.Add(time.Minute) {
		if r.IntN(20) == 0 {
			continue // nobody was running
		}
		sample := Sample{At: at, Online: r.IntN(50), Sessions: 0}
		for i := range sample.Devices {
			sample.Devices[i] = r.IntN(9)
			sample.Sessions += sample.Devices[i]
		}
		all.samples = append(all.samples, sample)
	}
	ctx := t.Context()
	var rows strings.Builder
	for i, sample := range all.samples {
		if i > 0 {
			rows.WriteString(", ")
		}
		devices := strings.Join(strings.Fields(strings.Trim(fmt.Sprint(sample.Devices), "[]")), ",")
		at := sample.At.Format("'2006-01-02 15:04:05Z'")
		fmt.Fprintf(&rows, "(%s, %s, 0, %d, 0, %d, '{%s}')", at, at, sample.Online, sample.Sessions, devices)
	}
	_, err := s.db.ExecContext(ctx, "INSERT INTO online_samples (at, taken_at, very_active, online, recently_active, sessions, devices) VALUES "+rows.String())
	require.NoError(t, err)
	for _, e := range all.sessions {
		_, err := s.db.ExecContext(ctx, `INSERT INTO user_sessions (user_id, session_id, device_type, browser, os, country_code,
			login_at, last_activity, logout_at, end_reason, created_at, updated_at) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, now(), now())`,
			e.UserID, string(e.ID), string(e.Device.Type), e.Device.Browser, e.Device.OS, e.Location.CountryCode,
			e.LoginAt, e.LastActivity, e.LogoutAt, string(e.EndReason))
		require.NoError(t, err)
	}
	// In pieces that begin and end within quarters of an hour.
	for at := from; at.Before(from.Add(9 * 24 * time.Hour)); at = at.Add(3*time.Hour + 7*time.Minute) {
		err := s.db.Transaction(ctx, sampleTimeout, func(ctx context.Context, tx bun.Tx, _ time.Time) error {
			return rollUpMinutes(ctx, tx, at, at.Add(3*time.Hour+7*time.Minute))
		})
		require.NoError(t, err)
	}
}

// TestRollUpOnPostgres: many replicas add up each minute once, catch up after a pause,
// and forget what is too old.
func TestRollUpOnPostgres(t *testing.T) {
	t.Parallel()
	s, ctx := newBunStore(t), t.Context()
	fill(t, s, 5000, 100) // one session a second, some ended a second later
	_, err := s.db.ExecContext(ctx, `INSERT INTO session_minutes SELECT date_trunc('minute', now() - interval '2 hours', 'UTC'), 0, 0`)
	require.NoError(t, err)
	_, err = s.db.ExecContext(ctx, `INSERT INTO session_minutes SELECT now() - interval '900 days', 1, 1`)
	require.NoError(t, err)
	parallel(4, func(int) { assert.NoError(t, s.RollUp(ctx, 400*24*time.Hour)) })
	require.NoError(t, s.RollUp(ctx, 400*24*time.Hour))
	var got struct {
		Minutes, Logins, Ends, Quarters, Old int
	}
	require.NoError(t, s.db.NewRaw(`SELECT count(*) AS minutes, sum(logins) AS logins, sum(ends) AS ends,
		(SELECT sum(logins) FROM session_quarters) AS quarters, count(*) FILTER (WHERE at < now() - interval '400 days') AS old FROM session_minutes`).Scan(ctx, &got))
	var want struct{ Logins, Ends int }
	require.NoError(t, s.db.NewRaw(`SELECT (SELECT count(*) FROM user_sessions WHERE login_at < m.until) AS logins, (SELECT count(*) FROM user_sessions WHERE logout_at < m.until) AS ends
		FROM (SELECT max(at) + interval '1 minute' AS until FROM session_minutes) AS m`).Scan(ctx, &want))
	assert.Equal(t, want.Logins, got.Logins)
	assert.Equal(t, want.Logins, got.Quarters)
	assert.Equal(t, want.Ends, got.Ends)
	assert.GreaterOrEqual(t, got.Minutes, 119)
	assert.Zero(t, got.Old)
	plan, err := s.db.QueryContext(ctx, "EXPLAIN "+begunByQuarterSQL, time.Now().Add(-time.Minute), time.Now())
	require.NoError(t, err)
	text := ""
	for plan.Next() {
		var line string
		require.NoError(t, plan.Scan(&line))
		text += line + "\n"
	}
	require.NoError(t, plan.Err())
	assert.Contains(t, text, "user_sessions_login_at", "never by scanning sessions")
}
