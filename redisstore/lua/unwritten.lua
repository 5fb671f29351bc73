-- Returns activity that the durable store may not have. KEYS: act, state. ARGV: up to which
-- time, how many, and for how long touches go to the durable store first (0: not at all).
-- From now on a touch up to that time goes there first, so none is overlooked.
-- Sessions of one time come all or not at all.
local state = redis.call('HMGET', KEYS[2], 'since', 'written', 'pending')
local upto, limit = tonumber(ARGV[1]), tonumber(ARGV[2])
if upto > tonumber(state[3] or '-1') then redis.call('HSET', KEYS[2], 'pending', ARGV[1]) end
if ARGV[3] ~= '0' then redis.call('HSET', KEYS[2], 'strict', n(time() + tonumber(ARGV[3]))) end
local out = {state[1] or ''}
local rows = redis.call('ZRANGEBYSCORE', KEYS[1], '(' .. (state[2] or '-1'), ARGV[1], 'WITHSCORES', 'LIMIT', 0, limit)
local last = #rows == 2 * limit and rows[#rows]
for i = 1, #rows, 2 do
	if rows[i + 1] ~= last then
		out[#out + 1] = rows[i]
		out[#out + 1] = rows[i + 1]
	end
end
if last then
	for _, name in ipairs(redis.call('ZRANGEBYSCORE', KEYS[1], last, last)) do
		out[#out + 1] = name
		out[#out + 1] = last
	end
end
return out
