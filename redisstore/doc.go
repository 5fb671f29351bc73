// Package redisstore keeps sessions, or only their activity, in Redis.
package redisstore
