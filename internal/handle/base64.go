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
	var bits uint32
	var have uint
	at := 0
	for ; len(src) >= 4 && len(dst)-at >= 3; src, at = src[4:], at+3 {
		a, b, c, d := sextet[src[0]], sextet[src[1]], sextet[src[2]], sextet[src[3]]
		if (a|b|c|d)&0xC0 != 0 {
			return false
		}
		group := uint32(a)<<18 | uint32(b)<<12 | uint32(c)<<6 | uint32(d)
		dst[at], dst[at+1], dst[at+2] = byte(group>>16), byte(group>>8), byte(group)
	}
	for i := 0; i < len(src); i++ {
		v := sextet[src[i]]
		if v == 0xFF {
			return false
		}
		bits, have = bits<<6|uint32(v), have+6
		if have >= 8 {
			have -= 8
			if at == len(dst) {
				return false
			}
			dst[at] = byte(bits >> have)
			at++
		}
	}
	return at == len(dst) && bits&(1<<have-1) == 0
}
