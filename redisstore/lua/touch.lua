-- Records activity. KEYS: act, on, state. ARGV: the step of presence, then for each session
-- its member, its time, and where the time's cell begins.
-- Answers with a digit for each session: 0 not known here, 1 the durable store first, 2 done.
local state = redis.call('HMGET', KEYS[3], 'pending', 'strict')
local pending = tonumber(state[1] or '-1')
local strict = state[2] and tonumber(state[2]) > time()
local names = {}
for i = 2, #ARGV, 3 do names[#names + 1] = ARGV[i] end
local scores = redis.call('ZMSCORE', KEYS[1], unpack(names))
local verdicts, moved, seen = {}, {}, {}
for k, name in ipairs(names) do
	local at, cell, old = tonumber(ARGV[3 * k]), tonumber(ARGV[3 * k + 1]), tonumber(scores[k] or nil)
	if not old then
		verdicts[k] = '0'
	elseif at > old and (strict or old < cell or at <= pending) then
		verdicts[k] = '1'
	else
		verdicts[k] = '2'
		if at > old then
			moved[#moved + 1] = ARGV[3 * k]
			moved[#moved + 1] = name
		end
		local user = string.sub(name, 23)
		seen[user] = math.max(seen[user] or 0, at, old)
	end
end
if #moved > 0 then redis.call('ZADD', KEYS[1], unpack(moved)) end
see(KEYS[2], seen, tonumber(ARGV[1]))
return table.concat(verdicts)
