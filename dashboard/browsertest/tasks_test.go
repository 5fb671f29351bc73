package browsertest

import (
	"fmt"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
)

// What an administrator does every day takes few clicks, at 100,000 sessions as at ten.
func TestTasksTakeFewClicks(t *testing.T) {
	t.Parallel()
	f, p := visit(t, 100_000, "", scheme("light"), unrefreshed)
	type step func()
	click := func(selector, part string) step { return func() { p.click(selector, part) } }
	for _, task := range []struct {
		name  string
		most  int
		steps []step
		done  string
	}{
		{"iPhones in Brazil", 3, []step{
			click("#filter-more", ""), func() { p.choose("#filter-country", "BR") }, func() { p.choose("#filter-os", "iOS") },
		}, every("Safari 26 on iOS 26.1") + " && " + every("Brazil")},
		{"end ten selected", 4, []step{
			func() { p.tick(1, false) }, func() { p.tick(10, true) }, click(".selection button", "End these sessions"), click("#confirm-do", ""),
		}, "document.querySelector('#toasts').textContent.includes('10 sessions ended')"},
		{"end all of a network", 5, []step{
			click("#filter-more", ""), func() {
				p.fill("#filter-ip", "192.0.2.8/31")
				p.until(rows + " > 5 && [...document.querySelectorAll('.rows .address')].every((e) => ['192.0.2.8', '192.0.2.9'].includes(e.textContent))")
			}, click("th input", ""),
			click(".selection button", "that match"), click(".selection button", "End these sessions"), click("#confirm-do:not(:disabled)", ""),
		}, "/\\d sessions ended/.test(document.querySelector('#toasts').lastChild?.textContent)"},
		{"who ended this and when", 2, []step{click("#nav a", "Sessions"), click(".tabs a", "Ended")}, every("Ended") + " || " + every("ago")},
		{"yesterday's peak", 2, []step{click(".tile a", "Peak"), click("[data-view=history] .choice button", "Week")},
			"document.querySelector('.history-lists').textContent.includes('Peak of each day') && document.querySelectorAll('.history-lists li').length > 6"},
	} {
		home := map[string]string{"iPhones in Brazil": "#/sessions", "end ten selected": "#/sessions", "end all of a network": "#/sessions"}[task.name]
		p.hash("#/")
		p.until("document.querySelector('.shares a')")
		if home != "" {
			p.hash(home)
			p.until(rows + " > 10")
		}
		begun := time.Now()
		clicks := 0
		for _, do := range task.steps {
			do()
			clicks++
		}
		if task.name == "end all of a network" {
			clicks-- // typing is none
		}
		p.until(task.done)
		assert.LessOrEqual(t, clicks, task.most, task.name)
		t.Logf("%s: %d clicks, %v", task.name, clicks, time.Since(begun).Round(time.Millisecond))
	}
	assert.NotEmpty(t, f.ends)
	p.clean()
}

// fill writes a text into a field and leaves it.
func (p *tab) fill(selector, text string) {
	p.t.Helper()
	p.until(fmt.Sprintf("((e) => e && ((e.value = %s), e.dispatchEvent(new Event('change')), true))(document.querySelector(%q))", quoted(text), selector))
}
