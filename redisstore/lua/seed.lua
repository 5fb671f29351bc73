-- Brings presence back from the durable store. KEYS: on, off. ARGV: users and their times.
-- Who has gone offline meanwhile stays offline.
for i = 1, #ARGV, 2 do
	if not redis.call('ZSCORE', KEYS[2], ARGV[i]) then redis.call('ZADD', KEYS[1], 'GT', ARGV[i + 1], ARGV[i]) end
end
return redis.status_reply('OK')
