package main

import (
	"encoding/json"
	"errors"
	"io"
	"log/slog"
	"net/http"
	"time"

	"github.com/golang-jwt/jwt/v5"

	"github.com/sessiontrack/sessiontrack"
)

const (
	tokenLife = 12 * time.Hour
	maxBody   = 4096
	maxField  = 255
	bodyTime  = 5 * time.Second
)

// credentials is the body of POST /login.
type credentials struct {
	Email    *string `json:"email"`
	Password *string `json:"password"`
}

// loginAnswer keeps the names of the original, so that its clients can move over.
type loginAnswer struct {
	Message   string   `json:"message"`
	Token     token    `json:"token"`
	User      userJSON `json:"user"`
	SessionID string   `json:"sessionId"`
}

type token struct {
	Type      string    `json:"type"`
	Token     string    `json:"token"`
	ExpiresAt time.Time `json:"expires_at"`
}

type userJSON struct {
	ID       int      `json:"id"`
	Email    string   `json:"email"`
	FullName string   `json:"fullName"`
	IsActive bool     `json:"isActive"`
	Roles    []string `json:"roles"`
}

func (a *account) json() userJSON {
	return userJSON{ID: a.id, Email: a.email, FullName: a.fullName, IsActive: true, Roles: a.roles}
}

func (a *application) login(w http.ResponseWriter, r *http.Request) {
	given, problem := readCredentials(http.MaxBytesReader(w, r.Body, maxBody))
	if problem != nil {
		refuse(w, *problem)
		return
	}
	user, ok := a.users.authenticate(*given.Email, *given.Password)
	if !ok {
		refuse(w, wrongPassword)
		return
	}
	session, secret, err := a.tracker.Login(w, r, user.userID())
	if err != nil {
		refuse(w, loginProblem(r, err))
		return
	}
	signed, expires, err := a.sign(user, session)
	if err != nil { // cannot happen: a key of bytes, claims of plain values
		refuse(w, internal)
		return
	}
	writeJSON(w, loginAnswer{
		Message: "Signed in.", Token: token{"bearer", signed, expires},
		User: user.json(), SessionID: secret.Reveal(),
	})
}

// readCredentials reads the body; the problem, where there is one, names the field.
func readCredentials(body io.Reader) (c credentials, _ *problem) {
	fail := func(detail string) (credentials, *problem) {
		p := badRequest(detail)
		return credentials{}, &p
	}
	decoder := json.NewDecoder(body)
	err := decoder.Decode(&c)
	if err == nil {
		_, err = decoder.Token() // nothing may follow
	}
	var size *http.MaxBytesError
	var kind *json.UnmarshalTypeError
	switch {
	case errors.As(err, &size):
		return c, &tooLarge
	case errors.As(err, &kind) && (kind.Field == "email" || kind.Field == "password"):
		return fail(kind.Field + ": want a string.")
	case !errors.Is(err, io.EOF): // also nil, when something follows
		return fail("The body must be one JSON object with email and password.")
	case c.Email == nil || *c.Email == "":
		return fail("email: is required.")
	case c.Password == nil || *c.Password == "":
		return fail("password: is required.")
	case len(*c.Email) > maxField:
		return fail("email: want at most 255 bytes.")
	case len(*c.Password) > maxField:
		return fail("password: want at most 255 bytes.")
	}
	return c, nil
}

func loginProblem(r *http.Request, err error) problem {
	if errors.Is(err, sessiontrack.ErrUnavailable) {
		return unavailable
	}
	slog.ErrorContext(r.Context(), "demo: login failed", slog.Any("error", err))
	return internal
}

// sign makes the JWT. Its sid is the session's handle, which by itself proves nothing.
func (a *application) sign(user *account, session sessiontrack.Session) (string, time.Time, error) {
	now := time.Now().UTC().Truncate(time.Second)
	expires := now.Add(tokenLife)
	signed, err := jwt.NewWithClaims(jwt.SigningMethodHS256, jwt.MapClaims{
		"iss": issuer, "sub": user.userID(), "sid": string(session.ID), "roles": user.roles,
		"iat": now.Unix(), "exp": expires.Unix(),
	}).SignedString(a.secret)
	return signed, expires, err
}
