package sessiontrack

import (
	"bytes"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"log/slog"
	"strings"
	"testing"

	codec "github.com/sessiontrack/sessiontrack/internal/handle"
	"github.com/stretchr/testify/assert"
)

// parseToken makes a Token of what a client holds.
func parseToken(s string) (Token, bool) {
	p, ok := codec.ParseProof(s)
	secret := &p.Secret
	return Token{handle: handle(p.Handle), hidden: &secret}, ok
}

func (t Token) hash() [32]byte {
	p := t.proof()
	return p.Hash()
}

// TestTokenHides prints, logs and marshals tokens in every way that a host's own structs
// lead to: package fmt calls no method of what is in an unexported field.
func TestTokenHides(t *testing.T) {
	t.Parallel()
	token := newToken()
	type signIn struct {
		User  string
		token Token
		list  []Token
		Shown Token
	}
	held := signIn{"42", token, []Token{token}, token}
	var out strings.Builder
	for _, v := range []any{token, &token, held, &held, []signIn{held}, map[string]Token{"t": token}, [1]any{held}} {
		for _, verb := range []string{"%v", "%+v", "%#v", "%s", "%q", "%x", "%X", "%d", "%o", "%b"} {
			fmt.Fprintf(&out, verb+"\n", v)
		}
		text, err := json.Marshal(v)
		assert.NoError(t, err)
		out.Write(text)
	}
	for _, handler := range []slog.Handler{slog.NewTextHandler(&out, nil), slog.NewJSONHandler(&out, nil)} {
		slog.New(handler).Info("in", "token", token, "held", held, "pointer", &held, "group", slog.GroupValue(slog.Any("t", held)))
	}
	revealed, secret := token.Reveal()[idChars+1:], (*token.hidden)[:]
	for name, text := range map[string]string{
		"base64": revealed, "hex": hex.EncodeToString(secret), "HEX": strings.ToUpper(hex.EncodeToString(secret)),
		"decimal": strings.Trim(fmt.Sprint(secret), "[]"), "octal": strings.Trim(fmt.Sprintf("%o", secret), "[]"),
		"binary": strings.Trim(fmt.Sprintf("%b", secret), "[]"), "raw": string(secret), "Go": fmt.Sprintf("%#v", secret[:2])[7:16],
	} {
		assert.False(t, bytes.Contains([]byte(out.String()), []byte(text)), "%s is in what was printed", name)
	}
	assert.Contains(t, out.String(), string(token.ID()))
	assert.Equal(t, "AAAAAAAAAAAAAAAAAAAAAA", fmt.Sprint(Token{}), "the zero Token, which comes with an error")
	assert.Len(t, Token{}.Reveal(), codec.TokenChars)
}
