package main

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"math/rand/v2"
	"net/http"
	"net/netip"
	"time"
)

// visitor is one device of one simulated user, with habits: it arrives, signs in,
// browses with pauses, leaves with or without signing out, and comes back.
type visitor struct {
	s       *simulation
	user    int
	device  int
	agent   agent
	source  netip.Addr
	random  *rand.Rand
	bearer  string // empty while signed out
	session string
}

func newVisitor(s *simulation, user, device int) *visitor {
	return &visitor{
		s: s, user: user, device: device, agent: agentOf(user, device), source: sourceOf(user, device),
		random: rand.New(rand.NewPCG(uint64(user), uint64(device))),
	}
}

// outcome is how a visit ended.
type outcome int

const (
	left      outcome = iota // of the visitor's own will
	thrownOut                // the session was ended: somebody did that, so stay away for a while
	troubled                 // the demo could not answer
)

// live visits until ctx is done.
func (v *visitor) live(ctx context.Context) {
	arrive, away := between(v.random, 0, 10*time.Second), 2*time.Minute
	if v.device > 0 {
		arrive, away = between(v.random, 5*time.Second, 2*time.Minute), 10*time.Minute
	}
	if !pause(ctx, arrive) {
		return
	}
	for {
		absence := between(v.random, 10*time.Second, away)
		switch v.visit(ctx) {
		case thrownOut:
			absence += time.Minute
		case troubled:
			absence = between(v.random, time.Second, 10*time.Second)
		}
		if !pause(ctx, absence) {
			return
		}
	}
}

// visit signs in where that is needed and looks at some pages.
func (v *visitor) visit(ctx context.Context) outcome {
	if v.bearer == "" && !v.signIn(ctx) {
		return troubled
	}
	for range 3 + v.random.IntN(20) {
		switch status, _ := v.do(ctx, http.MethodGet, v.nextPage(), nil); {
		case status == http.StatusUnauthorized:
			v.bearer, v.session = "", ""
			return thrownOut
		case status == 0 || status >= 500:
			return troubled
		}
		reading := between(v.random, time.Second, 20*time.Second)
		if v.random.IntN(20) == 0 {
			reading = between(v.random, time.Minute, 8*time.Minute) // to the kettle
		}
		if !pause(ctx, reading) {
			return left
		}
	}
	if v.random.IntN(4) == 0 {
		_, _ = v.do(ctx, http.MethodPost, "/logout", nil)
		v.bearer, v.session = "", ""
	}
	return left
}

// pagesVisited come with the weight of their number here.
var pagesVisited = []string{
	"/api/me", "/api/me", "/api/me", "/api/me", "/", "/docs", "/static/style.css",
	"/api/v1/online/count", "/api/v1/online/users?limit=10", "/api/v1/online/stats", "/api/v1/online/sessions",
}

func (v *visitor) nextPage() string { return pagesVisited[v.random.IntN(len(pagesVisited))] }

func (v *visitor) signIn(ctx context.Context) bool {
	body := fmt.Sprintf(`{"email":"sim%d@example.com","password":%q}`, v.user+1, password)
	status, content := v.do(ctx, http.MethodPost, "/login", []byte(body))
	var answer loginAnswer
	if status != http.StatusOK || json.Unmarshal(content, &answer) != nil {
		return false
	}
	v.bearer, v.session = answer.Token.Token, answer.SessionID
	return true
}

// do sends a request as the device would, and returns the status, 0 for none.
func (v *visitor) do(ctx context.Context, method, path string, body []byte) (int, []byte) {
	select {
	case <-v.s.tickets:
	case <-ctx.Done():
		return 0, nil
	}
	ctx = context.WithValue(ctx, sourceKey{}, v.source)
	request, err := http.NewRequestWithContext(ctx, method, v.s.base+path, bytes.NewReader(body))
	if err != nil {
		return 0, nil
	}
	v.dress(request.Header)
	response, err := v.s.client.Do(request)
	if err != nil {
		return 0, nil
	}
	defer response.Body.Close()
	content, err := io.ReadAll(io.LimitReader(response.Body, 1<<20))
	if err != nil {
		return 0, nil
	}
	return response.StatusCode, content
}

// dress sets the headers that the device's browser sends.
func (v *visitor) dress(h http.Header) {
	h.Set("User-Agent", v.agent.userAgent)
	h.Set("Accept-Language", v.agent.language)
	if v.agent.platform != "" {
		h.Set("Sec-CH-UA-Platform", `"`+v.agent.platform+`"`)
		h.Set("Sec-CH-UA-Mobile", map[bool]string{true: "?1", false: "?0"}[v.agent.mobile])
	}
	if v.s.behindProxy(v.source) {
		h.Set("X-Forwarded-For", claimedOf(v.user, v.device).String())
	}
	if v.bearer != "" {
		h.Set("Authorization", "Bearer "+v.bearer)
		h.Set("X-Session-Id", v.session)
	}
}
