package sessiontrack

import (
	"context"
	"encoding/base64"
	"encoding/hex"
	"fmt"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"testing"
	"time"

	codec "github.com/sessiontrack/sessiontrack/internal/handle"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// carriersApp is a replica that accepts every carrier. Its store is shared with others.
func carriersApp(t *testing.T, store Store, alone bool) *outcomes {
	t.Helper()
	identifier, err := NewJWTIdentifier(JWTOptions{Secret: outcomesKey})
	require.NoError(t, err)
	o := &outcomes{}
	o.Tracker, err = New(store, &Options{Identifier: identifier, SessionAlone: alone, Cookie: &CookieOptions{},
		StoreTimeout: busyMachine})
	require.NoError(t, err)
	o.handler = o.Middleware(http.HandlerFunc(sayUser))
	return o
}

// states maps each state of a session of user A to the answer that A gets.
var states = map[string]string{
	"active": "user A", "revoked": "session_ended admin", "expired": "session_ended lifetime", "absent": "session_invalid",
}

// matrix holds user A's tokens and bearer credentials by state.
type matrix struct {
	tokens  map[string]Token
	bearers map[string]func(user string) string
}

func newMatrix(t *testing.T, o *outcomes, store Store) matrix {
	t.Helper()
	m := matrix{map[string]Token{}, map[string]func(string) string{}}
	for state := range states {
		m.bearers[state] = func(user string) string { return bearerOf(t, user, time.Hour, "jti", state) }
		derived := deriveHandle("", "A", state).id()
		switch state {
		case "active", "revoked":
			m.tokens[state] = o.signIn(t, "A")
			require.Equal(t, "user A", outcome(t, ask(o.handler, "GET", "/", "Authorization", m.bearers[state]("A"))))
		case "expired":
			m.tokens[state] = newToken()
			for _, n := range []NewSession{
				{Session: Session{ID: m.tokens[state].ID(), UserID: "A"}, SecretHash: hashOf(m.tokens[state])},
				{Session: Session{ID: derived, UserID: "A", Derived: true}},
			} {
				n.Lifetime = time.Microsecond
				_, err := store.Create(t.Context(), n)
				require.NoError(t, err)
			}
		case "absent":
			m.tokens[state] = newToken()
		}
		if state == "revoked" {
			ended, err := o.End(t.Context(), IDs(m.tokens[state].ID(), derived), Ending{Reason: ReasonAdmin, Actor: "7"})
			require.NoError(t, err)
			require.Len(t, ended, 2)
		}
	}
	return m
}

func hashOf(token Token) [32]byte { return token.hash() }

// TestCarriersMatrix tests users, carriers and states (docs/checks.md S04): 32 cells, on the
// replica that has them cached and on a new one. In no cell does one user's credential open another
// user's session.
func TestCarriersMatrix(t *testing.T) {
	t.Parallel()
	onEachStore(t, func(t *testing.T, store Store) {
		o := carriersApp(t, store, false)
		m := newMatrix(t, o, store)
		cells := 0
		for _, app := range []*outcomes{o, carriersApp(t, store, false)} {
			for state, told := range states {
				for _, user := range []string{"A", "B"} {
					plain := bearerOf(t, user, time.Hour)
					for carrier, headers := range map[string][]string{
						"header":          {"Authorization", plain, headerName, m.tokens[state].Reveal()},
						"cookie":          {"Authorization", plain, "Cookie", cookieOf(m.tokens[state])},
						"JWT sid":         {"Authorization", bearerOf(t, user, time.Hour, "sid", string(m.tokens[state].ID()))},
						"JWT without sid": {"Authorization", m.bearers[state](user)},
					} {
						want := told
						switch {
						case carrier == "JWT without sid" && (user == "B" || state == "absent"):
							want = "user " + user // B gets a session of B, whatever the state of A's
						case user == "B":
							want = "session_invalid"
						}
						assert.Equal(t, want, outcome(t, ask(app.handler, "GET", "/", headers...)), "%s by %s of %s", state, carrier,
							user)
						cells++
					}
				}
			}
		}
		assert.Equal(t, 2*32, cells)
	})
}

// TestContradictingCarriers sends every combination of no, one, another and two values of each
// carrier over a real connection (docs/checks.md S05). The oracle: a request is accepted if each
// carrier comes once and all of them name one session. "The first wins" is never right. A header
// of another program, which has not the form of a token, is absent; beside a token it is a
// repetition.
func TestContradictingCarriers(t *testing.T) {
	t.Parallel()
	o := carriersApp(t, NewMemoryStore(), true)
	server := httptest.NewServer(o.handler)
	defer server.Close()
	one, two, other := o.signIn(t, "A"), o.signIn(t, "A"), o.signIn(t, "B")
	tokens := []Token{one, two, other}
	sid := func(token Token, user string) string {
		return bearerOf(t, user, time.Hour, "sid", string(token.ID()))
	}
	bearers := []string{sid(one, "A"), sid(two, "A"), sid(other, "B")}
	const foreign = 3
	values := [][]int{{}, {0}, {1}, {2}, {0, 0}, {0, 1}, {1, 0}, {0, 2}}
	headers := append(slices.Clone(values), []int{foreign}, []int{foreign, foreign}, []int{0, foreign}, []int{foreign, 0})
	cells, accepted := 0, 0
	for _, header := range headers {
		for _, cookie := range values {
			for _, authorization := range values {
				for _, joined := range []bool{false, true} { // puts two values on one line
					r, err := http.NewRequestWithContext(t.Context(), "GET", server.URL, nil)
					require.NoError(t, err)
					var ids, pairs, lines []string
					for _, i := range header {
						id := "7f0c5a1e-3f0b-4c5e-9d57-0b8f4f3c2a11"
						if i != foreign {
							id = tokens[i].Reveal()
						}
						ids = append(ids, id)
					}
					for _, i := range cookie {
						pairs = append(pairs, cookieOf(tokens[i]))
					}
					for _, i := range authorization {
						lines = append(lines, bearers[i])
					}
					if joined {
						ids, pairs, lines = joinedLine(ids, ", "), joinedLine(pairs, "; "), joinedLine(lines, ", ")
					}
					for _, id := range ids {
						r.Header.Add(headerName, id)
					}
					for _, pair := range pairs {
						r.Header.Add("Cookie", pair)
					}
					for _, line := range lines {
						r.Header.Add("Authorization", line)
					}
					if !slices.ContainsFunc(header, func(i int) bool { return i != foreign }) {
						header = nil
					}
					want, all := http.StatusUnauthorized, slices.Concat(header, cookie, authorization)
					switch {
					case len(all) == 0:
						want = http.StatusNoContent
					case len(header) < 2 && len(cookie) < 2 && len(authorization) < 2 && slices.Min(all) == slices.Max(all):
						want = http.StatusOK
						accepted++
					}
					w, err := server.Client().Do(r)
					require.NoError(t, err)
					require.NoError(t, w.Body.Close())
					assert.Equal(t, want, w.StatusCode, "header %v, cookie %v, authorization %v", header, cookie, authorization)
					cells++
				}
			}
		}
	}
	assert.Equal(t, 2*12*8*8, cells)
	assert.Equal(t, 2*(3*7+2*3*3), accepted, "three sessions, seven sets of carriers; three sets beside a foreign header")
}

func joinedLine(values []string, separator string) []string {
	if len(values) == 0 {
		return nil
	}
	return []string{strings.Join(values, separator)}
}

// TestUnknownIDsAreNeverAdopted sends 1,000 well-formed ids that were never issued, by every
// carrier and during login (docs/checks.md S02, CVE-2024-38513). No row is created, no answer
// repeats the id, and no part of it appears in the token that the client gets.
func TestUnknownIDsAreNeverAdopted(t *testing.T) {
	t.Parallel()
	onEachStore(t, func(t *testing.T, store Store) {
		o := carriersApp(t, store, true)
		for i := range 1000 {
			token := newToken()
			headers := [][]string{
				{headerName, token.Reveal()}, {"Cookie", cookieOf(token)},
				{"Authorization", bearerOf(t, "A", time.Hour, "sid", string(token.ID()))},
			}[i%3]
			w := ask(o.handler, "GET", "/", headers...)
			require.Equal(t, "session_invalid", outcome(t, w))
			require.NotContains(t, fmt.Sprint(w.Header())+w.Body.String(), string(token.ID()))
			if i%50 != 0 {
				continue
			}
			session, minted, err := o.Login(httptest.NewRecorder(), request("POST", "/login", headers...), "A")
			require.NoError(t, err)
			require.NotEqual(t, token.handle, minted.handle)
			require.NotEqual(t, **token.hidden, **minted.hidden)
			require.Equal(t, "session_invalid", outcome(t, ask(o.handler, "GET", "/", headers...)),
				"the id stays invalid after the login")
			_, err = o.End(context.Background(), IDs(session.ID), Ending{Reason: ReasonLogout})
			require.NoError(t, err)
		}
		page, err := o.List(t.Context(), Query{Live: true, Limit: 1})
		require.NoError(t, err)
		require.Empty(t, page.Sessions, "0 rows created")
	})
}

// TestWhatIsStoredAuthenticatesNobody sends every spelling of a stored hash as the secret
// (docs/checks.md S13): reading the table must not be enough to sign in.
func TestWhatIsStoredAuthenticatesNobody(t *testing.T) {
	t.Parallel()
	onEachStore(t, func(t *testing.T, store Store) {
		o := carriersApp(t, store, true)
		token := o.signIn(t, "A")
		record, err := store.Get(t.Context(), token.ID())
		require.NoError(t, err)
		hash := record.SecretHash[:]
		require.NotEmpty(t, hash)
		for _, secret := range []string{
			codec.Encoding.EncodeToString(hash), hex.EncodeToString(hash), base64.StdEncoding.EncodeToString(hash), string(hash),
			`\x` + hex.EncodeToString(hash),
		} {
			for _, value := range []string{string(token.ID()) + "." + secret, secret} {
				for _, headers := range [][]string{{headerName, value}, {"Cookie", "__Host-session=" + value},
					{"Authorization", "Bearer " + value}} {
					got := outcome(t, ask(o.handler, "GET", "/", headers...))
					if headers[0] == headerName && value == secret {
						assert.Equal(t, "passes", got, "of another program: without a session")
						continue
					}
					assert.Equal(t, "session_invalid", got)
				}
			}
		}
		assert.Equal(t, "user A", outcome(t, ask(o.handler, "GET", "/", headerName, token.Reveal())))
	})
}

// TestTokensAreUniform counts the bits of tokens (docs/checks.md S01). No token is issued twice,
// and each bit is set in half of them. The bound is more than five standard deviations.
func TestTokensAreUniform(t *testing.T) {
	const n = 1_000_000
	seen := make(map[handle]struct{}, n)
	var values [idBytes + codec.SecretBytes][256]int
	count := func(token *Token) {
		for i, b := range token.handle {
			values[i][b]++
		}
		for i, b := range *token.hidden {
			values[idBytes+i][b]++
		}
	}
	const all = 2 * n
	for i := range all {
		token := newToken()
		if i < n {
			seen[token.handle] = struct{}{}
		}
		count(&token)
	}
	assert.Len(t, seen, n, "handles minted twice")
	worst := 0.0
	for i := range values {
		for bit := range 8 {
			set := 0
			for value, times := range values[i] {
				if value>>bit&1 == 1 {
					set += times
				}
			}
			worst = max(worst, max(float64(set)/all, 1-float64(set)/all)-0.5)
		}
	}
	t.Logf("figure S01: the bit furthest from a half is off by %.5f", worst)
	assert.Less(t, worst, 0.002)
	secret, err := codec.Encoding.DecodeString(newToken().Reveal()[idChars+1:])
	require.NoError(t, err)
	assert.Len(t, secret, 32, "256 bits")
}

// TestRefusalsCostTheSame: an unknown handle, and a known one with a wrong secret, cost one read of
// one statement each and get one answer (docs/checks.md S15). It prints the times of 200 of each.
func TestRefusalsCostTheSame(t *testing.T) {
	s := newBunStore(t)
	f := &fixture{}
	var err error
	f.Tracker, err = New(s, &Options{SampleInterval: -1, CleanupInterval: -1})
	require.NoError(t, err)
	f.handler = f.Middleware(f.echo())
	f.started(t)
	_, live := f.login(t, "1")
	ended, gone := f.login(t, "1")
	_, err = f.End(t.Context(), IDs(ended.ID), Ending{Reason: ReasonUser})
	require.NoError(t, err)
	wrong := func(of Token) Token { return Token{handle: of.handle, hidden: newToken().hidden} }
	cases := map[string]func() Token{
		"unknown": newToken,
		"live":    func() Token { return wrong(live) },
		"ended":   func() Token { return wrong(gone) },
	}
	const rounds = 200
	took, bodies := map[string][]time.Duration{}, map[string]bool{}
	reads, statements := map[string]int64{}, map[string]int64{}
	asked := watch(s)
	for range rounds {
		for name, token := range cases {
			r := request("GET", "/", headerName, token().Reveal())
			w := httptest.NewRecorder()
			read := f.Counters()["store.reads"]
			asked.take()
			began := time.Now()
			f.handler.ServeHTTP(w, r)
			took[name] = append(took[name], time.Since(began))
			reads[name] += f.Counters()["store.reads"] - read
			for _, text := range asked.take() {
				if strings.Contains(text, "s.session_id = ") { // others run in the background
					statements[name]++
				}
			}
			bodies[fmt.Sprint(w.Code, w.Header(), w.Body)] = true
		}
	}
	assert.Len(t, bodies, 1, "all answers are equal, byte for byte")
	for name := range cases {
		slices.Sort(took[name])
		t.Logf("figure S15: %s: %d statements, median %v", name, statements[name], took[name][rounds/2])
		assert.EqualValues(t, rounds, reads[name], name)
		assert.EqualValues(t, rounds, statements[name], "%s: a handle that is known costs what an unknown one costs", name)
	}
}
