package sessiontrack

import (
	"encoding/base64"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/golang-jwt/jwt/v5"
	codec "github.com/sessiontrack/sessiontrack/internal/handle"
	"github.com/stretchr/testify/require"
)

// FuzzToken compares the token parser with encoding/base64 in strict mode. The parser must accept
// exactly the tokens of two parts of the right size in canonical spelling.
func FuzzToken(f *testing.F) {
	token := newToken().Reveal()
	for _, seed := range []string{
		token, token[:codec.TokenChars-1] + "_", token[:codec.TokenChars-1] + "\n", token[:idChars], token + "=",
		strings.Repeat(".", codec.TokenChars), "",
		strings.Replace(token, ".", "_", 1), token[:idChars] + "." + strings.Repeat("A", codec.SecretChars),
		strings.Repeat("\xff", codec.TokenChars),
		token[:10] + "\r\n" + token[12:], strings.Repeat("+", idChars) + "." + strings.Repeat("/", codec.SecretChars),
	} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, text string) {
		token, ok := parseToken(text)
		first, second, two := strings.Cut(text, ".")
		handle, secret := strict(first), strict(second)
		require.Equal(t, two && len(handle) == idBytes && len(secret) == codec.SecretBytes, ok, "%q", text)
		if ok {
			require.Equal(t, text, token.Reveal(), "each value has one spelling")
			require.Equal(t, handle, token.handle[:])
			require.Equal(t, secret, (*token.hidden)[:])
		}
		_, err := ParseSessionID(text)
		require.Equal(t, len(strict(text)) == idBytes, err == nil, "%q", text)
	})
}

// strict decodes canonical base64url. It refuses line breaks, which encoding/base64 skips.
func strict(text string) []byte {
	if strings.ContainsAny(text, "\r\n") {
		return nil
	}
	decoded, err := base64.RawURLEncoding.Strict().DecodeString(text)
	if err != nil {
		return nil
	}
	return decoded
}

// FuzzBearer sends any Authorization line. The oracle: a line authenticates exactly if it is the
// scheme in any case, one space, and a token signed with this key. It then authenticates the
// token's user.
func FuzzBearer(f *testing.F) {
	secret := []byte(strings.Repeat("k", 32))
	identifier, err := NewJWTIdentifier(JWTOptions{Secret: secret})
	require.NoError(f, err)
	good, err := jwt.NewWithClaims(jwt.SigningMethodHS256,
		jwt.MapClaims{"sub": "42", "exp": time.Now().Add(24 * time.Hour).Unix()}).SignedString(secret)
	require.NoError(f, err)
	for _, seed := range []string{
		"Bearer %", "bearer %", "Bearer  %", "Bearer % ", "Bearer %, Bearer %", "Bearer", "", " ", "Basic %", "Bearer\t%",
		"Bearer %=", "Bearer %.", "Bearer\x00 %", "Bearer \"%\"",
	} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, line string) {
		line = strings.ReplaceAll(line, "%", good) // seeds mark the token's place with %, because each run has another token
		got, err := identifier.Identify(&http.Request{Header: http.Header{"Authorization": {line}}})
		scheme, token, _ := strings.Cut(line, " ")
		if strings.EqualFold(scheme, "Bearer") && token == good {
			require.NoError(t, err)
			require.Equal(t, "42", got.UserID)
			return
		}
		require.Error(t, err, "%q", line)
		require.Equal(t, Identity{}, got)
		require.NotErrorIs(t, err, ErrUnavailable)
		require.NotContains(t, err.Error(), good, "errors reach logs")
	})
}

// FuzzCookie compares the cookie parser with net/http's on lines that a browser could send. On
// names and values without quotes both must agree (RFC 6265 §5.4).
func FuzzCookie(f *testing.F) {
	for _, seed := range []string{
		"__Host-session=x", "a=b; __Host-session=x; c=d", "__Host-session=x; __Host-session=y", " __Host-session=x ",
		"__Host-sessionx=y", "x__Host-session=y",
		"__Host-session", "__Host-session=", ";;;=;", "__Host-session=a=b", "__host-session=x", "__Host-session =x",
		"__Host-session=\tx\t",
	} {
		f.Add(seed, "a=1")
	}
	const name = "__Host-session"
	f.Fuzz(func(t *testing.T, one, two string) {
		value, n := cookieValue([]string{one, two}, name)
		require.LessOrEqual(t, n, strings.Count(one+two, name))
		if n == 0 {
			require.Empty(t, value)
		}
		if !plainCookies(one) || !plainCookies(two) {
			return
		}
		named := (&http.Request{Header: http.Header{"Cookie": {one, two}}}).CookiesNamed(name)
		require.Len(t, named, n, "%q %q", one, two)
		if n > 0 {
			require.Equal(t, named[n-1].Value, value)
		}
	})
}

// plainCookies reports whether RFC 6265's grammar for servers and its parsing by user agents agree
// on a line. Such a line has no quotes, no blank except after a semicolon, and no name without "=",
// which net/http reads as a name with an empty value.
func plainCookies(line string) bool {
	for pair := range strings.SplitSeq(line, ";") {
		if strings.TrimSpace(pair) != "" && !strings.Contains(pair, "=") {
			return false
		}
	}
	for i := range len(line) {
		c := line[i]
		switch {
		case c == ' ' && i > 0 && line[i-1] == ';':
		case c <= ' ' || c >= 0x7f || c == '"' || c == ',' || c == '\\':
			return false
		}
	}
	return true
}
