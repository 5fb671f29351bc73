// Package jwtverify verifies JSON Web Tokens and reads their claims.
//
// It works in two independent steps. [Verifier.Signature] checks the compact serialization, the
// header and the signature (RFC 7515), and returns the payload's bytes. [Verifier.Claims] reads
// those bytes as the claims of a JWT (RFC 7519). [Verifier.Verify] runs both steps.
//
// golang-jwt verifies the signatures. This package adds what that library leaves to its caller (RFC
// 8725): it caps sizes before it parses, it accepts one spelling of base64 and one reading of JSON,
// it takes the algorithm from the configuration, it refuses critical header parameters, and it
// requires exp.
package jwtverify

import (
	"errors"
	"fmt"
	"time"

	"github.com/golang-jwt/jwt/v5"
)

const (
	// DefaultMaxBytes is the default of [Config.MaxBytes].
	DefaultMaxBytes = 8 << 10
	// DefaultLeeway is the default of [Config.Leeway].
	DefaultLeeway = 30 * time.Second
	// MaxLeeway is the largest [Config.Leeway].
	MaxLeeway = 60 * time.Second
	// MaxUserBytes is the length of the longest user id that is accepted.
	MaxUserBytes = 255
	// MaxSessionBytes is the length of the longest session claim that is accepted.
	MaxSessionBytes = 255
)

var (
	// ErrInvalid matches the error of every token that is not genuine, is meant for another
	// audience, or is not valid yet.
	ErrInvalid = errors.New("jwtverify: invalid token")
	// ErrExpired is the error of a token that is past its exp and valid in every other respect. It
	// does not match [ErrInvalid].
	ErrExpired = errors.New("jwtverify: token expired")
)

// refusal names the rule that a token broke, and nothing else: no part of an untrusted token
// reaches a log through an error. It is a constant, so refusing a token allocates nothing.
type refusal string

func (r refusal) Error() string { return ErrInvalid.Error() + ": " + string(r) }

func (r refusal) Is(target error) bool { return target == ErrInvalid }

// ConfigError says which field of a [Config] is wrong, and why.
type ConfigError struct{ Field, Problem string }

func (e *ConfigError) Error() string { return "jwtverify: " + e.Field + " " + e.Problem }

func wrong(field, format string, args ...any) error {
	return &ConfigError{Field: field, Problem: fmt.Sprintf(format, args...)}
}

// Config configures a [Verifier]. Set exactly one of Key and Keyfunc.
type Config struct {
	// Algorithms are the accepted values of alg: HS256, HS384, HS512, RS256 to RS512, PS256 to
	// PS512, ES256 to ES512 and EdDSA. At least one is required. Symmetric and asymmetric
	// algorithms do not mix: a public key must never be able to serve as a secret (RFC 8725 §3.1).
	Algorithms []string
	// Key verifies every token: []byte for HS, *rsa.PublicKey, *ecdsa.PublicKey or
	// ed25519.PublicKey. It must fit every algorithm in Algorithms.
	Key any
	// Keyfunc returns the key for a token's header. It sees no claims and none of jku, x5u, jwk and
	// x5c. It is called concurrently, and before the signature is verified. The key that it returns
	// is checked like Key, for each token.
	Keyfunc jwt.Keyfunc
	// MaxBytes is the longest token that is accepted; 0 means [DefaultMaxBytes].
	MaxBytes int
	// IgnoreKeyHeaders accepts tokens with jku, x5u, jwk or x5c in the header, which some issuers
	// add. By default such tokens are refused. These parameters are never used.
	IgnoreKeyHeaders bool

	// Issuer and Audience are the required iss and aud. An empty one is not checked.
	Issuer, Audience string
	// Type is the required typ, with or without "application/" and in any case (RFC 7515 §4.1.9);
	// "at+jwt" for RFC 9068. If Type is empty, typ may be absent, JWT, JOSE or at+jwt. Logout
	// tokens, DPoP proofs and other kinds are then refused (RFC 8725 §3.11).
	Type string
	// Leeway is the tolerated difference between clocks. 0 means [DefaultLeeway], a negative value
	// means none, and more than [MaxLeeway] is an error.
	Leeway time.Duration
	// UserClaim, RolesClaim, SessionClaim and KeyClaim are the names of the claims that are read. UserClaim
	// is required. If one of the others is empty, it is not read. A RolesClaim with dots is a path
	// through objects ("realm_access.roles"), unless it contains a colon or a slash
	// ("https://example.com/roles").
	UserClaim, RolesClaim, SessionClaim, KeyClaim string
}

// Verifier checks tokens. It is immutable and safe for concurrent use.
type Verifier struct {
	config     Config
	algorithms map[string]algorithm
	names      [claimCount]string
	rolesPath  []string
}

// New returns a Verifier. Its errors are of type [*ConfigError].
func New(config Config) (*Verifier, error) {
	if config.MaxBytes == 0 {
		config.MaxBytes = DefaultMaxBytes
	}
	if config.MaxBytes < 0 {
		return nil, wrong("MaxBytes", "is %d: want 0 or more", config.MaxBytes)
	}
	switch {
	case config.Leeway == 0:
		config.Leeway = DefaultLeeway
	case config.Leeway < 0:
		config.Leeway = 0
	case config.Leeway > MaxLeeway:
		return nil, wrong("Leeway", "is %v: want at most %v", config.Leeway, MaxLeeway)
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

// Leeway is how long after exp a token is still accepted.
func (v *Verifier) Leeway() time.Duration { return v.config.Leeway }

// setAlgorithms looks up the configured algorithms.
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
		return wrong("Algorithms", "mixes symmetric and asymmetric algorithms: want one kind")
	}
	return nil
}

// setKey checks the fixed key against each algorithm, and copies a secret.
func (v *Verifier) setKey() error {
	if (v.config.Key == nil) == (v.config.Keyfunc == nil) {
		return wrong("Key", "is set together with Keyfunc, or neither is set: want exactly one")
	}
	if v.config.Key == nil {
		return nil
	}
	for name, a := range v.algorithms {
		if err := a.check(v.config.Key); err != nil {
			return wrong("Key", "for %s %v", name, err)
		}
	}
	if secret, ok := v.config.Key.([]byte); ok {
		v.config.Key = append([]byte(nil), secret...)
	}
	return nil
}

// Verify checks a token's signature and then its claims, at the time now.
func (v *Verifier) Verify(token string, now time.Time) (Claims, error) {
	header, payload, err := v.Signature(token)
	if err != nil {
		return Claims{}, err
	}
	return v.Claims(header, payload, now)
}
