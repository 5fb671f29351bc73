-- Takes out sessions that have ended. KEYS: act, seen, gone, ask, state. ARGV: how many, their
-- members, then users. Answers with the number of the question that the caller now asks the
-- durable store about these users: who has another session? Only the latest question about a
-- user may be acted on.
local now = math.max(time(), tonumber(redis.call('HGET', KEYS[5], 'tick') or '0') + 1)
redis.call('HSET', KEYS[5], 'tick', n(now))
local sessions = tonumber(ARGV[1])
for i = 2, #ARGV do
	if i <= sessions + 1 then
		redis.call('ZREM', KEYS[1], ARGV[i])
		redis.call('ZREM', KEYS[2], ARGV[i])
		redis.call('ZADD', KEYS[3], n(now), ARGV[i])
	else
		redis.call('ZADD', KEYS[4], n(now), ARGV[i])
	end
end
redis.call('ZREMRANGEBYSCORE', KEYS[3], '-inf', n(now - remembered))
redis.call('ZREMRANGEBYSCORE', KEYS[4], '-inf', n(now - remembered))
return n(now)
