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
	maxClient = 64
	bodyTime  = 5 * time.Second
)

// credentials is the body of POST /login.
type credentials struct {
	Email    *string `json:"email"`
	Password *string `json:"password"`
	Remember bool    `json:"remember"`
	Client   string  `json:"client"`
	Tenant   string  `json:"tenant"`
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

// login answers the JSON of a program, and the form of the sign-in page.
func (a *application) login(w http.ResponseWriter, r *http.Request) {
	if isForm(r) {
		a.loginByForm(w, r)
		return
	}
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
	a.begin(w, r, user, given.options())
}

// rememberFor is how long a session lasts without use where somebody asked to be remembered.
const rememberFor = 30 * 24 * time.Hour

func (c credentials) options() sessiontrack.LoginOptions {
	o := sessiontrack.LoginOptions{Remember: c.Remember, Client: c.Client, Tenant: c.Tenant, Methods: []string{"pwd"}}
	if c.Remember {
		o.IdleTimeout = rememberFor
	}
	return o
}

// begin signs a user in and answers with the JWT and the session's token.
func (a *application) begin(w http.ResponseWriter, r *http.Request, user *account, o sessiontrack.LoginOptions) {
	session, secret, err := a.tracker.LoginWith(w, r, user.userID(), o)
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
	case errors.As(err, &kind) && kind.Field == "remember":
		return fail("remember: want true or false.")
	case errors.As(err, &kind) && kind.Field != "":
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
	case len(c.Client) > maxClient:
		return fail("client: want at most 64 bytes.")
	case len(c.Tenant) > maxField:
		return fail("tenant: want at most 255 bytes.")
	}
	return c, nil
}

func loginProblem(r *http.Request, err error) problem {
	switch {
	case errors.Is(err, sessiontrack.ErrUnavailable):
		return unavailable
	case errors.Is(err, sessiontrack.ErrLimit):
		return tooManySessions
	case errors.Is(err, sessiontrack.ErrInvalidArgument):
		return badRequest("client and tenant: want text without control characters.")
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

// readPassword reads the body of POST /step-up.
func readPassword(body io.Reader) (string, *problem) {
	var given struct {
		Password *string `json:"password"`
	}
	decoder := json.NewDecoder(body)
	err := decoder.Decode(&given)
	if err == nil {
		_, err = decoder.Token() // nothing may follow
	}
	var size *http.MaxBytesError
	switch {
	case errors.As(err, &size):
		return "", &tooLarge
	case !errors.Is(err, io.EOF) || given.Password == nil || len(*given.Password) > maxField:
		p := badRequest("The body must be one JSON object with password, a string of at most 255 bytes.")
		return "", &p
	}
	return *given.Password, nil
}
