package sessiontrack

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"testing"

	"github.com/stretchr/testify/assert"
)

// TestRolesThatCannotBeTold: an error of the host's function is an outage, whatever it
// wraps; only ErrNotFound is an answer, that of a user without roles.
func TestRolesThatCannotBeTold(t *testing.T) {
	t.Parallel()
	for name, test := range map[string]struct {
		err    error
		status int
	}{
		"any":            {errors.New("away"), http.StatusServiceUnavailable},
		"no credential":  {fmt.Errorf("roles: %w", ErrNoCredential), http.StatusServiceUnavailable},
		"bad credential": {ErrExpiredCredential, http.StatusServiceUnavailable},
		"ended":          {&EndedError{Reason: ReasonAdmin}, http.StatusServiceUnavailable},
		"limit":          {ErrLimit, http.StatusServiceUnavailable},
		"not found":      {fmt.Errorf("roles: %w", ErrNotFound), http.StatusForbidden},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			f := newFixture(t, &Options{Roles: func(context.Context, string) ([]string, error) { return []string{"admin"}, test.err }})
			f.handler = f.RequireRole(http.NotFoundHandler(), "admin")
			_, token := f.login(t, "42")
			assert.Equal(t, test.status, f.get(token).Code)
		})
	}
}

// TestLargeUserIDsStayApart: whoever reads numbers as browsers do, in 53 bits, does not
// take one user for another, whose sessions would then be the ones that are ended.
func TestLargeUserIDsStayApart(t *testing.T) {
	t.Parallel()
	s := newSite(t, NewMemoryStore(), siteOptions{})
	s.signIn(t, adam)
	for id, want := range map[string]any{
		"9007199254740991": float64(9007199254740991), "9007199254740992": "9007199254740992", "9007199254740993": "9007199254740993",
		"-9007199254740991": float64(-9007199254740991), "-9007199254740992": "-9007199254740992", "9223372036854775807": "9223372036854775807",
		"007": "007", "-0": "-0", "1e3": "1e3", "99999999999999999999": "99999999999999999999",
	} {
		s.signIn(t, id)
		list := rows(t, s.json(t, adam, "GET", adminPath+"user/"+id+"/sessions"), "data")
		assert.Equal(t, []any{want}, field(list, "userId"))
	}
}
