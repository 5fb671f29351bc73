// Package jwtverify decides whether a JSON Web Token is genuine, and reads from it who its bearer is.
//
// It does so in two steps that know nothing of one another. [Verifier.Signature] looks at the compact serialization, the
// header and the signature only (RFC 7515), and hands out the payload's bytes. [Verifier.Claims] reads those bytes as the
// claims of a JWT (RFC 7519). [Verifier.Verify] is both.
//
// The signatures themselves are golang-jwt's. Around them this package closes what that library leaves to its caller: sizes
// are capped before anything is parsed, base64 and JSON have one spelling and one reading, the algorithm comes from the
// configuration, critical header parameters are refused, and a token ends (RFC 8725).
package jwtverify

import (
	"errors"
	"fmt"
	"time"

	"github.com/golang-jwt/jwt/v5"
)

const (
	// DefaultMaxBytes is how long a token may be unless the configuration says otherwise.
	DefaultMaxBytes = 8 << 10
	// DefaultLeeway is how far the issuer's clock and ours may differ unless the configuration says otherwise.
	DefaultLeeway = 30 * time.Second
	// MaxLeeway is the most that a configuration may ask for.
	MaxLeeway = 60 * time.Second
	// MaxUserBytes is the longest user id that is read from a token.
	MaxUserBytes = 255
	// MaxSessionBytes is the longest name of a session that is read from a token.
	MaxSessionBytes = 255
)

var (
	// ErrInvalid is matched by the error of every token that is not genuine, or not meant for us, or not valid yet.
	ErrInvalid = errors.New("jwtverify: invalid token")
	// ErrExpired is the error of a token that is genuine in every respect, but past its exp. It does not match [ErrInvalid].
	ErrExpired = errors.New("jwtverify: token expired")
)

// refusal says which rule a token broke. It names the rule only: nothing of an untrusted token reaches a log by way of an
// error, and refusing allocates nothing.
type refusal string

func (r refusal) Error() string { return ErrInvalid.Error() + ": " + string(r) }

func (r refusal) Is(target error) bool { return target == ErrInvalid }

// ConfigError says which field of a [Config] cannot work, and why.
type ConfigError struct{ Field, Problem string }

func (e *ConfigError) Error() string { return "jwtverify: " + e.Field + ": " + e.Problem }

func wrong(field, format string, args ...any) error {
	return &ConfigError{Field: field, Problem: fmt.Sprintf(format, args...)}
}

// Config says which tokens are genuine. Exactly one of Key and Keyfunc is set.
type Config struct {
	// Algorithms are the accepted values of alg: HS256, HS384, HS512, RS256 to RS512, PS256 to PS512, ES256 to ES512 and
	// EdDSA. At least one is required, and symmetric ones do not mix with the others: a public key must never be able to
	// serve as a secret (RFC 8725 §3.1).
	Algorithms []string
	// Key verifies every token: []byte for HS, *rsa.PublicKey, *ecdsa.PublicKey or ed25519.PublicKey. It must fit every
	// algorithm that is named.
	Key any
	// Keyfunc finds the key by the token's header. It sees neither claims nor jku, x5u, jwk and x5c. It is called
	// concurrently, and for tokens that nobody signed. A key that it returns is checked like Key, for each token.
	Keyfunc jwt.Keyfunc
	// MaxBytes is how long a token may be; 0 is [DefaultMaxBytes].
	MaxBytes int
	// IgnoreKeyHeaders accepts tokens whose header names or brings a key (jku, x5u, jwk, x5c), which some issuers add. They
	// are never used either way. Without it such tokens are refused.
	IgnoreKeyHeaders bool

	// Issuer and Audience must be named by iss and aud, unless empty.
	Issuer, Audience string
	// Type must be the header's typ, with or without "application/" and in any case (RFC 7515 §4.1.9); "at+jwt" for
	// RFC 9068. If empty, typ may be absent, JWT, JOSE or at+jwt: logout tokens, DPoP proofs and other kinds are refused
	// (RFC 8725 §3.11).
	Type string
	// Leeway is how far clocks may differ; 0 is [DefaultLeeway], negative is none, more than [MaxLeeway] is an error.
	Leeway time.Duration
	// UserClaim, RolesClaim and SessionClaim are the names of the claims that are read. UserClaim is required, the others
	// are not read if empty. A RolesClaim with dots in it is a path through objects ("realm_access.roles"), unless it has a
	// colon or a slash ("https://example.com/roles").
	UserClaim, RolesClaim, SessionClaim string
}

// Verifier checks tokens by its configuration. It is immutable, and safe for concurrent use.
type Verifier struct {
	config     Config
	algorithms map[string]algorithm
	names      [claimCount]string
	rolesPath  []string
}

// New returns a verifier, or a [*ConfigError].
func New(config Config) (*Verifier, error) {
	if config.MaxBytes == 0 {
		config.MaxBytes = DefaultMaxBytes
	}
	if config.MaxBytes < 0 {
		return nil, wrong("MaxBytes", "is negative: %d", config.MaxBytes)
	}
	switch {
	case config.Leeway == 0:
		config.Leeway = DefaultLeeway
	case config.Leeway < 0:
		config.Leeway = 0
	case config.Leeway > MaxLeeway:
		return nil, wrong("Leeway", "is %v, the most is %v", config.Leeway, MaxLeeway)
	}
	v := &Verifier{config: config}
	if err := v.setAlgorithms(); err != nil {
		return nil, err
	}
	if err := v.setKey(); err != nil {
		return nil, err
	}
	if err := v.setClaims(); err != nil {
		return nil, err
	}
	return v, nil
}

// setAlgorithms resolves the configured names.
func (v *Verifier) setAlgorithms() error {
	if len(v.config.Algorithms) == 0 {
		return wrong("Algorithms", "is empty")
	}
	v.algorithms = make(map[string]algorithm, len(v.config.Algorithms))
	symmetric := 0
	for _, name := range v.config.Algorithms {
		a, ok := supported[name]
		if !ok {
			return wrong("Algorithms", "%q is not supported", name)
		}
		if a.symmetric {
			symmetric++
		}
		v.algorithms[name] = a
	}
	if symmetric != 0 && symmetric != len(v.config.Algorithms) {
		return wrong("Algorithms", "mixes symmetric and asymmetric ones")
	}
	return nil
}

// setKey checks the fixed key against each algorithm, and keeps a copy of a secret.
func (v *Verifier) setKey() error {
	if (v.config.Key == nil) == (v.config.Keyfunc == nil) {
		return wrong("Key", "exactly one of Key and Keyfunc is required")
	}
	if v.config.Key == nil {
		return nil
	}
	for name, a := range v.algorithms {
		if err := a.check(v.config.Key); err != nil {
			return wrong("Key", "%s %v", name, err)
		}
	}
	if secret, ok := v.config.Key.([]byte); ok {
		v.config.Key = append([]byte(nil), secret...)
	}
	return nil
}

// Verify checks a token's signature and then its claims, as of now.
func (v *Verifier) Verify(token string, now time.Time) (Claims, error) {
	header, payload, err := v.Signature(token)
	if err != nil {
		return Claims{}, err
	}
	return v.Claims(header, payload, now)
}
