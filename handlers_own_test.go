package sessiontrack

import (
	"context"
	"net/http/httptest"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// TestOwnEndedSessionsSayWhoEndedThem: a user learns why a session is over, and no administrator's
// id.
func TestOwnEndedSessionsSayWhoEndedThem(t *testing.T) {
	t.Parallel()
	onEachStore(t, func(t *testing.T, store Store) {
		s := newSite(t, store, siteOptions{})
		end := func(e Ending) {
			_, err := s.End(t.Context(), IDs(s.signIn(t, alice).ID), e)
			require.NoError(t, err)
		}
		end(Ending{Reason: ReasonAdmin, Actor: adam})
		end(Ending{Reason: ReasonPassword})
		end(Ending{Reason: ReasonUser, Actor: alice})
		end(Ending{Reason: ReasonAdmin})
		end(Ending{Reason: ReasonLogout})
		s.signIn(t, bob)
		s.signIn(t, alice)

		list := rows(t, s.json(t, alice, "GET", onlinePath+"sessions?state=ended"), "sessions")
		assert.Equal(t, []any{"logout", "admin", "user", "password", "admin"}, field(list, "endReason"))
		assert.Equal(t, []any{"you", "administrator", "you", "system", "administrator"}, field(list, "endedBy"))
		assert.NotContains(t, list[4], "endedByName")
		list = rows(t, s.json(t, alice, "GET", onlinePath+"sessions?state=any"), "sessions")
		assert.Len(t, list, 6)
		assert.Equal(t, true, list[0]["current"])
		assert.Nil(t, list[0]["endedBy"])
		for _, query := range []string{"", "?state=active"} {
			assert.Len(t, rows(t, s.json(t, alice, "GET", onlinePath+"sessions"+query), "sessions"), 1)
		}
		for _, query := range []string{"?state=", "?state=ENDED", "?state=ended&state=any", "?ended=true"} {
			requireProblem(t, s.as(alice, "GET", onlinePath+"sessions"+query), 400, "bad_request")
		}
	})
}

// TestOwnEndedSessionsPage: pages have no gap and nothing twice, though live sessions lie between.
func TestOwnEndedSessionsPage(t *testing.T) {
	t.Parallel()
	onEachStore(t, func(t *testing.T, store Store) {
		s := newSite(t, store, siteOptions{})
		var want []any
		for i := range 12 {
			session := s.signIn(t, alice)
			if i%3 == 0 {
				continue
			}
			_, err := s.End(t.Context(), IDs(session.ID), Ending{Reason: ReasonUser, Actor: alice})
			require.NoError(t, err)
			want = append([]any{string(session.ID)}, want...)
		}
		s.signIn(t, alice)
		var got []any
		for next := ""; ; {
			body := s.json(t, alice, "GET", onlinePath+"sessions?state=ended&limit=3"+next)
			got = append(got, field(rows(t, body, "sessions"), "sessionId")...)
			if body["next"] == nil {
				break
			}
			next = "&cursor=" + body["next"].(string)
		}
		assert.Equal(t, want, got)
	})
}

func TestOwnEndedSessionsAreShownForNinetyDays(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		s := newSite(t, NewMemoryStore(), siteOptions{})
		_, err := s.End(t.Context(), IDs(s.signIn(t, alice).ID), Ending{Reason: ReasonUser, Actor: alice})
		require.NoError(t, err)
		for _, days := range []int{90, 1} {
			time.Sleep(time.Duration(days) * 24 * time.Hour)
			s.signIn(t, alice)
			list := rows(t, s.json(t, alice, "GET", onlinePath+"sessions?state=ended"), "sessions")
			assert.Len(t, list, map[int]int{90: 1, 1: 0}[days])
		}
	})
}

func TestReportEndsOneOfOnesOwnAndTellsTheHost(t *testing.T) {
	t.Parallel()
	onEachStore(t, func(t *testing.T, store Store) {
		var told []Session
		s := newSite(t, store, siteOptions{tracker: func(o *Options) {
			o.Hooks.Reported = func(_ context.Context, s Session) { told = append(told, s) }
		}})
		foreign := s.signIn(t, alice)
		stolen := s.tokens[alice]
		left := s.signIn(t, alice)
		_, err := s.End(t.Context(), IDs(left.ID), Ending{Reason: ReasonLogout, Actor: alice})
		require.NoError(t, err)
		s.signIn(t, bob)
		s.signIn(t, alice)
		report := func(user string, id SessionID) float64 {
			return s.json(t, user, "POST", onlinePath+"sessions/"+string(id)+"/report")["ended"].(float64)
		}
		for _, user := range []string{bob} {
			requireProblem(t, s.as(user, "POST", onlinePath+"sessions/"+string(foreign.ID)+"/report"), 404, "not_found")
		}
		require.Empty(t, told)
		assert.EqualValues(t, 1, report(alice, foreign.ID))
		assert.EqualValues(t, 0, report(alice, foreign.ID), "a second report")
		require.Len(t, told, 1)
		assert.Equal(t, foreign.ID, told[0].ID)
		assert.Equal(t, ReasonReported, told[0].EndReason)
		s.tokens["thief"] = stolen
		p := requireProblem(t, s.as("thief", "GET", onlinePath+"count"), 401, "session_ended")
		assert.Equal(t, "reported", p["reason"])

		assert.EqualValues(t, 0, report(alice, left.ID), "it had ended, and still may have been somebody else's")
		require.Len(t, told, 2)
		assert.Equal(t, ReasonLogout, told[1].EndReason)

		own := s.tokens[alice]
		w := s.as(alice, "POST", onlinePath+"sessions/"+string(own.ID())+"/report")
		assert.Contains(t, w.Header().Get("Set-Cookie"), "Max-Age=0")
	})
}

// TestMeTellsTheTimeLeft in virtual time, with what is not written yet counted.
func TestMeTellsTheTimeLeft(t *testing.T) {
	t.Parallel()
	for _, bare := range []bool{false, true} {
		synctest.Test(t, func(t *testing.T) {
			s := newSite(t, NewMemoryStore(), siteOptions{bare: bare, tracker: func(o *Options) {
				o.IdleTimeout, o.Lifetime = time.Hour, 2*time.Hour
			}})
			require.NoError(t, s.Start(t.Context()))
			defer func() { require.NoError(t, s.Shutdown(context.Background())) }()
			began := s.signIn(t, alice).LoginAt
			left := func(method, path string) time.Duration {
				body := s.json(t, alice, method, onlinePath+path)
				now, err := time.Parse(time.RFC3339Nano, body["now"].(string))
				require.NoError(t, err)
				idle, err := time.Parse(time.RFC3339Nano, body["idleExpiresAt"].(string))
				require.NoError(t, err)
				assert.Equal(t, began.Add(2*time.Hour).Format(time.RFC3339Nano), body["expiresAt"])
				assert.Equal(t, true, body["session"].(map[string]any)["current"])
				return idle.Sub(now).Round(time.Millisecond)
			}
			time.Sleep(10 * time.Minute)
			assert.Equal(t, 50*time.Minute, left("GET", "me"))
			time.Sleep(10 * time.Minute)
			assert.Equal(t, 40*time.Minute, left("GET", "me"), "asking is no activity")
			assert.Equal(t, time.Hour, left("POST", "me/extend"))
			time.Sleep(5 * time.Second)
			assert.Equal(t, time.Hour, left("POST", "me/extend"), "within TouchInterval, too")
			assert.Equal(t, time.Hour, left("GET", "me"), "before it is written")
			time.Sleep(59 * time.Minute)
			assert.Equal(t, time.Minute, left("GET", "me"))
			time.Sleep(time.Minute)
			p := requireProblem(t, s.as(alice, "GET", onlinePath+"me"), 401, "session_ended")
			assert.Equal(t, "idle", p["reason"])
		})
	}
}

func TestMeWithoutLimits(t *testing.T) {
	t.Parallel()
	s := newSite(t, NewMemoryStore(), siteOptions{tracker: func(o *Options) { o.IdleTimeout, o.Lifetime = -1, -1 }})
	s.signIn(t, alice)
	body := s.json(t, alice, "GET", onlinePath+"me")
	assert.Nil(t, body["idleExpiresAt"])
	assert.Nil(t, body["expiresAt"])
	for _, query := range []string{"?x=1", "?minutes=5"} {
		requireProblem(t, s.as(alice, "GET", onlinePath+"me"+query), 400, "bad_request")
		requireProblem(t, s.as(alice, "POST", onlinePath+"me/extend"+query), 400, "bad_request")
	}
	w := httptest.NewRecorder()
	s.handler.ServeHTTP(w, request("POST", onlinePath+"me/extend", "Cookie", cookieOf(s.tokens[alice]),
		"Sec-Fetch-Site", "cross-site"))
	requireProblem(t, w, 403, "cross_origin")
}

// TestOwnPagesAreBounded: a user with very many ended sessions of long ago costs ten readings.
func TestOwnPagesAreBounded(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		s := newSite(t, NewMemoryStore(), siteOptions{})
		for range 30 {
			s.signIn(t, alice)
		}
		_, err := s.End(t.Context(), User(alice), Ending{Reason: ReasonPassword})
		require.NoError(t, err)
		time.Sleep(91 * 24 * time.Hour)
		s.signIn(t, alice)
		body := s.json(t, alice, "GET", onlinePath+"sessions?state=ended&limit=2")
		assert.Empty(t, body["sessions"])
		require.NotNil(t, body["next"], "20 were passed over")
		body = s.json(t, alice, "GET", onlinePath+"sessions?state=ended&limit=2&cursor="+body["next"].(string))
		assert.Empty(t, body["sessions"])
		assert.Nil(t, body["next"])
	})
}
