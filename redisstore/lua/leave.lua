-- Takes out sessions that have ended. KEYS: act, gone, ask, state. ARGV: their members.
-- Answers with the number of the question that the caller now asks the durable store:
-- has the user another session? Only the latest question about a user may be acted on.
local now = math.max(time(), tonumber(redis.call('HGET', KEYS[4], 'tick') or '0') + 1)
redis.call('HSET', KEYS[4], 'tick', n(now))
for _, name in ipairs(ARGV) do
	redis.call('ZREM', KEYS[1], name)
	redis.call('ZADD', KEYS[2], n(now), name)
	redis.call('ZADD', KEYS[3], n(now), string.sub(name, 23))
end
redis.call('ZREMRANGEBYSCORE', KEYS[2], '-inf', n(now - remembered))
redis.call('ZREMRANGEBYSCORE', KEYS[3], '-inf', n(now - remembered))
return n(now)
