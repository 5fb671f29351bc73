package handle

import "encoding/base64"

// Encoding is base64url without padding. It refuses line breaks and trailing bits that
// are not zero, so that one value has one spelling.
var Encoding = base64.RawURLEncoding.Strict()

// sextet maps a byte to its value in base64url, 0xFF where it has none.
var sextet = func() (t [256]byte) {
	for i := range t {
		t[i] = 0xFF
	}
	for i, c := range []byte("ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_") {
		t[c] = byte(i)
	}
	return t
}()

// decode reads canonical unpadded base64url into dst, whose length must fit src exactly.
// encoding/base64 does not serve here: it skips line breaks inside the text, which gives
// one value several spellings, and it takes bytes, which would cost each request a copy.
func decode(dst []byte, src string) bool {
	var values, trailing byte // all values ored: above 0x3F where a byte has none
	for len(src) >= 4 && len(dst) >= 3 {
		a, b, c, d := sextet[src[0]], sextet[src[1]], sextet[src[2]], sextet[src[3]]
		values |= a | b | c | d
		dst[0], dst[1], dst[2] = a<<2|b>>4, b<<4|c>>2, c<<6|d
		src, dst = src[4:], dst[3:]
	}
	switch {
	case len(src) == 2 && len(dst) == 1:
		a, b := sextet[src[0]], sextet[src[1]]
		values, trailing = values|a|b, b&0x0F
		dst[0] = a<<2 | b>>4
	case len(src) == 3 && len(dst) == 2:
		a, b, c := sextet[src[0]], sextet[src[1]], sextet[src[2]]
		values, trailing = values|a|b|c, c&0x03
		dst[0], dst[1] = a<<2|b>>4, b<<4|c>>2
	case len(src) != 0 || len(dst) != 0:
		return false
	}
	return values <= 0x3F && trailing == 0
}
