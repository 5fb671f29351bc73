-- Takes in sessions that the durable store has just called alive. KEYS: act, on, gone, ask,
-- off. ARGV: the step of presence, then for each session its member and its time.
-- A session that has left meanwhile stays out.
local seen = {}
for i = 2, #ARGV, 2 do
	local name, at = ARGV[i], tonumber(ARGV[i + 1])
	if not redis.call('ZSCORE', KEYS[3], name) then
		redis.call('ZADD', KEYS[1], 'GT', ARGV[i + 1], name)
		local user = string.sub(name, 23)
		seen[user] = math.max(seen[user] or 0, at)
		redis.call('ZREM', KEYS[4], user)
		redis.call('ZREM', KEYS[5], user)
	end
end
see(KEYS[2], seen, tonumber(ARGV[1]))
return redis.status_reply('OK')
