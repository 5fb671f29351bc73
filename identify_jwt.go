package sessiontrack

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
	"strings"
	"time"

	"github.com/golang-jwt/jwt/v5"
	"github.com/sessiontrack/sessiontrack/internal/jwtverify"
	"github.com/sessiontrack/sessiontrack/internal/tokencache"
)

const (
	defaultTokenCache    = 16384
	defaultTokenCacheFor = 5 * time.Minute
)

// JWTOptions says which JSON Web Tokens are genuine and what is read from them.
// Exactly one of Secret and Keyfunc is required; the zero value of every other
// field is its default.
type JWTOptions struct {
	// Secret verifies HS256, HS384 and HS512. It is random bytes, at least as many
	// as the hash has: 32, 48, 64 (RFC 7518 §3.2). It is copied.
	Secret []byte
	// Keyfunc finds the key by the token's header, for everything but a single
	// secret: *rsa.PublicKey of 2048 bits or more, *ecdsa.PublicKey,
	// ed25519.PublicKey, []byte, or a jwt.VerificationKeySet of them. It is
	// called concurrently and for tokens that nobody signed, sees no claims, and
	// should answer from memory: the request waits for it.
	//
	// An error that wraps [ErrUnavailable] or context.DeadlineExceeded, or is a
	// net.Error, means that the keys cannot be had now: 503. Every other error
	// means that there is no such key: 401.
	Keyfunc jwt.Keyfunc
	// Algorithms are the accepted values of alg (RFC 8725 §3.1): HS256, HS384,
	// HS512, RS256, RS384, RS512, PS256, PS384, PS512, ES256, ES384, ES512, EdDSA.
	// Default: HS256 with Secret; required with Keyfunc. Symmetric ones do not mix
	// with the others.
	Algorithms []string

	// Issuer must be the token's iss. Default: any.
	Issuer string
	// Audience must be the token's aud or one of them. Set it wherever the issuer
	// makes tokens for others too. Default: any.
	Audience string
	// Type must be the header's typ, such as "at+jwt" (RFC 9068). Default: typ is
	// absent, JWT, JOSE or at+jwt, which keeps logout tokens and DPoP proofs out;
	// ID tokens are told apart by Audience or Type only.
	Type string
	// Leeway is how far the issuer's clock may differ. Default 30 s, at most 60 s,
	// negative for none.
	Leeway time.Duration

	// UserClaim names the user: a string, or a whole number that is not negative,
	// which is read as its decimal digits. Default "sub".
	UserClaim string
	// RolesClaim holds the roles: an array of strings, or one string with spaces
	// between them. Dots make it a path ("realm_access.roles"), unless it has a
	// colon or a slash in it. Default "roles", "-" for none.
	RolesClaim string
	// SessionClaim names the session: what Login has returned as Session.ID. A
	// token that has the claim with anything else in it is refused; one without it
	// is a derived session. Default "sid", "-" for none.
	SessionClaim string
	// IssuerSessions says that SessionClaim is the identity provider's session,
	// not ours, as with OpenID Connect. Its tokens, refreshed ones too, are one
	// session, which ends when it is ended here, until the user signs in at the
	// provider anew.
	IssuerSessions bool

	// IgnoreKeyHeaders accepts tokens whose header has jku, x5u, jwk or x5c, as
	// some issuers' have. They are never used, nor shown to Keyfunc. Default: such
	// tokens are refused.
	IgnoreKeyHeaders bool

	// CacheSize is how many verified tokens are remembered, so that a token costs
	// its signature's verification once and not with each request. Default 16384,
	// about 1 KiB each, at most 100,000,000; negative for none.
	CacheSize int
	// CacheFor is for how long at most, within the token's own validity: so long
	// may a token outlive its key where nobody calls [JWTIdentifier.Reset].
	// Default 5 min.
	CacheFor time.Duration
}

// JWTIdentifier is an [Identifier] for JSON Web Tokens in the Authorization
// header (RFC 6750 §2.1). Build it with [NewJWTIdentifier]. It is safe for
// concurrent use.
//
// Tokens should have iat: one without counts as issued before every end of all its
// user's sessions, so that it is refused after one where it begins a session.
type JWTIdentifier struct {
	verifier       *jwtverify.Verifier
	cache          *tokencache.Cache[Identity]
	issuerSessions bool
}

// NewJWTIdentifier returns an identifier for the tokens that options describe,
// or an error that names the field that cannot work.
func NewJWTIdentifier(options JWTOptions) (*JWTIdentifier, error) {
	config := jwtverify.Config{
		Algorithms: options.Algorithms, Keyfunc: options.Keyfunc, IgnoreKeyHeaders: options.IgnoreKeyHeaders,
		Issuer: options.Issuer, Audience: options.Audience, Type: options.Type, Leeway: options.Leeway,
		UserClaim:    claimName(options.UserClaim, "sub"),
		RolesClaim:   claimName(options.RolesClaim, "roles"),
		SessionClaim: claimName(options.SessionClaim, "sid"),
	}
	if (options.Secret == nil) == (options.Keyfunc == nil) {
		return nil, errors.New("sessiontrack: JWTOptions: exactly one of Secret and Keyfunc is required")
	}
	if options.Secret != nil {
		config.Key = options.Secret
		if len(config.Algorithms) == 0 {
			config.Algorithms = []string{"HS256"}
		}
	}
	verifier, err := jwtverify.New(config)
	if err != nil {
		return nil, optionError(err)
	}
	if options.CacheFor < 0 {
		return nil, fmt.Errorf("sessiontrack: JWTOptions.CacheFor: is negative: %v", options.CacheFor)
	}
	if options.CacheSize > maxCache {
		return nil, fmt.Errorf("sessiontrack: JWTOptions.CacheSize: is %d, the most is %d", options.CacheSize, maxCache)
	}
	if options.IssuerSessions && config.SessionClaim == "" {
		return nil, errors.New("sessiontrack: JWTOptions.IssuerSessions: needs SessionClaim, which is switched off")
	}
	j := &JWTIdentifier{verifier: verifier, issuerSessions: options.IssuerSessions}
	if options.CacheSize >= 0 {
		size := orDefault(options.CacheSize, defaultTokenCache)
		j.cache = tokencache.New[Identity](size, orDefault(options.CacheFor, defaultTokenCacheFor))
	}
	return j, nil
}

// claimName applies a default, and "-" for none.
func claimName(name, otherwise string) string {
	switch name {
	case "":
		return otherwise
	case "-":
		return ""
	}
	return name
}

func orDefault[T comparable](value, otherwise T) T {
	var zero T
	if value == zero {
		return otherwise
	}
	return value
}

// optionError names a field as the options do.
func optionError(err error) error {
	var problem *jwtverify.ConfigError
	if !errors.As(err, &problem) {
		return fmt.Errorf("sessiontrack: JWTOptions: %w", err)
	}
	field := problem.Field
	if field == "Key" {
		field = "Secret"
	}
	return fmt.Errorf("sessiontrack: JWTOptions.%s: %s", field, problem.Problem)
}

// Identify reads and verifies the bearer token of a request. A request without
// one, or with another scheme, has no credential; two Authorization lines, or
// one that is empty or not exactly "Bearer" with one space and a token, are an
// invalid one. Roles of the result are shared: they must not be modified.
func (j *JWTIdentifier) Identify(r *http.Request) (Identity, error) {
	identity, err := j.identifyAt(r, time.Now())
	if err != nil {
		return Identity{}, err
	}
	return *identity, nil
}

// remembered returns what the cache holds of a request's token, nil where it has to
// be verified.
func (j *JWTIdentifier) remembered(r *http.Request, now time.Time) *Identity {
	token, err := bearer(r.Header["Authorization"])
	if err != nil {
		return nil
	}
	return j.cache.Get(token, now)
}

// identifyAt is Identify at a moment that the caller has read. What it returns is
// shared with the cache.
func (j *JWTIdentifier) identifyAt(r *http.Request, now time.Time) (*Identity, error) {
	token, err := bearer(r.Header["Authorization"])
	if err != nil {
		return nil, err
	}
	if found := j.cache.Get(token, now); found != nil {
		return found, nil
	}
	era := j.cache.Era()
	claims, err := j.verifier.Verify(token, now)
	if err != nil {
		return nil, credentialError(err)
	}
	identity, err := j.identity(token, claims)
	if err != nil {
		return nil, err
	}
	if !identity.valid() {
		return nil, ErrInvalidCredential
	}
	// The leeway is not used up: a token past its exp is verified each time.
	j.cache.Put(token, identity, now, identity.ExpiresAt, era)
	return &identity, nil
}

// Reset forgets every verified token. Call it when a key is withdrawn: without
// it, tokens of that key are good for up to CacheFor longer.
func (j *JWTIdentifier) Reset() { j.cache.Reset() }

// bearer finds the token in the lines of the Authorization header. It allocates
// nothing, and looks at no more of a line than its length and first bytes.
func bearer(lines []string) (string, error) {
	const scheme = "Bearer"
	switch len(lines) {
	case 0:
		return "", ErrNoCredential
	case 1:
	default:
		return "", ErrInvalidCredential
	}
	line := lines[0]
	if line == "" || line[0] <= ' ' {
		return "", ErrInvalidCredential
	}
	if len(line) < len(scheme) || !strings.EqualFold(line[:len(scheme)], scheme) {
		return "", ErrNoCredential
	}
	line = line[len(scheme):]
	if line != "" && isTokenByte(line[0]) {
		return "", ErrNoCredential // a scheme whose name begins alike
	}
	if len(line) < 2 || line[0] != ' ' || len(line)-1 > jwtverify.DefaultMaxBytes {
		return "", ErrInvalidCredential
	}
	return line[1:], nil
}

// isTokenByte reports whether c may be part of a scheme's name (RFC 9110 §5.6.2).
func isTokenByte(c byte) bool {
	return c >= '0' && c <= '9' || c >= 'A' && c <= 'Z' || c >= 'a' && c <= 'z' || strings.IndexByte("!#$%&'*+-.^_`|~", c) >= 0
}

// identity makes of claims what the middleware needs. A token without a session
// of ours brings the handle of its derived session along.
func (j *JWTIdentifier) identity(token string, claims jwtverify.Claims) (Identity, error) {
	identity := Identity{UserID: claims.User, Roles: claims.Roles, ExpiresAt: claims.ExpiresAt, Issuer: claims.Issuer, IssuedAt: claims.IssuedAt}
	if identity.IssuedAt.IsZero() {
		identity.IssuedAt = time.Unix(0, 0).UTC() // unknown: before every fence
	}
	switch {
	case claims.Session != "" && j.issuerSessions:
		identity.Key = claims.Session
		identity.derived = deriveHandle(claims.Issuer, claims.User, claims.Session)
	case claims.Session != "":
		id, err := ParseSessionID(claims.Session)
		if err != nil {
			return Identity{}, err
		}
		identity.SessionID = id
		identity.ours, _ = parseHandle(id)
	case claims.TokenID != "":
		identity.derived = deriveHandle(claims.Issuer, claims.User, claims.TokenID)
	default:
		// Never the signature: ES256 has two for one message, and any signer can make
		// more, so that an ended token could come back under another handle.
		identity.derived = deriveHandle(claims.Issuer, claims.User, token[:strings.LastIndexByte(token, '.')])
	}
	return identity, nil
}

// credentialError translates a verdict. The reason is kept as text for the log
// only, so that no error of a Keyfunc can pass for one of ours.
func credentialError(err error) error {
	switch {
	case errors.Is(err, jwtverify.ErrExpired):
		return ErrExpiredCredential
	case errors.Is(err, jwtverify.ErrInvalid) && !unreachable(err):
		return fmt.Errorf("%w: %s", ErrInvalidCredential, err.Error())
	}
	return fmt.Errorf("%w: %s", ErrUnavailable, err.Error())
}

// unreachable reports whether a Keyfunc's error says nothing about the key.
func unreachable(err error) bool {
	var network net.Error
	return errors.Is(err, ErrUnavailable) || errors.Is(err, context.DeadlineExceeded) || errors.As(err, &network)
}
