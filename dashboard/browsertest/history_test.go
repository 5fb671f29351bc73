package browsertest

import (
	"context"
	"fmt"
	"strings"
	"testing"

	protocol "github.com/chromedp/cdproto/browser"
	"github.com/chromedp/cdproto/input"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// drag presses the pointer at one place, moves it to another, and lets it go.
func (p *tab) drag(fromX, toX, y float64) {
	p.t.Helper()
	for _, step := range []struct {
		kind input.DispatchMouseEventType
		x    float64
	}{{input.DispatchMouseEventTypeMouseMoved, fromX}, {input.DispatchMouseEventTypeMousePressed, fromX},
		{input.DispatchMouseEventTypeMouseMoved, (fromX + toX) / 2}, {input.DispatchMouseEventTypeMouseMoved, toX}, {input.DispatchMouseEventTypeMouseReleased, toX}} {
		params := input.DispatchMouseEventParams{Type: step.kind, X: step.x, Y: y, Button: input.MouseButtonLeft, ClickCount: 1}
		require.NoError(p.t, with(input.DispatchMouseEvent, params)(p.ctx))
	}
}

// Any range, closer by dragging, back by the browser's button; all of it in the address.
func TestAnyRange(t *testing.T) {
	t.Parallel()
	_, p := visit(t, 260, "", scheme("light"))
	p.click(".tile a", "Peak today")
	p.says(".history-figures", "Most online at once")
	p.says(".history-figures", "People in a month")
	p.says(".history-lists", "Idle too long")
	p.until("document.querySelectorAll('.u-over').length === 2")
	p.click(".choice button", "Week")
	p.until("location.hash === '#/history?range=week' && document.querySelectorAll('.history-lists li').length > 7")
	p.shootAll("history-light")
	p.accessible("history")
	const box = "document.querySelector('.is-large .u-over').getBoundingClientRect()"
	at := eval[struct{ X, Y, Width float64 }](p, "((box) => ({X: box.x, Y: box.y + 60, Width: box.width}))("+box+")")
	p.drag(at.X+at.Width/4, at.X+at.Width/2, at.Y)
	p.until("location.hash.includes('from=')")
	p.until("document.querySelector('#history-from').value !== ''")
	length := eval[float64](p, `((q) => (Date.parse(q.get("to")) - Date.parse(q.get("from"))) / 3600e3)(new URLSearchParams(location.hash.split("?")[1]))`)
	assert.InDelta(t, 42, length, 4)
	p.do(reload)
	p.says("#connection-text", "Live")
	p.until("document.querySelector('#history-from').value !== '' && document.querySelectorAll('.u-over').length === 2")
	p.click(".is-ranges button", "Back to the range before")
	p.until("location.hash === '#/history?range=week' && document.querySelector('#history-from').value === ''")
	p.clean()
}

// The keyboard reads the plot, a table has all of it, and a file, too.
func TestHistoryWithoutAPointer(t *testing.T) {
	t.Parallel()
	_, p := visit(t, 260, "#/history?range=month", scheme("dark"), before(`{
		const real = URL.createObjectURL;
		URL.createObjectURL = (blob) => { blob.text().then((text) => { window.saved = text; }); return real.call(URL, blob); };
	}`), func(ctx context.Context) error {
		return with(protocol.SetDownloadBehavior, protocol.SetDownloadBehaviorParams{Behavior: protocol.SetDownloadBehaviorBehaviorDeny})(ctx)
	})
	p.until("document.querySelectorAll('.u-over').length === 2")
	p.focus(".plot.is-large")
	p.do(key("ArrowLeft"))
	p.until("document.querySelectorAll('.plot-readout b').length >= 4")
	first := eval[string](p, "document.querySelector('.plot-readout').textContent")
	p.do(key("ArrowLeft"))
	p.until("document.querySelector('.plot-readout').textContent !== " + quoted(first))
	p.click("summary", "As a table")
	p.until("document.querySelectorAll('.history-table tbody tr').length > 700")
	p.click(".help-keys input", "")
	p.until("location.hash.includes('compare=1') && document.querySelector('.history-figures').textContent.includes('to the period before')")
	p.shoot("history-dark")
	p.accessible("history, compared")
	p.click(".is-ranges button", "Save as CSV")
	p.until("window.saved")
	lines := strings.Split(eval[string](p, "window.saved"), "\r\n")
	assert.Equal(t, "at,online_users,peak_online_users,active_sessions,logins,ends,before_online_users,before_logins,before_ends", lines[0])
	assert.Greater(t, len(lines), 700)
	assert.Regexp(t, `^\d{4}-\d\d-\d\dT\d\d:\d\d:00\.000Z,\d+,\d+,\d+,3,2,\d*,\d*,\d*$`, lines[5])
	p.clean()
}

// Hours are the server's, or the viewer's own.
func TestHistoryInTheViewersZone(t *testing.T) {
	t.Parallel()
	f, p := visit(t, 60, "#/history", scheme("light"))
	p.until("document.querySelectorAll('.u-over').length === 2")
	p.choose("#history-zone", "mine")
	p.until("location.hash === '#/history?zone=mine'")
	require.Eventually(t, func() bool { return f.count("/history?") > 0 && f.count("tz=UTC") > 0 }, patience, pause)
	for _, width := range []int64{390} {
		q := newTab(t, width, 844, scheme("light"))
		q.open(f.URL+"/dashboard/#/history", "")
		q.until("document.querySelectorAll('.u-over').length === 2")
		q.shootAll(fmt.Sprintf("history-%d", width))
		require.LessOrEqual(t, eval[int](q, "document.documentElement.scrollWidth"), int(width))
	}
	p.clean()
}
