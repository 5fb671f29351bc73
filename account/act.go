package account

import (
	"encoding/json"
	"fmt"
	"net/http"
	"net/url"

	"github.com/sessiontrack/sessiontrack"
)

// maxForm bounds the body of a form, in bytes.
const maxForm = 16 << 10

// confirm is a form that asks for the password before an action.
type confirm struct {
	Action string
	ID     string
	Wrong  bool
}

// act carries out one of the page's forms and leads back to the page.
func (h *handler) act(w http.ResponseWriter, r *http.Request, action string) {
	r.Body = http.MaxBytesReader(w, r.Body, maxForm)
	if err := r.ParseForm(); err != nil {
		http.Error(w, "the form cannot be read", http.StatusBadRequest)
		return
	}
	if h.o.CheckPassword != nil && !h.confirmed(w, r, action) {
		return
	}
	id := url.PathEscape(r.PostForm.Get("id"))
	var a *answer
	done := action
	switch action {
	case "end":
		a = h.ask(r, http.MethodDelete, "sessions/"+id, nil)
	case "report":
		a = h.ask(r, http.MethodPost, "sessions/"+id+"/report", nil)
	case "end-others":
		a, done = h.ask(r, http.MethodPost, "sessions/end-others", nil), "others"
	}
	if a.status != http.StatusOK {
		h.refuse(w, r, &refusedError{a})
		return
	}
	var result struct{ Ended int }
	if json.Unmarshal(a.body.Bytes(), &result) == nil && result.Ended == 0 {
		done = "none"
	}
	for _, line := range a.header.Values("Set-Cookie") { // the current session was ended
		w.Header().Add("Set-Cookie", line)
	}
	w.Header().Set("Cache-Control", "no-store")
	w.Header().Set("Location", "./?done="+done)
	w.WriteHeader(http.StatusSeeOther)
}

// confirmed asks for the password of the caller. It has answered where it returns false. The
// online family is asked first: only a caller of this site with a good session gets to try one.
func (h *handler) confirmed(w http.ResponseWriter, r *http.Request, action string) bool {
	if a := h.ask(r, http.MethodPost, "me/extend", nil); a.status != http.StatusOK {
		h.refuse(w, r, &refusedError{a})
		return false
	}
	session, ok := sessiontrack.FromContext(r.Context())
	if !ok {
		var err error
		if session, err = h.o.Tracker.Authenticate(r); err != nil {
			h.o.Tracker.Refuse(w, r, err)
			return false
		}
	}
	form := &confirm{Action: action, ID: r.PostForm.Get("id")}
	if password, given := r.PostForm["password"]; given && len(password) == 1 && password[0] != "" {
		right, err := h.o.CheckPassword(r.Context(), session.UserID, password[0])
		if err != nil {
			h.refuse(w, r, fmt.Errorf("account: Options.CheckPassword: %w", err))
			return false
		}
		if right {
			return true
		}
		form.Wrong = true
	}
	status := http.StatusOK
	if form.Wrong {
		status = http.StatusForbidden
	}
	h.write(w, r, status, "confirm", content{Confirm: form})
	return false
}
