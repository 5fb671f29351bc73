package dashboard

import (
	"context"
	"encoding/json"
	"fmt"
	"html"
	"net/http"
	"strconv"
	"strings"
	"sync"
	"time"
	"unicode/utf8"
)

// PillOptions configures [Pill]. The zero value and nil mean the defaults.
type PillOptions struct {
	// Text is what the pill says. {n} stands for the number. Default "{n} online now".
	Text string
	// Fresh is how long an answer is shared, by this process and by browsers. Default 15 s, at
	// most an hour.
	Fresh time.Duration
}

// pill is the handler of [Pill].
type pill struct {
	count func(context.Context) (int, error)
	text  string
	fresh time.Duration

	mu    sync.Mutex
	n     int
	until time.Time
}

// Pill returns a handler that says how many people are online: a small picture for the host's own
// pages, which needs no script, or JSON for a request that accepts application/json or has
// ?format=json.
//
//	mux.Handle("GET /online.svg", dashboard.Pill(func(ctx context.Context) (int, error) {
//		n, _, err := tracker.CountOnline(ctx, 15*time.Minute)
//		return n, err
//	}, nil))
//	<img src="/online.svg" alt="People online">
//
// It answers GET and HEAD, to everybody: mount it only where the number is no secret. count is
// called by one request at a time and at most once in Fresh. While it fails, the answer is 503.
// Pill panics where an option is not valid, with the option's name.
func Pill(count func(context.Context) (int, error), o *PillOptions) http.Handler {
	p := &pill{count: count, text: "{n} online now", fresh: 15 * time.Second}
	if o != nil && o.Text != "" {
		p.text = o.Text
	}
	if o != nil && o.Fresh != 0 {
		p.fresh = o.Fresh
	}
	switch {
	case count == nil:
		panic("dashboard: Pill: count is nil")
	case !strings.Contains(p.text, "{n}") || !utf8.ValidString(p.text) || len(p.text) > 200:
		panic(fmt.Sprintf("dashboard: PillOptions.Text %q must have {n} in it, and at most 200 bytes", p.text))
	case p.fresh < time.Second || p.fresh > time.Hour:
		panic(fmt.Sprintf("dashboard: PillOptions.Fresh %v must be from 1s to 1h", p.fresh))
	}
	return p
}

func (p *pill) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	header := w.Header()
	header.Set("X-Content-Type-Options", "nosniff")
	header.Set("Content-Security-Policy", "default-src 'none'; style-src 'unsafe-inline'; frame-ancestors 'none'")
	header.Set("Vary", "Accept")
	if r.Method != http.MethodGet && r.Method != http.MethodHead {
		header.Set("Allow", "GET, HEAD")
		http.Error(w, "method not allowed", http.StatusMethodNotAllowed)
		return
	}
	n, err := p.online(r.Context())
	if err != nil {
		header.Set("Cache-Control", "no-store")
		header.Set("Retry-After", "5")
		http.Error(w, "nobody can say at the moment", http.StatusServiceUnavailable)
		return
	}
	header.Set("Cache-Control", "public, max-age="+strconv.Itoa(int(p.fresh.Seconds())))
	body, mediaType := p.picture(n), "image/svg+xml"
	if r.URL.Query().Get("format") == "json" || strings.Contains(r.Header.Get("Accept"), "application/json") {
		body, _ = json.Marshal(map[string]int{"online": n}) // a number: it cannot fail
		mediaType = "application/json"
	}
	header.Set("Content-Type", mediaType)
	if r.Method == http.MethodGet {
		_, _ = w.Write(body) // the client has gone: nobody to tell
	}
}

// online is the number, asked for once by all who want it at the same time. The one who asks
// may go away: the others' answer does not depend on that.
func (p *pill) online(ctx context.Context) (int, error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if time.Now().Before(p.until) {
		return p.n, nil
	}
	n, err := p.count(context.WithoutCancel(ctx))
	if err == nil {
		p.n, p.until = n, time.Now().Add(p.fresh)
	}
	return n, err
}

// picture is a pill as wide as its text, in light and in dark.
func (p *pill) picture(n int) []byte {
	text := strings.ReplaceAll(p.text, "{n}", strconv.Itoa(n))
	width := 34 + 8*utf8.RuneCountInString(text)
	said := html.EscapeString(text)
	return fmt.Appendf(nil, `<svg xmlns="http://www.w3.org/2000/svg" `+
		`width="%[1]d" height="28" viewBox="0 0 %[1]d 28" role="img">`+
		`<title>%[2]s</title><style>rect{fill:#fff;stroke:#c9ced8}text{fill:#161a21;font:14px system-ui,sans-serif}`+
		`circle{fill:#21a862}@media(prefers-color-scheme:dark){rect{fill:#161a21;stroke:#3b4452}text{fill:#e7eaf0}}</style>`+
		`<rect x=".5" y=".5" width="%[3]d" height="27" rx="13.5"/><circle cx="16" cy="14" r="4"/>`+
		`<text x="28" y="19">%[2]s</text></svg>`, width, said, width-1)
}
