package jwtverify

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// claims reads a payload with v at the time now.
func claims(v *Verifier, payload string) (Claims, error) {
	return v.Claims(Header{Algorithm: "HS256", Type: "JWT"}, []byte(payload), now)
}

// with returns a valid payload plus members.
func with(members string) string {
	return fmt.Sprintf(`{"exp":%d,%s}`, now.Unix()+60, members)
}

func TestClaims(t *testing.T) {
	t.Parallel()
	v := verifier(t, nil)
	got, err := claims(v, `{ "iss":"https://issuer.example", "sub":"42", "sid":"AAAAAAAAAAAAAAAAAAAAAA", "jti":"j-1",
		"roles":["admin","user"], "exp":1795341700.5, "nbf":0, "iat":1795341600, "nested":{"sub":"x"}, "":null }`)
	require.NoError(t, err)
	assert.Equal(t, Claims{
		User: "42", Roles: []string{"admin", "user"}, Session: "AAAAAAAAAAAAAAAAAAAAAA", TokenID: "j-1",
		Issuer: "https://issuer.example", ExpiresAt: time.Unix(1795341700, 500_000_000).UTC(), IssuedAt: time.Unix(1795341600,
			0).UTC(),
	}, got)
}

// TestRefusedClaims covers docs/checks.md S08 and S10, and every other fault of a payload.
func TestRefusedClaims(t *testing.T) {
	t.Parallel()
	v := verifier(t, nil)
	future := now.Unix() + 3600
	for name, payload := range map[string]string{
		"exp missing":              `{"sub":"1"}`,
		"exp zero":                 `{"sub":"1","exp":0}`,
		"exp nearly zero":          `{"sub":"1","exp":0.5}`,
		"exp negative":             `{"sub":"1","exp":-1}`,
		"exp a string":             `{"sub":"1","exp":"1795341700"}`,
		"exp huge":                 `{"sub":"1","exp":1e300}`,
		"exp past float64":         `{"sub":"1","exp":1e999}`,
		"exp NaN":                  `{"sub":"1","exp":NaN}`,
		"exp NaN in quotes":        `{"sub":"1","exp":"NaN"}`,
		"exp null":                 `{"sub":"1","exp":null}`,
		"exp an array":             `{"sub":"1","exp":[1795341700]}`,
		"exp in milliseconds":      fmt.Sprintf(`{"sub":"1","exp":%d}`, now.UnixMilli()),
		"exp in 21 years":          fmt.Sprintf(`{"sub":"1","exp":%d}`, now.AddDate(21, 0, 0).Unix()),
		"exp twice":                fmt.Sprintf(`{"sub":"1","exp":1,"exp":%d}`, future),
		"Exp beside exp":           with(`"sub":"1","Exp":9795341700`),
		"nbf in the future":        with(fmt.Sprintf(`"sub":"1","nbf":%d`, now.Unix()+40)),
		"nbf a string":             with(`"sub":"1","nbf":"0"`),
		"iat in the future":        with(fmt.Sprintf(`"sub":"1","iat":%d`, now.Unix()+40)),
		"iat null":                 with(`"sub":"1","iat":null`),
		"sub missing":              with(`"name":"1"`),
		"sub empty":                with(`"sub":""`),
		"sub null":                 with(`"sub":null`),
		"sub true":                 with(`"sub":true`),
		"sub an object":            with(`"sub":{}`),
		"sub a fraction":           with(`"sub":1.5`),
		"sub an exponent":          with(`"sub":1e3`),
		"sub negative":             with(`"sub":-1`),
		"sub past 64 bits":         with(`"sub":18446744073709551616`),
		"SUB beside sub":           with(`"sub":"1","SUB":"2"`),
		"SUB alone":                with(`"SUB":"2"`),
		"sub with a long s":        with(`"sub":"1","ſub":"2"`),
		"sub twice":                with(`"sub":"1","sub":"1"`),
		"sub twice, once escaped":  with(`"sub":"1","\u0073ub":"2"`),
		"unknown name twice":       with(`"sub":"1","x":1,"x":2`),
		"NUL in sub":               with(`"sub":"1\u0000"`),
		"DEL in sub":               with(`"sub":"1\u007f"`),
		"C1 in sub":                with(`"sub":"1\u0085"`),
		"line break in sub":        with(`"sub":"1\n"`),
		"raw NUL":                  with("\"sub\":\"1\x00\""),
		"invalid UTF-8":            with("\"sub\":\"1\xff\""),
		"invalid UTF-8 elsewhere":  with("\"sub\":\"1\",\"x\":\"\xff\""),
		"lone high surrogate":      with(`"sub":"\ud800"`),
		"lone low surrogate":       with(`"sub":"\udc00x"`),
		"surrogates the wrong way": with(`"sub":"\udc00\ud800"`),
		"two high surrogates":      with(`"sub":"\ud800\ud800"`),
		"lone surrogate in a name": with(`"sub":"1","\ud800":1`),
		"sub of 256 bytes":         with(`"sub":"` + strings.Repeat("u", 256) + `"`),
		"sub of 10 KB":             with(`"sub":"` + strings.Repeat("u", 10<<10) + `"`),
		"sid twice":                with(`"sub":"1","sid":"a","sid":"b"`),
		"Sid beside sid":           with(`"sub":"1","sid":"a","Sid":"b"`),
		"sid empty":                with(`"sub":"1","sid":""`),
		"sid a number":             with(`"sub":"1","sid":5`),
		"sid null":                 with(`"sub":"1","sid":null`),
		"sid of 256 bytes":         with(`"sub":"1","sid":"` + strings.Repeat("s", 256) + `"`),
		"NUL in sid":               with(`"sub":"1","sid":"a\u0000"`),
		"jti a number":             with(`"sub":"1","jti":5`),
		"NUL in jti":               with(`"sub":"1","jti":"\u0000"`),
		"jti of 513 bytes":         with(`"sub":"1","jti":"` + strings.Repeat("j", 513) + `"`),
		"iss a number":             with(`"sub":"1","iss":5`),
		"iss empty":                with(`"sub":"1","iss":""`),
		"roles a number":           with(`"sub":"1","roles":5`),
		"roles an object":          with(`"sub":"1","roles":{"admin":true}`),
		"roles of numbers":         with(`"sub":"1","roles":["user",1]`),
		"roles with an empty role": with(`"sub":"1","roles":["user",""]`),
		"roles with a NUL":         with(`"sub":"1","roles":["adm\u0000in"]`),
		"Roles beside roles":       with(`"sub":"1","roles":["user"],"Roles":["admin"]`),
		"257 roles":                with(`"sub":"1","roles":["a"` + strings.Repeat(`,"a"`, 256) + `]`),
		"a logout token":           with(`"sub":"1","events":{"http://schemas.openid.net/event/backchannel-logout":{}}`),
		"257 members":              with(`"sub":"1"` + manyMembers(255)),
		"empty":                    ``,
		"not JSON":                 `foo`,
		"an array":                 `["sub"]`,
		"null":                     `null`,
		"two objects":              with(`"sub":"1"`) + `{}`,
		"a comment":                with(`"sub":"1"/**/`),
		"a byte order mark":        "\ufeff" + with(`"sub":"1"`),
		"unclosed":                 `{"sub":"1","exp":1795341700`,
	} {
		_, err := claims(v, payload)
		assert.ErrorIs(t, err, ErrInvalid, name)
		assert.NotErrorIs(t, err, ErrExpired, name)
	}
}

func TestUserIDs(t *testing.T) {
	t.Parallel()
	v := verifier(t, nil)
	for value, want := range map[string]string{
		`"42"`: "42", `42`: "42", `0`: "0", `18446744073709551615`: "18446744073709551615", `"042"`: "042",
		`"\u0034\u0032"`: "42", `"a\/b"`: "a/b", `"\ud83d\ude00"`: "\U0001f600", `"é"`: "é", `"\\ud800"`: `\ud800`,
		`"` + strings.Repeat("u", 255) + `"`: strings.Repeat("u", 255),
	} {
		got, err := claims(v, with(`"sub":`+value))
		require.NoError(t, err, value)
		assert.Equal(t, want, got.User, value)
	}
	own := verifier(t, func(c *Config) { c.UserClaim = "uid" })
	got, err := claims(own, with(`"sub":"service","uid":7`))
	require.NoError(t, err)
	assert.Equal(t, "7", got.User)
}

// TestTimeBoundaries checks the leeway to the nanosecond, in each configuration.
func TestTimeBoundaries(t *testing.T) {
	t.Parallel()
	at := time.Unix(1795341600, 0).UTC()
	payload := []byte(`{"sub":"1","exp":1795341600}`)
	early := []byte(`{"sub":"1","exp":1795345600,"nbf":1795341600,"iat":1795341600}`)
	for configured, leeway := range map[time.Duration]time.Duration{0: 30 * time.Second, -1: 0, time.Second: time.Second,
		MaxLeeway: MaxLeeway} {
		v := verifier(t, func(c *Config) { c.Leeway = configured })
		got, err := v.Claims(Header{}, payload, at.Add(leeway-1))
		require.NoError(t, err, configured)
		assert.Equal(t, at, got.ExpiresAt, "ExpiresAt is exp without the leeway")
		for _, late := range []time.Time{at.Add(leeway), at.Add(leeway + 1), at.AddDate(40, 0, 0)} {
			_, err = v.Claims(Header{}, payload, late)
			require.ErrorIs(t, err, ErrExpired, configured)
			require.NotErrorIs(t, err, ErrInvalid, configured)
		}
		_, err = v.Claims(Header{}, early, at.Add(-leeway))
		require.NoError(t, err, configured)
		_, err = v.Claims(Header{}, early, at.Add(-leeway-1))
		require.ErrorIs(t, err, ErrInvalid, configured)
	}
}

// TestExpiredIsGenuine: only a token that is valid otherwise is called expired.
func TestExpiredIsGenuine(t *testing.T) {
	t.Parallel()
	v := verifier(t, func(c *Config) { c.Issuer, c.Audience = "i", "a" })
	_, err := claims(v, `{"exp":1,"sub":"1","iss":"i","aud":"a"}`)
	require.ErrorIs(t, err, ErrExpired)
	for _, payload := range []string{
		`{"exp":1,"sub":"1","iss":"x","aud":"a"}`, `{"exp":1,"sub":"1","iss":"i","aud":"x"}`, `{"exp":1,"iss":"i","aud":"a"}`,
		`{"exp":1,"sub":"1","iss":"i","aud":"a","roles":1}`, `{"exp":1,"sub":"1","iss":"i","aud":"a","nbf":9795341600}`,
	} {
		_, err := claims(v, payload)
		assert.ErrorIs(t, err, ErrInvalid, payload)
	}
	token := hs256(t, plainHeader, `{"exp":1,"sub":"1","iss":"i","aud":"a"}`)
	_, err = v.Verify(token, now)
	require.ErrorIs(t, err, ErrExpired)
	_, err = v.Verify(token[:len(token)-2]+"AA", now)
	assert.ErrorIs(t, err, ErrInvalid, "a forged token is not called expired")
}

// TestMeantForUs covers docs/checks.md S09: issuer, audience and type.
func TestMeantForUs(t *testing.T) {
	t.Parallel()
	v := verifier(t, func(c *Config) { c.Issuer, c.Audience, c.Type = "https://issuer.example", "api", "at+jwt" })
	const both = `"sub":"1","iss":"https://issuer.example","aud":`
	for _, test := range []struct {
		typ, members string
		good         bool
	}{
		{"at+jwt", both + `"api"`, true},
		{"application/AT+JWT", both + `["other","api"]`, true},
		{"JWT", both + `"api"`, false},
		{"", both + `"api"`, false},
		{"logout+jwt", both + `"api"`, false},
		{"at+jwt", both + `"other"`, false},
		{"at+jwt", both + `"API"`, false},
		{"at+jwt", both + `[]`, false},
		{"at+jwt", both + `["api",1]`, false},
		{"at+jwt", both + `{"api":1}`, false},
		{"at+jwt", both + `null`, false},
		{"at+jwt", `"sub":"1","iss":"https://issuer.example"`, false},
		{"at+jwt", `"sub":"1","aud":"api"`, false},
		{"at+jwt", `"sub":"1","aud":"api","iss":"https://issuer.example/"`, false},
		{"at+jwt", `"sub":"1","aud":"api","iss":["https://issuer.example"]`, false},
	} {
		_, err := v.Claims(Header{Type: test.typ}, []byte(with(test.members)), now)
		if test.good {
			assert.NoError(t, err, "%+v", test)
		} else {
			assert.ErrorIs(t, err, ErrInvalid, "%+v", test)
		}
	}
	open := verifier(t, nil)
	for typ, good := range map[string]bool{
		"": true, "JWT": true, "jwt": true, "JOSE": true, "at+jwt": true, "application/at+jwt": true,
		"logout+jwt": false, "dpop+jwt": false, "secevent+jwt": false, "application/": false, "JWT ": false,
	} {
		_, err := open.Claims(Header{Type: typ}, []byte(with(`"sub":"1","aud":"whoever"`)), now)
		assert.Equal(t, good, err == nil, "%q: %v", typ, err)
	}
}

func TestRoles(t *testing.T) {
	t.Parallel()
	for _, test := range []struct {
		claim, members string
		want           []string
		bad            bool
	}{
		{"roles", `"x":1`, nil, false},
		{"roles", `"roles":null`, nil, false},
		{"roles", `"roles":[]`, nil, false},
		{"roles", `"roles":""`, nil, false},
		{"roles", `"roles":"admin"`, []string{"admin"}, false},
		{"roles", `"roles":["admin", "on call"]`, []string{"admin", "on call"}, false},
		{"scope", `"scope":"read  write"`, []string{"read", "write"}, false},
		{"", `"roles":["admin"]`, nil, false},
		{"https://a.example/roles", `"https://a.example/roles":["admin"]`, []string{"admin"}, false},
		{"realm_access.roles", `"realm_access":{"x":[{}],"roles":["admin"]}`, []string{"admin"}, false},
		{"realm_access.roles", `"realm_access":{}`, nil, false},
		{"realm_access.roles", `"realm_access":null`, nil, false},
		{"realm_access.roles", `"realm_access.roles":["admin"]`, nil, false},
		{"realm_access.roles", `"realm_access":["admin"]`, nil, true},
		{"realm_access.roles", `"realm_access":{"roles":["user"],"roles":["admin"]}`, nil, true},
		{"realm_access.roles", `"realm_access":{"roles":["user"],"Roles":["admin"]}`, nil, true},
		{"realm_access.roles", `"realm_access":{"roles":["user"]},"REALM_ACCESS":{"roles":["admin"]}`, nil, true},
		{"a.b.c", `"a":{"b":{"c":"deep"}}`, []string{"deep"}, false},
	} {
		got, err := claims(verifier(t, func(c *Config) { c.RolesClaim = test.claim }), with(`"sub":"1",`+test.members))
		if test.bad {
			assert.ErrorIs(t, err, ErrInvalid, "%+v", test)
			continue
		}
		require.NoError(t, err, "%+v", test)
		assert.ElementsMatch(t, test.want, got.Roles, "%+v", test)
	}
}
