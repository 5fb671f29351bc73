-- Takes users offline whom the durable store has no session of. KEYS: on, ask, off. ARGV:
-- the number of the question, then the users. A user who has signed in since, or about
-- whom somebody else has asked since, is left alone.
local now = time()
for i = 2, #ARGV do
	if redis.call('ZSCORE', KEYS[2], ARGV[i]) == ARGV[1] then
		redis.call('ZREM', KEYS[1], ARGV[i])
		redis.call('ZREM', KEYS[2], ARGV[i])
		redis.call('ZADD', KEYS[3], n(now), ARGV[i])
	end
end
redis.call('ZREMRANGEBYSCORE', KEYS[3], '-inf', n(now - remembered))
return redis.status_reply('OK')
