package sessiontrack

import (
	"crypto/rand"
	"fmt"
	"log/slog"

	codec "github.com/sessiontrack/sessiontrack/internal/handle"
)

// SessionID is a session's handle: 128 random bits as 22 characters of canonical base64url (RFC
// 4648 §5). It names a session in lists, paths, logs, events and a JWT's sid claim. It does not
// authenticate.
type SessionID string

// ParseSessionID returns s as a handle, or [ErrInvalidCredential] if s is not 22 characters of
// canonical base64url.
func ParseSessionID(s string) (SessionID, error) {
	if _, ok := parseHandle(s); !ok {
		return "", fmt.Errorf("%w: the session id is malformed: want %d characters of canonical base64url",
			ErrInvalidCredential, idChars)
	}
	return SessionID(s), nil
}

// idBytes and idChars are the sizes of a SessionID and of its text.
const (
	idBytes = codec.Bytes
	idChars = codec.Chars
)

// handle holds a SessionID's bytes. The process's maps are keyed by it.
type handle codec.ID

// parseHandle decodes the canonical spelling of a handle without allocating.
func parseHandle[T ~string](s T) (handle, bool) {
	id, ok := codec.Parse(s)
	return handle(id), ok
}

func (h handle) id() SessionID { return SessionID(codec.ID(h).String()) }

func newHandle() handle { return handle(codec.New()) }

// deriveHandle returns the handle of the session of a credential without a handle of ours.
func deriveHandle(issuer, user, key string) handle { return handle(codec.Derive(issuer, user, key)) }

// Token is what a client holds: the handle and the secret that proves it. It prints, logs and
// marshals as its handle, also inside a struct of the host. Only [Token.Reveal] returns the secret.
type Token struct {
	handle handle
	// hidden is the secret. Package fmt calls no method of a value in an unexported field and would
	// print the bytes. If a verb does not fit, fmt follows one pointer but never two.
	hidden **[codec.SecretBytes]byte
}

func newToken() Token {
	secret := new([codec.SecretBytes]byte)
	rand.Read(secret[:])
	return Token{newHandle(), &secret}
}

// proof returns the credential that the client will send. The zero Token's proof proves nothing.
func (t Token) proof() codec.Proof {
	p := codec.Proof{Handle: codec.ID(t.handle)}
	if t.hidden != nil {
		p.Secret = **t.hidden
	}
	return p
}

// ID returns the token's handle.
func (t Token) ID() SessionID { return t.handle.id() }

// Reveal returns the whole token, "handle.secret". Send it only to the client: whoever has it can
// use the session.
func (t Token) Reveal() string {
	p := t.proof()
	return p.Handle.String() + "." + codec.Encoding.EncodeToString(p.Secret[:])
}

// String returns the handle.
func (t Token) String() string { return string(t.ID()) }

// GoString returns the handle.
func (t Token) GoString() string { return "sessiontrack.Token(" + t.String() + ")" }

// Format prints the handle for every verb, so that no verb prints the secret.
func (t Token) Format(f fmt.State, verb rune) {
	if verb == 'v' && f.Flag('#') {
		_, _ = f.Write([]byte(t.GoString()))
		return
	}
	fmt.Fprintf(f, fmt.FormatString(f, verbFor(verb)), t.String())
}

func verbFor(verb rune) rune {
	switch verb {
	case 'q', 'x', 'X', 's':
		return verb
	}
	return 's'
}

// MarshalText returns the handle; JSON and other encoders use it.
func (t Token) MarshalText() ([]byte, error) { return []byte(t.ID()), nil }

// LogValue returns the handle.
func (t Token) LogValue() slog.Value { return slog.StringValue(t.String()) }
