-- Returns the presence of users, "" for none. KEYS: on, state. ARGV: the users.
if redis.call('HEXISTS', KEYS[2], 'whole') == 0 then return false end
local out = redis.call('ZMSCORE', KEYS[1], unpack(ARGV))
for i = 1, #ARGV do out[i] = out[i] or '' end
return out
