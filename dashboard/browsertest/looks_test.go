package browsertest

import (
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/sessiontrack/sessiontrack/dashboard"
)

// script makes events happen that a person would see arrive.
func (f *fake) script() {
	for i, kind := range []string{"online", "login", "logout", "login", "online", "offline", "login", "logout"} {
		s := f.session(i * 3)
		if kind == "logout" {
			s["logoutAt"], s["isActive"], s["endReason"] = s["lastActivity"], false, []string{"logout", "admin"}[i%2]
		}
		body := map[string]any{"session": s}
		if kind == "online" || kind == "offline" {
			user := s["user"].(map[string]any)
			body = map[string]any{"user": map[string]any{"user_id": s["userId"], "display_name": user["fullName"], "session_count": 1 + i%2}}
		}
		f.publish(kind, body)
	}
}

// TestLooks keeps pictures of the page for people to look at, and holds what can be
// measured of them: nothing overflows, nothing fails.
func TestLooks(t *testing.T) {
	t.Parallel()
	sizes := []struct {
		name          string
		width, height int64
		scheme        string
	}{
		{"light", 1360, 900, "light"},
		{"dark", 1360, 900, "dark"},
		{"phone", 390, 844, "light"},
		{"tablet", 820, 1100, "light"},
		{"rtl", 1360, 900, "light"},
		{"zoomed", 680, 450, "light"}, // 200 % of a desktop
	}
	for _, size := range sizes {
		t.Run(size.name, func(t *testing.T) {
			t.Parallel()
			o := dashboard.Options{LoginPath: "/login", LogoutPath: "/logout", UserURL: "/users/{id}"}
			if size.name == "rtl" {
				o.Language = "ar"
			}
			f := newFakeWith(t, 260, o)
			p := newTab(t, size.width, size.height, scheme(size.scheme))
			p.open(f.URL+"/dashboard/", "")
			p.says("h1", "Sign in")
			p.shoot(size.name + "-signin")
			p.open(f.URL+"/dashboard/", "admin@example.com")
			f.script()
			p.says(".feed-list", "went away")
			p.until("document.querySelector('.u-over')")
			p.click(".choice button", "Day")
			p.says(".panel-note", "last day")
			p.shootAll(size.name + "-overview")
			for _, view := range []struct{ name, hash, shows string }{
				{"people", "#/people", ""}, {"sessions", "#/sessions", ""}, {"facets", "#/sessions?country=BR&seen_within=online&login_after=2026-01-01T00:00:00Z", ""},
				{"ended", "#/sessions?state=ended", ""}, {"trail", "#/trail", ""}, {"person", "#/person/103", "Idle too long"},
			} {
				p.hash(view.hash)
				p.until("document.querySelectorAll('.rows tbody tr:not(.spacer)').length > 1")
				p.says(".rows", view.shows)
				if view.name == "facets" {
					p.click("#filter-more", "")
				}
				p.shoot(size.name + "-" + view.name)
				require.LessOrEqual(t, eval[int](p, "document.documentElement.scrollWidth"), int(size.width), view.name)
			}
			p.click(".rows button.main", "")
			p.says("#drawer", "Handle")
			p.shoot(size.name + "-drawer")
			require.LessOrEqual(t, eval[int](p, "document.querySelector('#drawer').scrollWidth"), int(size.width))
			p.do(key("Escape"))
			p.hash("#/history?range=week&compare=1")
			p.until("document.querySelectorAll('.u-over').length === 2")
			p.shootAll(size.name + "-history")
			require.LessOrEqual(t, eval[int](p, "document.documentElement.scrollWidth"), int(size.width), "history")
			p.hash("#/person/103")
			p.until("document.querySelectorAll('.rows tbody tr:not(.spacer)').length > 1")
			p.click(".button.is-danger", "End all sessions")
			p.until("document.querySelector('dialog[open]')")
			p.shoot(size.name + "-confirm")
			p.clean()
		})
	}
}
