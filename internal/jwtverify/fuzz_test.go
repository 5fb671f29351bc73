package jwtverify

import (
	"crypto/hmac"
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"strings"
	"testing"
	"time"

	"github.com/golang-jwt/jwt/v5"
)

// FuzzSignature checks the first step against two oracles. The test recomputes the signature of
// every accepted token with the standard library, over the exact bytes of the token. And the
// accepted token must be the only spelling of its decoded parts.
func FuzzSignature(f *testing.F) {
	v := verifier(f, nil)
	f.Add(hs256(f, plainHeader, `{"sub":"1","exp":1795341700}`))
	f.Add(hs256(f, `{"alg":"HS256","kid":"k","x":[{"y":"\u0022}"}]}`, ""))
	f.Add(hs256(f, `{"alg":"none"}`, "{}"))
	f.Add("eyJ0eXAiOiJKV1QiLA0KICJhbGciOiJIUzI1NiJ9.e30.AAAA")
	f.Add("..")
	f.Fuzz(func(t *testing.T, token string) {
		// Nearly every mutation breaks the signature. So each input is also tried with a valid one.
		for _, token := range []string{token, resigned(token)} {
			h, payload, err := v.Signature(token)
			if err != nil {
				continue
			}
			last := strings.LastIndexByte(token, '.')
			mac := hmac.New(sha256.New, secret32)
			mac.Write([]byte(token[:last]))
			encode := base64.RawURLEncoding.EncodeToString
			if token[last+1:] != encode(mac.Sum(nil)) {
				t.Fatalf("accepted, but not signed: %q", token)
			}
			first := strings.IndexByte(token, '.')
			if token[first+1:last] != encode(payload) {
				t.Fatalf("accepted in another spelling: %q", token)
			}
			if !json.Valid(payload) {
				continue // golang-jwt reads claims in the same step
			}
			parsed, err := jwt.NewParser(jwt.WithoutClaimsValidation(), jwt.WithStrictDecoding()).
				ParseWithClaims(token, new(anything), func(*jwt.Token) (any, error) { return secret32, nil })
			if err != nil || parsed.Header["alg"] != h.Algorithm || h.Algorithm != "HS256" {
				t.Fatalf("golang-jwt disagrees about %q: %v", token, err)
			}
		}
	})
}

// resigned replaces the token's last segment by a valid signature.
func resigned(token string) string {
	last := max(strings.LastIndexByte(token, '.'), 0)
	mac := hmac.New(sha256.New, secret32)
	mac.Write([]byte(token[:last]))
	return token[:last] + "." + base64.RawURLEncoding.EncodeToString(mac.Sum(nil))
}

// anything accepts any claims, because the first step does not look at them.
type anything struct{ jwt.RegisteredClaims }

func (*anything) UnmarshalJSON([]byte) error { return nil }

// FuzzClaims checks the second step against encoding/json: it reads every accepted payload the same
// way, and the token has not expired.
func FuzzClaims(f *testing.F) {
	v := verifier(f, nil)
	for _, seed := range []string{
		`{"sub":"1","exp":1795341700}`, `{"sub":42,"exp":1795341700.5,"sid":"a","roles":["x"],"nbf":1}`,
		`{"sub":"1","SUB":"2","exp":1795341700}`, `{"sub":"\ud83d\ude00","exp":1795341700,"x":{"y":["}"]}}`, `{}`,
	} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, payload string) {
		got, err := v.Claims(Header{}, []byte(payload), now)
		if err != nil {
			return
		}
		var read struct {
			Sub any
			Sid string
			Exp float64
		}
		decoder := json.NewDecoder(strings.NewReader(payload))
		decoder.UseNumber()
		if err := decoder.Decode(&read); err != nil {
			t.Fatalf("accepted what encoding/json refuses: %q: %v", payload, err)
		}
		user, ok := read.Sub.(string)
		if n, isNumber := read.Sub.(json.Number); isNumber {
			user, ok = n.String(), true
		}
		if !ok || user != got.User || read.Sid != got.Session {
			t.Fatalf("read %+v of %q, encoding/json %+v", got, payload, read)
		}
		if !now.Before(got.ExpiresAt.Add(DefaultLeeway)) ||
			got.ExpiresAt.Sub(time.Unix(0, int64(read.Exp*1e9))).Abs() > time.Microsecond {
			t.Fatalf("exp of %q read as %v", payload, got.ExpiresAt)
		}
	})
}
