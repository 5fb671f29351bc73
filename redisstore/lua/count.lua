-- Counts users. KEYS: on, state. ARGV: for each count, later than which time.
if redis.call('HEXISTS', KEYS[2], 'whole') == 0 then return false end
local out = {}
for i, least in ipairs(ARGV) do out[i] = redis.call('ZCOUNT', KEYS[1], '(' .. least, '+inf') end
return out
