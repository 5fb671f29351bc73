package browsertest

import (
	"fmt"
	"net/http"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// choose sets a select, as somebody does.
func (p *tab) choose(selector, value string) {
	p.t.Helper()
	p.until("[...(document.querySelector(" + quoted(selector) + ")?.options ?? [])].some((option) => option.value === " + quoted(value) + ")")
	eval[bool](p, "((e) => { e.value = "+quoted(value)+"; e.dispatchEvent(new Event('change')); return true; })(document.querySelector("+quoted(selector)+"))")
}

// every is whether each row of a list has a part in it, and there are some.
func every(part string) string {
	return rows + " > 0 && [...document.querySelectorAll('.rows tbody tr:not(.spacer)')].every((row) => row.textContent.includes(" + quoted(part) + "))"
}

// Filters are in the address: a link shows what I see, and back and reload keep it.
func TestFiltersAreInTheAddress(t *testing.T) {
	t.Parallel()
	f, p := visit(t, 260, "", scheme("light"))
	p.click(".choice button", "Day")
	p.says(".panel-note", "last day")
	p.click(".shares a", "Brazil")
	p.until("location.hash.startsWith('#/sessions?') && location.hash.includes('country=BR')")
	p.until(every("Brazil"))
	p.says(".chips", "Brazil")
	p.click(".tabs a", "Signed in")
	p.until("document.querySelector('.tabs [aria-current]').textContent === 'Signed in' && !location.hash.includes('state=')")
	p.click(".chip", "Signed in after")
	p.until("document.querySelectorAll('.chip').length === 1")
	p.click("#filter-more", "")
	p.choose("#filter-os", "iOS")
	p.until(every("iOS"))
	p.until(every("Brazil"))
	assert.Equal(t, "#/sessions?country=BR&os=iOS", eval[string](p, "location.hash"))
	n := eval[int](p, rows)
	require.Positive(t, n)
	p.says(".list-count", "session")
	p.says("#filter-os", "online)") // how many are here
	p.shoot("facets-light")
	p.accessible("facets")

	p.do(reload)
	p.says("#connection-text", "Live")
	p.until(rows + " === " + fmt.Sprint(n))
	p.says(".chips", "Brazil")
	eval[bool](p, "(history.back(), true)")
	p.until("location.hash === '#/sessions?country=BR' && " + rows + " > " + fmt.Sprint(n))
	p.until(every("Brazil"))
	p.click(".chip", "Country")
	p.until("location.hash === '#/sessions' && document.querySelector('.chips').hidden")

	// Nothing was asked that a strict server refuses.
	f.mu.Lock()
	defer f.mu.Unlock()
	for _, uri := range f.asked {
		assert.False(t, strings.Contains(uri, "=&") || strings.HasSuffix(uri, "="), uri)
	}
	p.clean()
}

// What has ended is told: when, why, and by whom.
func TestTheEndedTab(t *testing.T) {
	t.Parallel()
	f, p := visit(t, 60, "#/sessions", scheme("light"), unrefreshed)
	p.says(".list-count", "60 sessions")
	p.click(".tabs a", "Ended")
	p.until("[...document.querySelectorAll('.rows tbody tr:not(.spacer)')].every((row) => row.classList.contains('is-over')) && " + rows + " === 24")
	p.says(".list-count", "24 sessions")
	p.says(".rows", "Idle too long")
	p.click("#filter-more", "")
	p.choose("#filter-reason", "admin")
	p.until(every("Ended by an administrator"))
	assert.Equal(t, "#/sessions?reason=admin", eval[string](p, "location.hash"))
	p.shoot("ended-light")
	p.accessible("ended")
	p.click(".tabs a", "All")
	p.until("location.hash === '#/sessions?state=any'")
	p.says(".list-count", "84 sessions")
	require.Positive(t, f.count("reason=admin"))
	require.Zero(t, f.count("sort=activity&state=ended"))
	p.clean()
}

func TestAListIsSorted(t *testing.T) {
	t.Parallel()
	f, p := visit(t, 60, "#/sessions", scheme("light"))
	p.until("document.querySelector('th[aria-sort]')?.textContent === 'Last activity'")
	p.click(".sort", "Signed in")
	p.until("document.querySelector('th[aria-sort]')?.textContent === 'Signed in' && location.hash === '#/sessions?sort=login'")
	require.Eventually(t, func() bool { return f.count("sort=login") > 0 }, patience, pause)
	p.clean()
}

// Every number is a door to the list that it counts.
func TestEveryNumberIsADoor(t *testing.T) {
	t.Parallel()
	_, p := visit(t, 260, "", scheme("light"))
	p.click(".tile a", "Very active")
	p.until("document.body.dataset.view === 'people' && document.querySelector('#filter-within').value === 'very_active'")
	p.click(".tile a", "Sessions")
	p.until("document.body.dataset.view === 'sessions'")
	p.hash("#/")
	p.until("document.querySelector('.heat a[href]')")
	p.focus(".heat [tabindex='0']")
	label := eval[string](p, focused)
	p.do(key("ArrowDown"))
	p.until(focused + " !== " + quoted(label))
	p.do(key("Enter"))
	p.until("document.body.dataset.view === 'sessions' && location.hash.includes('login_before')")
	p.says(".chips", "Signed in before")
	p.clean()
}

// Who is here now stands beside who signed in.
func TestWhoIsOnlineNow(t *testing.T) {
	t.Parallel()
	_, p := visit(t, 260, "", scheme("light"))
	p.says(".panel-note", "sign-ins of the last hour")
	p.click(".patterns-head button", "Online now")
	p.says(".panel-note", "people who are online now")
	const first = "document.querySelector('[aria-labelledby=share-country] .shares a').textContent"
	country := eval[string](p, first)
	p.click(".shares a", country)
	p.until("document.body.dataset.view === 'sessions' && location.hash.includes('seen_within=online')")
	p.until(every(country))
	p.clean()
}

// A server that does not tell who is here by facts is not taken to have nobody.
func TestAServerThatDoesNotTellWhoIsHere(t *testing.T) {
	t.Parallel()
	f, p := visit(t, 60, "", scheme("light"))
	f.refuse(refusing("/online/now", http.StatusNotFound, "not_found"))
	p.says(".shares", "iOS")
	p.click(".patterns-head button", "Online now")
	p.says(".shares", "This server does not tell.")
	p.click(".patterns-head button", "Sign-ins")
	p.says(".shares", "iOS")
	p.clean()
}

// The map comes when it is opened, from the page's own origin, and is small.
func TestTheMapOfCountries(t *testing.T) {
	t.Parallel()
	for _, look := range []string{"light", "dark"} {
		t.Run(look, func(t *testing.T) {
			t.Parallel()
			f, p := visit(t, 260, "", scheme(look))
			p.says(".panel-note", "sign-ins of the last hour")
			require.Zero(t, f.count("/map/"))
			p.click(".patterns-head button", "Map of countries")
			p.says(".world-list", "Indonesia")
			p.until("document.querySelectorAll('.world path').length > 200")
			assert.Equal(t, "Map of countries. Most in Indonesia: 402.", eval[string](p, "document.querySelector('.world').getAttribute('aria-label')"))
			p.mu.Lock()
			size := 0
			for path, n := range p.wire {
				if strings.Contains(path, "/map") {
					size += n
				}
			}
			p.mu.Unlock()
			assert.Less(t, size, 60_000)
			p.accessible("map")
			p.shootAll("map-" + look)
			eval[bool](p, "([...document.querySelectorAll('.world path')].find((e) => e.textContent.startsWith('Brazil')).dispatchEvent(new MouseEvent('click')), true)")
			p.until("location.hash.includes('country=BR')")
			p.clean()
		})
	}
}

// A view is saved in the browser, because somebody asks for it.
func TestViewsAreSaved(t *testing.T) {
	t.Parallel()
	_, p := visit(t, 60, "#/sessions?device=mobile", scheme("light"))
	p.until(every("Mobile"))
	p.click(".menu summary", "Saved views")
	p.typeIn("#view-name", "Phones")
	p.click(".menu button", "Save")
	p.says(".menu-list", "Phones")
	p.accessible("saved views")
	p.shoot("saved-views")
	p.hash("#/people")
	p.do(reload)
	p.says("#connection-text", "Live")
	p.click(".menu summary", "Saved views")
	p.click(".menu-list a", "Phones")
	p.until("location.hash === '#/sessions?device=mobile'")
	p.until(every("Mobile"))
	p.click(".menu summary", "Saved views")
	p.click(".menu-list button", "Phones")
	p.until("localStorage.length === 0")
	p.clean()
}
