package jwtverify

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/rsa"
	"fmt"

	"github.com/golang-jwt/jwt/v5"
)

// minRSABits is the smallest RSA key (RFC 7518 §3.3).
const minRSABits = 2048

// algorithm is one value of alg: how to verify its signatures, and which keys fit.
type algorithm struct {
	method    jwt.SigningMethod
	symmetric bool
	check     func(key any) error
}

// supported lists every algorithm except "none", which is never accepted.
var supported = map[string]algorithm{
	"HS256": {jwt.SigningMethodHS256, true, secretOf(32)},
	"HS384": {jwt.SigningMethodHS384, true, secretOf(48)},
	"HS512": {jwt.SigningMethodHS512, true, secretOf(64)},
	"RS256": {jwt.SigningMethodRS256, false, rsaKey},
	"RS384": {jwt.SigningMethodRS384, false, rsaKey},
	"RS512": {jwt.SigningMethodRS512, false, rsaKey},
	"PS256": {pinnedPSS("PS256", crypto.SHA256), false, rsaKey},
	"PS384": {pinnedPSS("PS384", crypto.SHA384), false, rsaKey},
	"PS512": {pinnedPSS("PS512", crypto.SHA512), false, rsaKey},
	"ES256": {jwt.SigningMethodES256, false, ecdsaKey(elliptic.P256())},
	"ES384": {jwt.SigningMethodES384, false, ecdsaKey(elliptic.P384())},
	"ES512": {jwt.SigningMethodES512, false, ecdsaKey(elliptic.P521())},
	"EdDSA": {jwt.SigningMethodEdDSA, false, ed25519Key},
}

// pinnedPSS is RSASSA-PSS with a salt as long as the hash (RFC 7518 §3.5). golang-jwt's own methods
// accept any length of salt.
func pinnedPSS(name string, hash crypto.Hash) jwt.SigningMethod {
	return &jwt.SigningMethodRSAPSS{
		SigningMethodRSA: &jwt.SigningMethodRSA{Name: name, Hash: hash},
		Options:          &rsa.PSSOptions{SaltLength: rsa.PSSSaltLengthEqualsHash},
	}
}

// secretOf requires a secret that is at least as long as the hash (RFC 7518 §3.2).
func secretOf(least int) func(any) error {
	return func(key any) error {
		secret, ok := key.([]byte)
		if !ok {
			return fmt.Errorf("is a %T: want a secret as []byte", key)
		}
		if len(secret) < least {
			return fmt.Errorf("is a secret of %d bytes: want at least %d", len(secret), least)
		}
		return nil
	}
}

func rsaKey(key any) error {
	public, ok := key.(*rsa.PublicKey)
	if !ok {
		return fmt.Errorf("is a %T: want an *rsa.PublicKey", key)
	}
	if public == nil || public.N == nil || public.N.BitLen() < minRSABits {
		return fmt.Errorf("is an RSA key that is nil or too short: want at least %d bits", minRSABits)
	}
	return nil
}

func ecdsaKey(curve elliptic.Curve) func(any) error {
	return func(key any) error {
		public, ok := key.(*ecdsa.PublicKey)
		if !ok {
			return fmt.Errorf("is a %T: want an *ecdsa.PublicKey", key)
		}
		if public == nil || public.Curve != curve {
			return fmt.Errorf("is on another curve: want %s", curve.Params().Name)
		}
		if !hasPoint(public) {
			return fmt.Errorf("is not a point on its curve: want a point of %s", curve.Params().Name)
		}
		return nil
	}
}

// hasPoint reports whether a key is a point of its curve. Without this check crypto/ecdsa panics on
// a key without coordinates.
func hasPoint(public *ecdsa.PublicKey) bool {
	if public.X == nil || public.Y == nil {
		return false
	}
	_, err := public.ECDH()
	return err == nil
}

func ed25519Key(key any) error {
	public, ok := key.(ed25519.PublicKey)
	if !ok {
		return fmt.Errorf("is a %T: want an ed25519.PublicKey", key)
	}
	if len(public) != ed25519.PublicKeySize {
		return fmt.Errorf("is a key of %d bytes: want %d bytes", len(public), ed25519.PublicKeySize)
	}
	return nil
}
