package main

import (
	"encoding/json"
	"net/http"
	"slices"
	"strings"
)

// problem is an error answer (RFC 9457), as sessiontrack's own.
type problem struct {
	Type   string `json:"type"`
	Title  string `json:"title"`
	Status int    `json:"status"`
	Detail string `json:"detail"`
	Code   string `json:"code"`
}

var (
	wrongPassword   = newProblem(http.StatusUnauthorized, "login_failed", "The e-mail or the password is wrong.")
	notFound        = newProblem(http.StatusNotFound, "not_found", "There is no such page.")
	wrongMethod     = newProblem(http.StatusMethodNotAllowed, "method_not_allowed", "This path does not know the method.")
	tooLarge        = newProblem(http.StatusRequestEntityTooLarge, "too_large", "The body is larger than 4096 bytes.")
	crossOrigin     = newProblem(http.StatusForbidden, "cross_origin", "The request comes from another site.")
	tooManySessions = newProblem(
		http.StatusForbidden, "session_limit", "You have as many sessions as are allowed. End one of them first.",
	)
	unavailable = newProblem(
		http.StatusServiceUnavailable,
		"store_unavailable",
		"Sessions cannot be kept at the moment. Try again.",
	)
	internal = newProblem(http.StatusInternalServerError, "internal", "Something went wrong.")
)

func newProblem(status int, code, detail string) problem {
	return problem{"about:blank", http.StatusText(status), status, detail, code}
}

// badRequest names what is wrong in one of the demo's own sentences.
func badRequest(detail string) problem {
	return newProblem(http.StatusBadRequest, "bad_request", detail)
}

func refuse(w http.ResponseWriter, p problem) {
	switch p.Status {
	case http.StatusUnauthorized:
		w.Header().Set("WWW-Authenticate", "Bearer")
	case http.StatusServiceUnavailable:
		w.Header().Set("Retry-After", "1")
	}
	answer(w, p.Status, "application/problem+json", p)
}

func writeJSON(w http.ResponseWriter, body any) {
	answer(w, http.StatusOK, "application/json; charset=utf-8", body)
}

func answer(w http.ResponseWriter, status int, contentType string, body any) {
	text, err := json.Marshal(body)
	if err != nil { // cannot happen: the demo's own types
		http.Error(w, "internal error", http.StatusInternalServerError)
		return
	}
	w.Header().Set("Content-Type", contentType)
	w.Header().Set("Cache-Control", "no-store")
	w.Header().Set("X-Content-Type-Options", "nosniff")
	w.WriteHeader(status)
	_, _ = w.Write(append(text, '\n'))
}

// methods serves a path by method; GET answers HEAD too, and others are 405.
type methods map[string]http.HandlerFunc

func (m methods) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	method := r.Method
	if method == http.MethodHead {
		method = http.MethodGet
	}
	if handler, ok := m[method]; ok {
		handler(w, r)
		return
	}
	w.Header().Set("Allow", m.allow())
	refuse(w, wrongMethod)
}

func (m methods) allow() string {
	var names []string
	for name := range m {
		names = append(names, name)
		if name == http.MethodGet {
			names = append(names, http.MethodHead)
		}
	}
	slices.Sort(names)
	return strings.Join(names, ", ")
}
