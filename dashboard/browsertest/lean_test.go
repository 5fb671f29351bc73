package browsertest

import (
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"

	"github.com/sessiontrack/sessiontrack/dashboard"
)

// received is how many bytes the page and its files have taken so far, headers included.
func (p *tab) received() (bytes, files int) {
	p.mu.Lock()
	defer p.mu.Unlock()
	for path, n := range p.wire {
		if strings.HasPrefix(path, "/dashboard/") {
			bytes, files = bytes+n, files+1
		}
	}
	return bytes, files
}

// The page is small, and what has come once is not asked for again.
func TestThePageIsSmall(t *testing.T) {
	t.Parallel()
	f := newFakeWith(t, 0, dashboard.Options{Credentials: "/auth.js"})
	p := newTab(t, 1360, 900, scheme("light"))
	p.open(f.URL+"/dashboard/", "")
	p.says("#connection-text", "Live")
	p.says(".panel-note", "last four weeks")
	p.until("document.querySelector('.plot-note').textContent !== 'Loading…'")
	first, files := p.received()
	times := eval[string](p, `(({ domContentLoadedEventEnd: dom }) => Math.round(dom) + " ms to the document, " +
		Math.round(performance.getEntriesByName("first-contentful-paint")[0]?.startTime ?? 0) + " ms to the first paint")(performance.getEntriesByType("navigation")[0])`)

	for _, view := range []string{"#/people", "#/sessions", "#/person/7"} {
		p.hash(view)
		p.until("document.querySelector('.table-note.is-empty')")
	}
	all, _ := p.received()
	assert.LessOrEqual(t, first, 90_000)
	asked := f.count("/js/")
	p.open(f.URL+"/dashboard/?again", "")
	p.says("#connection-text", "Live")
	p.says(".panel-note", "last four weeks")
	assert.Equal(t, asked, f.count("/js/"), "modules that were asked for again")
	t.Logf("%d bytes in %d files for the first view, %d for all; %s", first, files, all, times)
	p.clean()
}
