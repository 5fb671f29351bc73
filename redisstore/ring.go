package redisstore

import (
	"hash/fnv"
	"strconv"
)

// ring divides users over buckets. A bucket's keys carry one hash tag, so that they lie on
// one node, and a script may use all of them. The number of buckets is part of the tag:
// another number begins with empty buckets.
type ring struct {
	prefix  string
	buckets int
}

// of returns the bucket of a user.
func (r ring) of(user string) int {
	h := fnv.New64a()
	_, _ = h.Write([]byte(user))
	return int(h.Sum64() % uint64(r.buckets))
}

// key returns the name of a key in a bucket.
func (r ring) key(bucket int, name string) string {
	return r.prefix + ":{" + strconv.Itoa(r.buckets) + "." + strconv.Itoa(bucket) + "}:" + name
}

// keys returns the names of several keys in a bucket.
func (r ring) keys(bucket int, names ...string) []string {
	out := make([]string, len(names))
	for i, name := range names {
		out[i] = r.key(bucket, name)
	}
	return out
}
