package account

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"time"

	"github.com/sessiontrack/sessiontrack"
)

// usersPath is where the online family takes its paths to begin.
const usersPath = "/api/v1/online/"

// device is a session as the online family answers it.
type device struct {
	ID           string                 `json:"sessionId"`
	Address      *string                `json:"ipAddress"`
	Type         string                 `json:"deviceType"`
	Browser      string                 `json:"browser"`
	OS           string                 `json:"os"`
	Model        string                 `json:"device"`
	Place        *sessiontrack.Location `json:"location"`
	LoginAt      time.Time              `json:"loginAt"`
	LastActivity time.Time              `json:"lastActivity"`
	ExpiresAt    *time.Time             `json:"expiresAt"`
	LogoutAt     *time.Time             `json:"logoutAt"`
	EndReason    *string                `json:"endReason"`
	EndedBy      *string                `json:"endedBy"`
	Online       bool                   `json:"online"`
	Current      bool                   `json:"current"`
	Client       string                 `json:"client"`
	Methods      []string               `json:"methods"`
	ActedBy      any                    `json:"actedBy"`
	Remember     bool                   `json:"rememberMe"`
}

// answer is what the online family has answered.
type answer struct {
	status int
	header http.Header
	body   bytes.Buffer
}

func (a *answer) Header() http.Header { return a.header }

func (a *answer) WriteHeader(status int) {
	if a.status == 0 {
		a.status = status
	}
}

func (a *answer) Write(p []byte) (int, error) {
	a.WriteHeader(http.StatusOK)
	return a.body.Write(p)
}

// ask asks the online family as the caller of r, with r's headers and context: who may ask, what
// counts as activity and what comes from another site is decided there.
func (h *handler) ask(r *http.Request, method, path string, query url.Values) *answer {
	inner := r.Clone(r.Context())
	inner.Method, inner.Body, inner.ContentLength = method, http.NoBody, 0
	inner.URL = &url.URL{Path: usersPath + path, RawQuery: query.Encode()}
	inner.Form, inner.PostForm, inner.MultipartForm = nil, nil, nil
	a := &answer{header: http.Header{}}
	h.o.Users.ServeHTTP(a, inner)
	a.WriteHeader(http.StatusOK)
	return a
}

// refusedError carries an answer that was no success.
type refusedError struct{ answer *answer }

func (e *refusedError) Error() string {
	return fmt.Sprintf("account: the online family answered %d", e.answer.status)
}

// maxPages bounds how many pages of live sessions one page shows: 1,000 sessions.
const maxPages = 10

// devices returns the sessions of one state, and where the next ones begin. Live ones come all, up
// to a thousand.
func (h *handler) devices(r *http.Request, state, cursor string) (list []device, next string, err error) {
	limit, pages := "100", maxPages
	if state == "ended" {
		limit, pages = "20", 1
	}
	for range pages {
		query := url.Values{"state": {state}, "limit": {limit}}
		if cursor != "" {
			query.Set("cursor", cursor)
		}
		a := h.ask(r, http.MethodGet, "sessions", query)
		if a.status != http.StatusOK {
			return nil, "", &refusedError{a}
		}
		var page struct {
			Sessions []device `json:"sessions"`
			Next     string   `json:"next"`
		}
		if err := json.NewDecoder(io.LimitReader(&a.body, 1<<20)).Decode(&page); err != nil {
			return nil, "", fmt.Errorf("account: the online family's answer: %w", err)
		}
		list, cursor = append(list, page.Sessions...), page.Next
		if cursor == "" {
			break
		}
	}
	return list, cursor, nil
}
