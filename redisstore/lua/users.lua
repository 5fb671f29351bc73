-- Lists users by presence, latest first. KEYS: on, state. ARGV: later than, the time to begin
-- at or "", how many. Users of one time come all or not at all: the caller sorts them by
-- id, and leaves out those before its place. The first word is "1" if there are more.
if redis.call('HEXISTS', KEYS[2], 'whole') == 0 then return false end
local limit, out, below = tonumber(ARGV[3]), {}, '+inf'
local function tied(at)
	for _, user in ipairs(redis.call('ZRANGEBYSCORE', KEYS[1], at, at)) do
		out[#out + 1] = user
		out[#out + 1] = at
	end
end
if ARGV[2] ~= '' then
	below = '(' .. ARGV[2]
	if tonumber(ARGV[2]) > tonumber(ARGV[1]) then tied(ARGV[2]) end
end
local rest = redis.call('ZREVRANGEBYSCORE', KEYS[1], below, '(' .. ARGV[1], 'WITHSCORES', 'LIMIT', 0, limit)
local last = #rest == 2 * limit and rest[#rest]
for i = 1, #rest, 2 do
	if rest[i + 1] ~= last then
		out[#out + 1] = rest[i]
		out[#out + 1] = rest[i + 1]
	end
end
if last then tied(last) end
table.insert(out, 1, last and '1' or '0')
return out
