package sessiontrack

import (
	"testing"
	"time"

	"github.com/golang-jwt/jwt/v5"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// TestOneDecisionAboutOrigins: a page that may change something may open a WebSocket, and one
// that may not may neither; UserOptions.Origins adds pages to the WebSocket alone.
func TestOneDecisionAboutOrigins(t *testing.T) {
	t.Parallel()
	tests := []struct {
		name         string
		headers      []string
		post, socket bool
	}{
		{"a trusted origin", []string{"Origin", "https://app.example.org", "Sec-Fetch-Site", "cross-site"}, true, true},
		{"a trusted origin, old browser", []string{"Origin", "https://app.example.org"}, true, true},
		{"a proxy rewrites Host", []string{"Origin", "https://www.example.org", "Sec-Fetch-Site", "same-origin"}, true, true},
		{"the same host", []string{"Origin", "http://example.com"}, true, true},
		{"no page", nil, true, true},
		{"an origin for sockets", []string{"Origin", "https://ws.example.org", "Sec-Fetch-Site", "cross-site"}, false, true},
		{"another site", []string{"Origin", "https://evil.example", "Sec-Fetch-Site", "cross-site"}, false, false},
		{"another site, old browser", []string{"Origin", "https://evil.example"}, false, false},
		{"a site of the domain", []string{"Origin", "https://x.example.com", "Sec-Fetch-Site", "same-site"}, false, false},
		{"a sandbox", []string{"Origin", "null"}, false, false},
		{"another site without Origin", []string{"Sec-Fetch-Site", "cross-site"}, false, false},
		{"a trusted origin's longer name", []string{"Origin", "https://app.example.org.evil.example"}, false, false},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			s := newSite(t, NewMemoryStore(), siteOptions{
				tracker: func(o *Options) { o.TrustedOrigins = []string{"https://app.example.org"} },
				online:  &UserOptions{Origins: []string{"https://ws.example.org"}},
			})
			s.signInAll(t, alice)
			post := s.as(alice, "POST", onlinePath+"sessions/end-others", tt.headers...)
			assert.Equal(t, tt.post, post.Code == 200, "POST: %d", post.Code)
			socket := s.as(alice, "GET", onlinePath+"events", append([]string{"Upgrade", "websocket"}, tt.headers...)...)
			assert.Equal(t, tt.socket, socket.Code != 403, "WebSocket: %d", socket.Code)
		})
	}
	s := newSite(t, NewMemoryStore(), siteOptions{})
	s.signInAll(t, alice)
	twice := []string{"Upgrade", "websocket", "Origin", "http://example.com", "Origin", "https://evil.example"}
	requireProblem(t, s.as(alice, "GET", onlinePath+"events", twice...), 403, "cross_origin")
}

// TestStreamEndsWithItsToken: at exp and the verifier's own leeway, when requests are refused
// too.
func TestStreamEndsWithItsToken(t *testing.T) {
	t.Parallel()
	for _, leeway := range []time.Duration{-1, time.Second} {
		s := newLiveSite(t, NewMemoryStore(), siteOptions{tracker: func(o *Options) {
			quick(o)
			o.Identifier = newJWT(t, func(o *JWTOptions) { o.Leeway = leeway })
		}})
		exp := time.Unix(time.Now().Unix()+2, 0)
		bearer := "Bearer " + jwtWith(t, jwt.MapClaims{"sub": "7", "jti": "a", "exp": exp.Unix()})
		c := s.stream(t, "", "", "Authorization", bearer)
		c.want("snapshot")
		c.wantEnd("token_expired")
		assert.False(t, time.Now().Before(exp.Add(max(leeway, 0))), "not before requests are refused")
		require.Equal(t, 401, s.get(t, "", onlinePath+"count", "Authorization", bearer).StatusCode)
	}
}

// TestAuditInFrontOfTheHandler: an attempt at an admin action is one record, wherever it is
// refused.
func TestAuditInFrontOfTheHandler(t *testing.T) {
	t.Parallel()
	s := newSite(t, NewMemoryStore(), siteOptions{})
	sessions := s.signInAll(t, alice, bob, adam, ruth)
	mux := s.AdminHandler(nil)
	_, err := s.End(t.Context(), IDs(sessions[adam].ID), Ending{Reason: ReasonAdmin})
	require.NoError(t, err)
	target := string(sessions[bob].ID)
	tests := []struct {
		name, user, method, path string
		headers                  []string
		outcome                  string // empty: no attempt
	}{
		{"an ended session", adam, "POST", adminPath + "force-logout/" + target, nil, "unauthenticated"},
		{"a bare handle", "", "POST", adminPath + "force-logout/" + target,
			[]string{"X-Session-Id", string(sessions[ruth].ID)}, "unauthenticated"},
		{"another site", "", "POST", adminPath + "force-logout/" + target, []string{
			"Cookie", cookieOf(s.tokens[ruth]), "Origin", "https://evil.example", "Sec-Fetch-Site", "cross-site",
		}, "forbidden"},
		{"no role", alice, "POST", adminPath + "force-logout/" + target, nil, "forbidden"},
		{"nobody", "", "POST", adminPath + "force-logout/" + target, nil, "unauthenticated"},
		{"online's cleanup", adam, "POST", onlinePath + "cleanup", nil, "unauthenticated"},
		{"a list", adam, "GET", adminPath + "active-users", nil, ""},
		{"a wrong method", adam, "GET", adminPath + "force-logout/" + target, nil, ""},
		{"the application's own", adam, "POST", "/orders/cleanup-expired", nil, ""},
	}
	fronts := map[string]func(){
		"middleware":   func() {},
		"Require":      func() { s.handler = s.Require(mux) },
		"RequireRole":  func() { s.handler = s.RequireRole(mux, "superadmin") },
		"no front":     func() { s.handler = mux },
		"both of them": func() { s.handler = s.Middleware(s.RequireRole(mux, "superadmin")) },
	}
	site := s.handler
	for front, put := range fronts {
		s.handler = site
		put()
		for _, tt := range tests {
			if front != "middleware" && tt.path == onlinePath+"cleanup" {
				continue // the admin family is mounted there alone
			}
			code := s.as(tt.user, tt.method, tt.path, tt.headers...).Code
			require.GreaterOrEqual(t, code, 400, "%s: %s", front, tt.name)
			records := s.audited()
			if tt.outcome == "" {
				assert.Empty(t, records, "%s: %s", front, tt.name)
				continue
			}
			if assert.Len(t, records, 1, "%s: %s", front, tt.name) {
				assert.Equal(t, tt.outcome, records[0].Outcome, "%s: %s", front, tt.name)
				if tt.path != onlinePath+"cleanup" {
					assert.Equal(t, sessions[bob].ID, records[0].TargetSession)
				}
			}
		}
	}
}
