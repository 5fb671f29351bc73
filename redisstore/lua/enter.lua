-- Takes in sessions that the durable store has just called alive. KEYS: act, seen, on, gone,
-- ask, off. ARGV: the step of presence, then for each session its member, the time of its
-- activity and of its sign of life (0: none), and what moves presence, as for a touch.
-- A session that has left meanwhile stays out. A user whom nothing moves is listed, behind
-- everybody who has been online.
local present = {}
for i = 2, #ARGV, 4 do
	local name, at, seen, moves = ARGV[i], tonumber(ARGV[i + 1]), tonumber(ARGV[i + 2]), ARGV[i + 3]
	if not redis.call('ZSCORE', KEYS[4], name) then
		local user = string.sub(name, 23)
		redis.call('ZADD', KEYS[1], 'GT', ARGV[i + 1], name)
		if seen > at then redis.call('ZADD', KEYS[2], 'GT', ARGV[i + 2], name) end
		if moves == '-' then
			redis.call('ZADD', KEYS[3], 'NX', '1', user)
		else
			if moves == 's' then at = math.max(at, seen) end
			present[user] = math.max(present[user] or 1, at)
			redis.call('ZREM', KEYS[5], user)
		end
		redis.call('ZREM', KEYS[6], user)
	end
end
see(KEYS[3], present, tonumber(ARGV[1]))
return redis.status_reply('OK')
