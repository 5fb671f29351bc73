package oidc

import (
	"context"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"mime"
	"net/http"
	"slices"
	"strings"
	"sync"
	"time"

	provider "github.com/coreos/go-oidc/v3/oidc"
	"github.com/golang-jwt/jwt/v5"

	"github.com/sessiontrack/sessiontrack"
)

const (
	// maxForm bounds the body of a logout request, in bytes.
	maxForm = 64 << 10
	// maxRecent bounds the logout tokens that are remembered.
	maxRecent = 10_000
	// maxID bounds sid and sub, in bytes.
	maxID = 255
	// leeway is how far the provider's clock may be ahead.
	leeway = time.Minute
	// maxAge is the longest time from iat to exp. The specification recommends two minutes.
	maxAge = time.Hour
)

// logoutEvent is the event of a logout token (OpenID Connect Back-Channel Logout 1.0 §2.4).
const logoutEvent = "http://schemas.openid.net/event/backchannel-logout"

// LogoutOptions configure a [BackchannelLogout].
type LogoutOptions struct {
	// Issuer is the provider's iss, and ClientID the aud that its logout tokens name. Required.
	Issuer, ClientID string
	// Algorithms are the accepted values of alg. Default RS256, as OpenID Connect has it.
	Algorithms []string
	// User returns the user id of a subject. Default: the subject itself. An empty id is a subject
	// that this application does not know: nothing ends, and the answer is 200.
	User func(ctx context.Context, subject string) (string, error)
}

// Backchannel is the handler of [BackchannelLogout].
type Backchannel struct {
	tracker *sessiontrack.Tracker
	keys    *Keyfunc
	o       LogoutOptions
	parser  *jwt.Parser
	recent  recent
}

// BackchannelLogout returns a handler for the application's backchannel_logout_uri (OpenID Connect
// Back-Channel Logout 1.0). It takes a POST with logout_token and ends, with the reason
// [sessiontrack.ReasonProvider],
//
//   - what belongs to the provider's session that sid names, by [sessiontrack.Provider], also if that
//     has not been seen here yet;
//   - without a sid all sessions of the subject, by [sessiontrack.User], with its fence.
//
// The answer is 200; 400 for a token that is not good, one that comes again too; 503 while the keys or
// the store cannot be reached, so that the provider tries again. It carries Cache-Control: no-store.
// Mount it where no middleware asks for a session or for a same-origin request.
//
// That a token comes again is known to the process that has taken it, until the token's exp.
func BackchannelLogout(tracker *sessiontrack.Tracker, keys *Keyfunc, o LogoutOptions) (*Backchannel, error) {
	switch {
	case tracker == nil || keys == nil:
		return nil, errors.New("oidc: BackchannelLogout: tracker or keys is nil")
	case o.Issuer == "" || o.ClientID == "":
		return nil, errors.New("oidc: LogoutOptions: Issuer and ClientID are required")
	}
	if o.Algorithms == nil {
		o.Algorithms = []string{provider.RS256}
	}
	o.Algorithms = slices.Clone(o.Algorithms)
	for _, alg := range o.Algorithms {
		if !slices.Contains(asymmetric, alg) {
			return nil, fmt.Errorf("oidc: LogoutOptions.Algorithms has %q: want some of %s", alg, strings.Join(asymmetric, ", "))
		}
	}
	if o.User == nil {
		o.User = func(_ context.Context, subject string) (string, error) { return subject, nil }
	}
	return &Backchannel{
		tracker: tracker, keys: keys, o: o,
		parser: jwt.NewParser(jwt.WithValidMethods(o.Algorithms), jwt.WithoutClaimsValidation()),
	}, nil
}

// asymmetric are the algorithms that a provider's keys are for.
var asymmetric = []string{
	provider.RS256, provider.RS384, provider.RS512, provider.ES256, provider.ES384, provider.ES512,
	provider.PS256, provider.PS384, provider.PS512, provider.EdDSA,
}

// ServeHTTP implements [http.Handler].
func (b *Backchannel) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	w.Header().Set("Cache-Control", "no-store")
	if r.Method != http.MethodPost {
		w.Header().Set("Allow", http.MethodPost)
		answer(w, http.StatusMethodNotAllowed, "the method is not POST")
		return
	}
	raw, err := logoutToken(w, r)
	if err != nil {
		answer(w, http.StatusBadRequest, err.Error())
		return
	}
	switch err := b.logout(r.Context(), raw); {
	case err == nil:
		w.WriteHeader(http.StatusOK)
	case errors.Is(err, errToken):
		answer(w, http.StatusBadRequest, "the logout token is not good")
	default:
		w.Header().Set("Retry-After", "10")
		answer(w, http.StatusServiceUnavailable, "try again")
	}
}

// answer writes an error as OAuth 2.0 does (RFC 6749 §5.2), which §2.8 of the specification refers to.
func answer(w http.ResponseWriter, status int, description string) {
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(status)
	word := "invalid_request"
	if status >= http.StatusInternalServerError {
		word = "temporarily_unavailable"
	}
	_ = json.NewEncoder(w).Encode(map[string]string{"error": word, "error_description": description})
}

// logoutToken reads the one token of a form, which must not come in the URL.
func logoutToken(w http.ResponseWriter, r *http.Request) (string, error) {
	kind, _, err := mime.ParseMediaType(r.Header.Get("Content-Type"))
	if err != nil || kind != "application/x-www-form-urlencoded" {
		return "", errors.New("the Content-Type is not application/x-www-form-urlencoded")
	}
	r.Body = http.MaxBytesReader(w, r.Body, maxForm)
	if err := r.ParseForm(); err != nil {
		return "", errors.New("the form is not good")
	}
	if tokens := r.PostForm["logout_token"]; len(tokens) == 1 && tokens[0] != "" {
		return tokens[0], nil
	}
	return "", errors.New("want logout_token once")
}

// errToken says that a logout token is not good.
var errToken = errors.New("oidc: the logout token is not good")

// logout carries out a logout token.
func (b *Backchannel) logout(ctx context.Context, raw string) error {
	token, err := b.verify(ctx, raw)
	if err != nil {
		return err
	}
	if !b.recent.take(token.TokenID, token.Expiry) {
		return fmt.Errorf("%w: jti has come before", errToken)
	}
	if err := b.end(ctx, token); err != nil {
		b.recent.give(token.TokenID) // the provider may try again
		return err
	}
	return nil
}

// end ends what a token names.
func (b *Backchannel) end(ctx context.Context, token *provider.LogoutToken) error {
	selector := sessiontrack.Provider(token.Issuer, token.SessionID)
	if token.SessionID == "" {
		user, err := b.o.User(ctx, token.Subject)
		if err != nil || user == "" {
			return err
		}
		selector = sessiontrack.User(user)
	}
	_, err := b.tracker.End(ctx, selector, sessiontrack.Ending{Reason: sessiontrack.ReasonProvider})
	return err
}

// verify verifies a token by §2.6 of the specification.
func (b *Backchannel) verify(ctx context.Context, raw string) (*provider.LogoutToken, error) {
	keys := &keySet{b: b}
	verifier := provider.NewVerifier(b.o.Issuer, keys, &provider.Config{
		ClientID: b.o.ClientID, SupportedSigningAlgs: b.o.Algorithms,
	})
	token, err := verifier.VerifyLogout(ctx, raw)
	if errors.Is(keys.err, sessiontrack.ErrUnavailable) {
		return nil, keys.err
	}
	if err == nil {
		err = check(token, keys.typ)
	}
	if err != nil {
		return nil, fmt.Errorf("%w: %w", errToken, err)
	}
	return token, nil
}

// check looks at what VerifyLogout leaves to the application.
func check(token *provider.LogoutToken, typ string) error {
	typ = strings.TrimPrefix(strings.ToLower(typ), "application/")
	if typ != "" && typ != "logout+jwt" && typ != "jwt" {
		return errors.New("typ is not logout+jwt")
	}
	if token.IssuedAt.IsZero() || time.Until(token.IssuedAt) > leeway || token.Expiry.Sub(token.IssuedAt) > maxAge {
		return errors.New("iat is missing, from the future, or too long before exp")
	}
	if len(token.SessionID) > maxID || len(token.Subject) > maxID {
		return errors.New("sid or sub is too long")
	}
	var claims struct {
		Events map[string]map[string]any `json:"events"`
	}
	if err := token.Claims(&claims); err != nil || claims.Events[logoutEvent] == nil {
		return errors.New("the event is no object")
	}
	return nil
}

// keySet verifies one token's signature with the keys of a Keyfunc. It keeps the error, of which
// VerifyLogout returns the text only.
type keySet struct {
	b   *Backchannel
	typ string
	err error
}

// VerifySignature implements the KeySet of go-oidc.
func (s *keySet) VerifySignature(_ context.Context, raw string) ([]byte, error) {
	token, err := s.b.parser.Parse(raw, s.b.keys.Key)
	if err != nil {
		s.err = err
		return nil, err
	}
	s.typ, _ = token.Header["typ"].(string)
	payload, err := base64.RawURLEncoding.DecodeString(strings.Split(raw, ".")[1])
	s.err = err
	return payload, err
}

// recent are the ids of tokens that were carried out, until the tokens expire.
type recent struct {
	mu  sync.Mutex
	ids map[string]time.Time
}

// take reports whether an id is new, and keeps it.
func (r *recent) take(id string, until time.Time) bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	if _, known := r.ids[id]; known {
		return false
	}
	if r.ids == nil {
		r.ids = make(map[string]time.Time)
	}
	if len(r.ids) >= maxRecent {
		r.forget(time.Now())
	}
	r.ids[id] = until
	return true
}

// forget drops the ids of expired tokens, and if there are none that of the one that expires first.
func (r *recent) forget(now time.Time) {
	first, found := "", false
	for id, until := range r.ids {
		if until.Before(now) {
			delete(r.ids, id)
		} else if !found || until.Before(r.ids[first]) {
			first, found = id, true
		}
	}
	if len(r.ids) >= maxRecent {
		delete(r.ids, first)
	}
}

func (r *recent) give(id string) {
	r.mu.Lock()
	defer r.mu.Unlock()
	delete(r.ids, id)
}
