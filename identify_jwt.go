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

// JWTOptions configures which JSON Web Tokens are accepted and which claims are read. Exactly one
// of Secret and Keyfunc is required. The zero value of every other field is its default.
type JWTOptions struct {
	// Secret verifies HS256, HS384 and HS512. It has random bytes, at least as many as the hash:
	// 32, 48 or 64 (RFC 7518 §3.2). It is copied.
	Secret []byte
	// Keyfunc returns the key for a token's header, for everything except a single secret. The key
	// is an *rsa.PublicKey of 2048 bits or more, an *ecdsa.PublicKey, an ed25519.PublicKey, a
	// []byte, or a jwt.VerificationKeySet of them. It is called concurrently and before the
	// signature is verified, and it sees no claims. It should answer from memory, because the
	// request waits.
	//
	// An error that wraps [ErrUnavailable] or context.DeadlineExceeded, or is a net.Error, means
	// that the keys cannot be reached now: 503. Every other error means that there is no such key:
	// 401.
	Keyfunc jwt.Keyfunc
	// Algorithms are the accepted values of alg (RFC 8725 §3.1): HS256, HS384, HS512, RS256, RS384,
	// RS512, PS256, PS384, PS512, ES256, ES384, ES512, EdDSA. Default with Secret: HS256. Required
	// with Keyfunc. Symmetric and asymmetric algorithms do not mix.
	Algorithms []string

	// Issuer is the required iss. Default: any.
	Issuer string
	// Audience is the required aud, or one of several. Set it if the issuer makes tokens for others
	// too. Default: any.
	Audience string
	// Type is the required typ, such as "at+jwt" (RFC 9068). By default typ may be absent, JWT,
	// JOSE or at+jwt, which excludes logout tokens and DPoP proofs. Only Audience or Type exclude
	// ID tokens.
	Type string
	// Leeway is the tolerated difference to the issuer's clock. Default 30 s, at most 60 s. A
	// negative value means none.
	Leeway time.Duration

	// UserClaim is the claim with the user id: a string, or a non-negative whole number, which is
	// read as its decimal digits. Default "sub".
	UserClaim string
	// RolesClaim is the claim with the roles: an array of strings, or one string with spaces
	// between them. Dots make it a path ("realm_access.roles"), unless it contains a colon or a
	// slash. Default "roles"; "-" means none.
	RolesClaim string
	// SessionClaim is the claim with the session: the Session.ID that Login returned. A token whose
	// claim has any other value is refused. A token without the claim has a derived session.
	// Default "sid"; "-" means none.
	SessionClaim string
	// IssuerSessions says that SessionClaim names the identity provider's session and not ours, as
	// in OpenID Connect. All tokens of a provider's session, also refreshed ones, share one session
	// here. After it has ended here, the user must sign in at the provider again.
	IssuerSessions bool

	// KeyClaim is a claim that all tokens of one sign-in share and that a new sign-in changes: a
	// grant, a family of refresh tokens, an authorization. Tokens of a user with the same value have
	// one derived session. Without it each token has one of its own, so that a client which
	// refreshes its token every minute has 60 sessions an hour. A token without the claim goes by
	// its jti, or by itself. After the session has ended here, all tokens of that value are refused
	// for Options.KeepEnded: a claim that outlives a sign-in, such as client_id, would lock the
	// client out. Default: none.
	KeyClaim string

	// IgnoreKeyHeaders accepts tokens with jku, x5u, jwk or x5c in the header, which some issuers
	// add. They are never used and not passed to Keyfunc. By default such tokens are refused.
	IgnoreKeyHeaders bool

	// CacheSize is how many verified tokens are cached, so that a signature is verified once and
	// not in each request. Default 16384, about 1 KiB each, at most 100,000,000. A negative value
	// means none.
	CacheSize int
	// CacheFor is how long a verified token is cached at most, within its own validity. A token may
	// stay accepted for that long after its key was withdrawn, unless the host calls
	// [JWTIdentifier.Reset]. Default 5 min.
	CacheFor time.Duration
}

// JWTIdentifier is an [Identifier] for JSON Web Tokens in the Authorization header (RFC 6750 §2.1).
// Create it with [NewJWTIdentifier]. It is safe for concurrent use.
//
// Tokens should have iat. A token without it counts as issued before every end of all its user's
// sessions. So after such an end it is refused if it would begin a session.
type JWTIdentifier struct {
	verifier       *jwtverify.Verifier
	cache          *tokencache.Cache[Identity]
	issuerSessions bool
}

// NewJWTIdentifier returns an identifier. Its error names the invalid field.
func NewJWTIdentifier(options JWTOptions) (*JWTIdentifier, error) {
	config := jwtverify.Config{
		Algorithms: options.Algorithms, Keyfunc: options.Keyfunc, IgnoreKeyHeaders: options.IgnoreKeyHeaders,
		Issuer: options.Issuer, Audience: options.Audience, Type: options.Type, Leeway: options.Leeway,
		UserClaim:    claimName(options.UserClaim, "sub"),
		RolesClaim:   claimName(options.RolesClaim, "roles"),
		SessionClaim: claimName(options.SessionClaim, "sid"),
		KeyClaim:     options.KeyClaim,
	}
	if (options.Secret == nil) == (options.Keyfunc == nil) {
		return nil, errors.New("sessiontrack: JWTOptions: Secret and Keyfunc are both set or both empty: want exactly one")
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
	if options.KeyClaim == config.UserClaim || options.KeyClaim != "" && options.KeyClaim == config.SessionClaim {
		return nil, fmt.Errorf("sessiontrack: JWTOptions.KeyClaim is %q: want another claim than UserClaim and SessionClaim",
			options.KeyClaim)
	}
	if options.CacheFor < 0 {
		return nil, fmt.Errorf("sessiontrack: JWTOptions.CacheFor is %v: want 0 or more", options.CacheFor)
	}
	if options.CacheSize > maxCache {
		return nil, fmt.Errorf("sessiontrack: JWTOptions.CacheSize is %d: want at most %d", options.CacheSize, maxCache)
	}
	if options.IssuerSessions && config.SessionClaim == "" {
		return nil, errors.New(
			"sessiontrack: JWTOptions.IssuerSessions is set and SessionClaim is \"-\": want a SessionClaim",
		)
	}
	j := &JWTIdentifier{verifier: verifier, issuerSessions: options.IssuerSessions}
	if options.CacheSize >= 0 {
		size := orDefault(options.CacheSize, defaultTokenCache)
		j.cache = tokencache.New[Identity](size, orDefault(options.CacheFor, defaultTokenCacheFor))
	}
	return j, nil
}

// claimName applies the default, and converts "-" to none.
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

// optionError translates an error of jwtverify to the names of JWTOptions' fields.
func optionError(err error) error {
	var problem *jwtverify.ConfigError
	if !errors.As(err, &problem) {
		return fmt.Errorf("sessiontrack: JWTOptions: %w", err)
	}
	field := problem.Field
	if field == "Key" {
		field = "Secret"
	}
	return fmt.Errorf("sessiontrack: JWTOptions.%s %s", field, problem.Problem)
}

// Identify reads and verifies the bearer token of a request. A request without one, or with another
// scheme, has no credential. Two Authorization lines are an invalid credential, and so is a line
// that is empty or not exactly "Bearer", one space and a token. The result's Roles are shared and
// must not be modified.
func (j *JWTIdentifier) Identify(r *http.Request) (Identity, error) {
	identity, err := j.identifyAt(r, time.Now())
	if err != nil {
		return Identity{}, err
	}
	return *identity, nil
}

// remembered returns the cached identity of a request's token, or nil if the token must be
// verified.
func (j *JWTIdentifier) remembered(r *http.Request, now time.Time) *Identity {
	token, err := bearer(r.Header["Authorization"])
	if err != nil {
		return nil
	}
	return j.cache.Get(token, now)
}

// identifyAt is Identify at a time that the caller has read. The cache shares its result.
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
	// The cache does not use the leeway: a token past its exp is verified each time.
	j.cache.Put(token, identity, now, identity.ExpiresAt, era)
	return &identity, nil
}

// Reset clears the cache of verified tokens. Call it when a key is withdrawn: otherwise tokens of
// that key stay accepted for up to CacheFor.
func (j *JWTIdentifier) Reset() { j.cache.Reset() }

// bearer returns the token in the lines of the Authorization header. It allocates nothing and
// checks only the length and the first bytes of a line.
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
		return "", ErrNoCredential // another scheme whose name begins with "bearer"
	}
	if len(line) < 2 || line[0] != ' ' || len(line)-1 > jwtverify.DefaultMaxBytes {
		return "", ErrInvalidCredential
	}
	return line[1:], nil
}

// isTokenByte reports whether c may be part of a scheme's name (RFC 9110 §5.6.2).
func isTokenByte(c byte) bool {
	return c >= '0' && c <= '9' || c >= 'A' && c <= 'Z' || c >= 'a' && c <= 'z' || strings.IndexByte("!#$%&'*+-.^_`|~",
		c) >= 0
}

// identity converts claims to an Identity. For a token without a session of ours it sets the handle
// of the derived session.
func (j *JWTIdentifier) identity(token string, claims jwtverify.Claims) (Identity, error) {
	identity := Identity{UserID: claims.User, Roles: claims.Roles, ExpiresAt: claims.ExpiresAt, Issuer: claims.Issuer,
		IssuedAt: claims.IssuedAt, AuthenticatedAt: claims.AuthTime}
	if identity.AuthenticatedAt.IsZero() {
		identity.AuthenticatedAt = claims.IssuedAt
	}
	if identity.IssuedAt.IsZero() {
		identity.IssuedAt = time.Unix(0, 0).UTC() // unknown, so before every fence
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
	case claims.Key != "":
		identity.derived, identity.family = deriveHandle(claims.Issuer, claims.User, keyPrefix+claims.Key), true
	case claims.TokenID != "":
		identity.derived = deriveHandle(claims.Issuer, claims.User, claims.TokenID)
	default:
		// The handle never depends on the signature. ES256 has two signatures for one message and
		// any signer can make more, so an ended token could come back under another handle.
		identity.derived = deriveHandle(claims.Issuer, claims.User, token[:strings.LastIndexByte(token, '.')])
	}
	return identity, nil
}

// keyPrefix keeps the value of a KeyClaim apart from every jti: no claim that is read may contain
// a NUL.
const keyPrefix = "key\x00"

// credentialError translates an error of jwtverify. It keeps the reason only as text, for the log,
// so that errors.Is finds no error that a Keyfunc wrapped.
func credentialError(err error) error {
	switch {
	case errors.Is(err, jwtverify.ErrExpired):
		return ErrExpiredCredential
	case errors.Is(err, jwtverify.ErrInvalid) && !unreachable(err):
		return fmt.Errorf("%w: %s", ErrInvalidCredential, err.Error())
	}
	return fmt.Errorf("%w: %s", ErrUnavailable, err.Error())
}

// unreachable reports whether a Keyfunc's error means that its keys cannot be reached.
func unreachable(err error) bool {
	var network net.Error
	return errors.Is(err, ErrUnavailable) || errors.Is(err, context.DeadlineExceeded) || errors.As(err, &network)
}
