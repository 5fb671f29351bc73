-- Records activity and signs of life. KEYS: act, seen, on, state. ARGV: the step of presence,
-- then for each session its member, the time of its activity and of its sign of life (0: none),
-- where the cells of the two begin, and what moves presence: "a" activity, "s" both, "-" nothing.
-- Answers with a digit for each session: 0 not known here, 1 the durable store first, 2 done.
local state = redis.call('HMGET', KEYS[4], 'pending', 'strict')
local pending = tonumber(state[1] or '-1')
local strict = state[2] and tonumber(state[2]) > time()
local names = {}
for i = 2, #ARGV, 6 do names[#names + 1] = ARGV[i] end
local used, sighted = redis.call('ZMSCORE', KEYS[1], unpack(names)), redis.call('ZMSCORE', KEYS[2], unpack(names))
local verdicts, moved, met, present = {}, {}, {}, {}
for k, name in ipairs(names) do
	local i = 6 * k - 4
	local at, seen, old = tonumber(ARGV[i + 1]), tonumber(ARGV[i + 2]), tonumber(used[k] or nil)
	local sight = math.max(old or 0, tonumber(sighted[k] or '0'))
	if not old then
		verdicts[k] = '0'
	elseif at > old and (strict or old < tonumber(ARGV[i + 3]) or at <= pending)
		or seen > sight and sight < tonumber(ARGV[i + 4]) then
		verdicts[k] = '1'
	else
		verdicts[k] = '2'
		if at > old then
			moved[#moved + 1] = ARGV[i + 1]
			moved[#moved + 1] = name
		end
		if seen > math.max(sight, at) then
			met[#met + 1] = ARGV[i + 2]
			met[#met + 1] = name
		end
		local latest, user = math.max(at, old), string.sub(name, 23)
		if ARGV[i + 5] == 's' then latest = math.max(latest, sight, seen) end
		if ARGV[i + 5] ~= '-' then present[user] = math.max(present[user] or 0, latest) end
	end
end
if #moved > 0 then redis.call('ZADD', KEYS[1], unpack(moved)) end
if #met > 0 then redis.call('ZADD', KEYS[2], unpack(met)) end
see(KEYS[3], present, tonumber(ARGV[1]))
return table.concat(verdicts)
