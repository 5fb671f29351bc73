-- Takes users offline of whom the durable store has no session of their own. KEYS: on, ask,
-- off. ARGV: the number of the question, then the users, each behind a letter: "g" who has no
-- session at all, "u" who has sessions that only administrators use. A user who has signed in
-- since, or about whom somebody else has asked since, is left alone.
local now = time()
for i = 2, #ARGV do
	local kind, user = string.sub(ARGV[i], 1, 1), string.sub(ARGV[i], 2)
	if redis.call('ZSCORE', KEYS[2], user) == ARGV[1] then
		redis.call('ZREM', KEYS[2], user)
		if kind == 'u' then
			redis.call('ZADD', KEYS[1], '1', user)
		else
			redis.call('ZREM', KEYS[1], user)
			redis.call('ZADD', KEYS[3], n(now), user)
		end
	end
end
redis.call('ZREMRANGEBYSCORE', KEYS[3], '-inf', n(now - remembered))
return redis.status_reply('OK')
