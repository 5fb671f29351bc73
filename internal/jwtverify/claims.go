package jwtverify

import (
	"math"
	"strconv"
	"strings"
	"time"
	"unicode"
)

const (
	// maxClaims is the largest number of members in a payload.
	maxClaims = 256
	// maxNameBytes is the longest iss, jti or role.
	maxNameBytes = 512
	// maxRoles is the largest number of roles in a token.
	maxRoles = 256
	// maxDate is the end of the year 9999, in seconds since 1970.
	maxDate = 253402300799
	// maxAhead is how far exp may lie in the future. A later exp is a mistake of the issuer:
	// milliseconds instead of seconds, or a far date instead of an expiry.
	maxAhead = 20 * 366 * 24 * time.Hour
)

const (
	errClaimsJSON refusal = "payload is not one strict JSON object"
	errClaimName  refusal = "payload has a claim in another spelling"
	errType       refusal = "typ not acceptable"
	errIssuer     refusal = "iss not acceptable"
	errAudience   refusal = "aud not acceptable"
	errUser       refusal = "no acceptable user id"
	errSession    refusal = "session claim not acceptable"
	errTokenID    refusal = "jti not acceptable"
	errKeyClaim   refusal = "key claim not acceptable"
	errRoles      refusal = "roles not acceptable"
	errExpiry     refusal = "no acceptable exp"
	errNotYet     refusal = "not valid yet"
	errDate       refusal = "nbf, iat or auth_time not acceptable"
	errEvent      refusal = "a security event, not a credential"
)

// These are the claims that are read, as indexes into the values found. Several of them may have
// the same name.
const (
	claimIssuer = iota
	claimAudience
	claimExpiry
	claimNotBefore
	claimIssuedAt
	claimAuthTime
	claimTokenID
	claimEvents
	claimUser
	claimRoles
	claimSession
	claimKey
	claimCount
)

// Claims holds what a verified token says.
type Claims struct {
	User      string    // UserClaim: 1 to 255 bytes without control characters
	Roles     []string  // RolesClaim, or nil
	Session   string    // SessionClaim: at most 255 bytes, or empty
	TokenID   string    // jti, or empty
	Key       string    // KeyClaim: at most 255 bytes, or empty
	Issuer    string    // iss, or empty
	ExpiresAt time.Time // exp, in UTC, without the leeway
	IssuedAt  time.Time // iat, in UTC, or the zero time
	AuthTime  time.Time // auth_time, in UTC, or the zero time
}

// setClaims resolves the names of the claims that are read.
func (v *Verifier) setClaims() error {
	c := &v.config
	if c.UserClaim == "" {
		return wrong("UserClaim", "is empty")
	}
	roles := c.RolesClaim
	if !strings.ContainsAny(roles, ":/") {
		path := strings.Split(roles, ".")
		if roles != "" && contains(path, "") {
			return wrong("RolesClaim", "%q has an empty step", roles)
		}
		roles, v.rolesPath = path[0], path[1:]
	}
	v.names = [claimCount]string{"iss", "aud", "exp", "nbf", "iat", "auth_time", "jti", "events", c.UserClaim, roles,
		c.SessionClaim,
		c.KeyClaim}
	for _, name := range v.names {
		if foldsToAny(name, v.names[:]) {
			return wrong("UserClaim, RolesClaim, SessionClaim, KeyClaim", "%q is another claim in another case", name)
		}
	}
	return nil
}

// Claims reads the payload of a token whose signature was verified, at the time now. If the token
// has expired and is valid otherwise, the error is [ErrExpired]. Every other error matches
// [ErrInvalid].
func (v *Verifier) Claims(h Header, payload []byte, now time.Time) (Claims, error) {
	if !v.acceptableType(h.Type) {
		return Claims{}, errType
	}
	var found [claimCount][]byte
	err := members(payload, maxClaims, errClaimsJSON, func(name string, value []byte) error {
		if foldsToAny(name, v.names[:]) {
			return errClaimName
		}
		for i, known := range v.names {
			if name == known && known != "" {
				found[i] = value
			}
		}
		return nil
	})
	if err != nil {
		return Claims{}, err
	}
	c, err := v.who(&found)
	if err != nil {
		return Claims{}, err
	}
	c.IssuedAt, _ = numericDate(found[claimIssuedAt]) // when refuses one that is not a date
	c.AuthTime, _ = numericDate(found[claimAuthTime])
	c.ExpiresAt, err = v.when(&found, now)
	return c, err
}

// acceptableType compares typ as a media type (RFC 7515 §4.1.9): the prefix "application/" is
// optional.
func (v *Verifier) acceptableType(typ string) bool {
	const prefix = "application/"
	trim := func(s string) string {
		if len(s) > len(prefix) && strings.EqualFold(s[:len(prefix)], prefix) {
			return s[len(prefix):]
		}
		return s
	}
	typ = trim(typ)
	if v.config.Type != "" {
		return strings.EqualFold(typ, trim(v.config.Type))
	}
	return typ == "" || strings.EqualFold(typ, "JWT") || strings.EqualFold(typ, "JOSE") || strings.EqualFold(typ, "at+jwt")
}

// who reads every claim except the times.
func (v *Verifier) who(found *[claimCount][]byte) (c Claims, err error) {
	if found[claimEvents] != nil {
		return c, errEvent // RFC 8417, OpenID Connect Back-Channel Logout: it has the same key, sub and sid
	}
	var ok bool
	if c.User, ok = userID(found[claimUser]); !ok {
		return c, errUser
	}
	if c.Issuer, ok = optional(found[claimIssuer], maxNameBytes); !ok || v.config.Issuer != "" &&
		c.Issuer != v.config.Issuer {
		return c, errIssuer
	}
	if !v.acceptableAudience(found[claimAudience]) {
		return c, errAudience
	}
	if c.TokenID, ok = optional(found[claimTokenID], maxNameBytes); !ok {
		return c, errTokenID
	}
	if c.Session, ok = optional(found[claimSession], MaxSessionBytes); !ok {
		return c, errSession
	}
	if c.Key, ok = optional(found[claimKey], MaxSessionBytes); !ok {
		return c, errKeyClaim
	}
	if c.Roles, ok = v.roles(found[claimRoles]); !ok {
		return c, errRoles
	}
	return c, nil
}

// when reads the times. It checks exp last, so that a token is called expired only if nothing else
// is wrong with it.
func (v *Verifier) when(found *[claimCount][]byte, now time.Time) (time.Time, error) {
	expires, ok := numericDate(found[claimExpiry])
	if !ok || expires.Unix() <= 0 || expires.Sub(now) > maxAhead {
		return time.Time{}, errExpiry
	}
	for _, i := range [...]int{claimNotBefore, claimIssuedAt, claimAuthTime} {
		if found[i] == nil {
			continue
		}
		from, ok := numericDate(found[i])
		if !ok {
			return time.Time{}, errDate
		}
		if now.Before(from.Add(-v.config.Leeway)) {
			return time.Time{}, errNotYet
		}
	}
	if !now.Before(expires.Add(v.config.Leeway)) {
		return expires, ErrExpired
	}
	return expires, nil
}

// numericDate reads seconds since 1970, with or without a fraction (RFC 7519 §2). It refuses
// strings, negative numbers and dates after the year 9999.
func numericDate(value []byte) (time.Time, bool) {
	if len(value) == 0 || value[0] < '0' || value[0] > '9' {
		return time.Time{}, false
	}
	f, err := strconv.ParseFloat(string(value), 64)
	if err != nil || f > maxDate {
		return time.Time{}, false
	}
	seconds, fraction := math.Modf(f)
	return time.Unix(int64(seconds), int64(fraction*1e9)).UTC(), true
}

// userID reads a string or a non-negative whole number. It returns a number in decimal digits.
func userID(value []byte) (string, bool) {
	if len(value) > 0 && len(value) <= 20 && value[0] >= '0' && value[0] <= '9' {
		n, err := strconv.ParseUint(string(value), 10, 64)
		return strconv.FormatUint(n, 10), err == nil
	}
	s, ok := text(value)
	return s, ok && acceptableName(s, MaxUserBytes)
}

// optional reads a string that may be absent but not empty.
func optional(value []byte, most int) (string, bool) {
	if value == nil {
		return "", true
	}
	s, ok := text(value)
	return s, ok && acceptableName(s, most)
}

// acceptableName refuses control characters: some readers stop at a NUL, and PostgreSQL refuses it.
func acceptableName(s string, most int) bool {
	return s != "" && len(s) <= most && strings.IndexFunc(s, unicode.IsControl) < 0
}

// acceptableAudience looks for the configured audience in aud, a string or an array of strings.
func (v *Verifier) acceptableAudience(value []byte) bool {
	if v.config.Audience == "" {
		return true
	}
	if one, ok := text(value); ok {
		return one == v.config.Audience
	}
	named := false
	ok := elements(value, func(value []byte) bool {
		one, ok := text(value)
		named = named || one == v.config.Audience
		return ok
	})
	return ok && named
}

// roles reads the value at the end of the configured path. It accepts an array of strings, and one
// string of roles separated by spaces, which is the form of scope (RFC 8693 §4.2). An absent or
// null value means no roles.
func (v *Verifier) roles(value []byte) ([]string, bool) {
	for _, step := range v.rolesPath {
		var err error
		if value, err = member(value, step); err != nil {
			return nil, false
		}
	}
	if absent(value) {
		return nil, true
	}
	var list []string
	if s, ok := text(value); ok {
		list = strings.FieldsFunc(s, func(r rune) bool { return r == ' ' })
	} else if !elements(value, func(value []byte) bool {
		role, ok := text(value)
		list = append(list, role)
		return ok
	}) {
		return nil, false
	}
	for _, role := range list {
		if !acceptableName(role, maxNameBytes) {
			return nil, false
		}
	}
	return list, len(list) <= maxRoles
}

// absent reports whether the value is missing or null.
func absent(value []byte) bool { return value == nil || string(value) == "null" }

// member returns the value of the member name of a JSON object, or nil.
func member(value []byte, name string) ([]byte, error) {
	if absent(value) {
		return nil, nil
	}
	var found []byte
	err := members(value, maxClaims, errRoles, func(have string, value []byte) error {
		if foldsToAny(have, []string{name}) {
			return errClaimName
		}
		if have == name {
			found = value
		}
		return nil
	})
	return found, err
}
