package jwtverify

import (
	"encoding/base64"
	"encoding/json"
	"fmt"
	"strings"

	"github.com/golang-jwt/jwt/v5"
)

const (
	// maxHeaderBytes bounds the header, which is parsed before the signature is verified.
	// maxChainBytes is the bound where the header may contain a chain of certificates.
	maxHeaderBytes = 1 << 10
	maxChainBytes  = 6 << 10
	// maxHeaderMembers is more than the number of parameters in RFC 7515 and its extensions.
	maxHeaderMembers = 32
	// maxKeyIDBytes is the longest kid that a Keyfunc gets.
	maxKeyIDBytes = 256
	// maxKeys is the largest number of keys that are tried for one token.
	maxKeys = 16
)

const (
	errTooLong    refusal = "longer than allowed"
	errSegments   refusal = "not three segments"
	errEncoding   refusal = "not canonical base64url"
	errHeaderSize refusal = "header longer than allowed"
	errHeaderJSON refusal = "header is not one strict JSON object"
	errHeaderName refusal = "header has a name in another spelling"
	errHeaderType refusal = "header value of the wrong type"
	errAlgorithm  refusal = "algorithm not configured"
	errCritical   refusal = "header has critical or b64 parameters"
	errKeyHeader  refusal = "header names or brings a key"
	errKeyID      refusal = "kid not acceptable"
	errKey        refusal = "key does not fit the algorithm"
	errSignature  refusal = "signature does not match"
)

// headerNames are the header parameters that have a meaning here. The same name in another case is
// refused, because two readers could disagree on it.
var headerNames = [...]string{"alg", "kid", "typ", "crit", "b64", "jku", "x5u", "jwk", "x5c"}

// canonical is base64url without padding. Its unused bits must be zero (RFC 7515 §2, RFC 4648
// §3.5).
var canonical = base64.RawURLEncoding.Strict()

// Header holds the parameters of the JOSE header that are used.
type Header struct {
	Algorithm string // alg, one of Config.Algorithms
	KeyID     string // kid, or empty
	Type      string // typ, or empty
}

// Signature checks that token is a JWS in compact serialization, signed with a configured algorithm
// and key. It returns the header and the payload's bytes, which may be empty. It does not look at
// the content of the payload.
func (v *Verifier) Signature(token string) (Header, []byte, error) {
	if len(token) > v.config.MaxBytes {
		return Header{}, nil, errTooLong
	}
	head, rest, _ := strings.Cut(token, ".")
	body, sig, ok := strings.Cut(rest, ".")
	if !ok || head == "" || sig == "" || strings.IndexByte(sig, '.') >= 0 {
		return Header{}, nil, errSegments
	}
	header, raw, err := v.header(head)
	if err != nil {
		return Header{}, nil, err
	}
	signature, err := decode(sig)
	if err != nil {
		return Header{}, nil, err
	}
	signed := token[:len(head)+1+len(body)]
	if err := v.verify(header, raw, token, signed, signature); err != nil {
		return Header{}, nil, err
	}
	payload, err := decode(body)
	if err != nil {
		return Header{}, nil, err
	}
	return header, payload, nil
}

// decode refuses line breaks, which encoding/base64 skips even in strict mode.
func decode(segment string) ([]byte, error) {
	if strings.ContainsAny(segment, "\r\n") {
		return nil, errEncoding
	}
	b, err := canonical.DecodeString(segment)
	if err != nil {
		return nil, errEncoding
	}
	return b, nil
}

// header parses the first segment. It returns the header and its JSON.
func (v *Verifier) header(segment string) (Header, []byte, error) {
	var h Header
	if len(segment) > maxHeaderBytes && (!v.config.IgnoreKeyHeaders || len(segment) > maxChainBytes) {
		return h, nil, errHeaderSize
	}
	raw, err := decode(segment)
	if err != nil {
		return h, nil, err
	}
	err = members(raw, maxHeaderMembers, errHeaderJSON, func(name string, value []byte) error {
		return v.parameter(&h, name, value)
	})
	if err != nil {
		return h, nil, err
	}
	if _, ok := v.algorithms[h.Algorithm]; !ok {
		return h, nil, errAlgorithm
	}
	return h, raw, nil
}

// parameter reads one member of the header into h.
func (v *Verifier) parameter(h *Header, name string, value []byte) error {
	var ok bool
	switch name {
	case "alg":
		h.Algorithm, ok = text(value)
	case "typ":
		h.Type, ok = text(value)
	case "kid":
		if h.KeyID, ok = text(value); ok && !acceptableKeyID(h.KeyID) {
			return errKeyID
		}
	case "crit", "b64":
		return errCritical
	case "jku", "x5u", "jwk", "x5c":
		if !v.config.IgnoreKeyHeaders {
			return errKeyHeader
		}
		ok = true
	default:
		if foldsToAny(name, headerNames[:]) {
			return errHeaderName
		}
		ok = true
	}
	if !ok {
		return errHeaderType
	}
	return nil
}

// acceptableKeyID accepts the characters that issuers use to name keys (base64, UUIDs, URLs,
// addresses). A Keyfunc may pass a kid to a file system, a shell or a database, so a kid with a
// special meaning to one of those is refused.
func acceptableKeyID(kid string) bool {
	if kid == "" || len(kid) > maxKeyIDBytes || strings.Contains(kid, "..") {
		return false
	}
	for i := 0; i < len(kid); i++ {
		if c := kid[i]; c <= ' ' || c >= 0x7f || strings.IndexByte("'\"`\\<>|;$", c) >= 0 {
			return false
		}
	}
	return true
}

// verify finds the key and checks the signature with it.
func (v *Verifier) verify(h Header, raw []byte, token, signed string, signature []byte) error {
	a := v.algorithms[h.Algorithm]
	if v.config.Keyfunc == nil {
		return check(a, v.config.Key, signed, signature)
	}
	key, err := v.lookup(a, raw, token)
	if err != nil {
		return err
	}
	set, ok := key.(jwt.VerificationKeySet)
	if !ok {
		return fits(a, key, signed, signature)
	}
	err = errSignature
	for _, key := range set.Keys[:min(len(set.Keys), maxKeys)] {
		if err = fits(a, key, signed, signature); err == nil {
			return nil
		}
	}
	return err
}

// fits checks a key that comes from the Keyfunc.
func fits(a algorithm, key any, signed string, signature []byte) error {
	if err := a.check(key); err != nil {
		return errKey
	}
	return check(a, key, signed, signature)
}

func check(a algorithm, key any, signed string, signature []byte) error {
	if err := a.method.Verify(signed, signature, key); err != nil {
		return errSignature
	}
	return nil
}

// lookup calls the Keyfunc. Its error is wrapped together with ErrInvalid, so that the caller can
// recognise its own errors. A panic says nothing about the token: its error matches neither.
func (v *Verifier) lookup(a algorithm, raw []byte, token string) (key any, err error) {
	parameters := make(map[string]any)
	if err := json.Unmarshal(raw, &parameters); err != nil {
		return nil, errHeaderJSON
	}
	for _, name := range [...]string{"jku", "x5u", "jwk", "x5c"} {
		delete(parameters, name)
	}
	defer func() {
		if p := recover(); p != nil {
			key, err = nil, fmt.Errorf("jwtverify: keyfunc panicked: %v", p)
		}
	}()
	key, err = v.config.Keyfunc(&jwt.Token{Raw: token, Method: a.method, Header: parameters, Claims: jwt.MapClaims{}})
	if err != nil {
		return nil, fmt.Errorf("%w: keyfunc: %w", ErrInvalid, err)
	}
	return key, nil
}
