package sessiontrack

import "time"

// micros returns microseconds since 1970, 0 for the zero time.
func micros(t time.Time) int64 {
	if t.IsZero() {
		return 0
	}
	return t.UnixMicro()
}

// fromMicros is the reverse of micros, in UTC.
func fromMicros(us int64) time.Time {
	if us == 0 {
		return time.Time{}
	}
	return time.UnixMicro(us).UTC()
}

// maxMicros is the end of the year 9999, which every database and RFC 3339 can hold.
const maxMicros = 253_402_300_799_999_999
