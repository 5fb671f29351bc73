-- What all scripts share. Times are microseconds; a member of act is a handle of 22
-- characters and its user's id.
local function n(x) return string.format('%.0f', x) end
local function time()
	local t = redis.call('TIME')
	return t[1] * 1000000 + t[2]
end
-- see moves the presence of users forward where it is behind by a step.
local function see(key, seen, step)
	local users = {}
	for user in pairs(seen) do users[#users + 1] = user end
	if #users == 0 then return end
	local known, moved = redis.call('ZMSCORE', key, unpack(users)), {}
	for i, user in ipairs(users) do
		local at, old = seen[user], tonumber(known[i] or nil)
		if not old or (old < at and old <= at - step) then
			moved[#moved + 1] = n(at)
			moved[#moved + 1] = user
		end
	end
	if #moved > 0 then redis.call('ZADD', key, unpack(moved)) end
end
-- remembered is how long what has left stays known, so that nothing late brings it back.
local remembered = 60000000
