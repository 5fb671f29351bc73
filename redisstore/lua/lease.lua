-- Gives a lease unless it was given within a time. KEYS: the leases. ARGV: the job, the time.
local now = time()
local given = tonumber(redis.call('HGET', KEYS[1], ARGV[1]) or nil)
if given and now - given < tonumber(ARGV[2]) then return 0 end
redis.call('HSET', KEYS[1], ARGV[1], n(now))
return 1
