-- Notes that the durable store has all activity up to a time. KEYS: state. ARGV: the time.
if tonumber(ARGV[1]) > tonumber(redis.call('HGET', KEYS[1], 'written') or '-1') then
	redis.call('HSET', KEYS[1], 'written', ARGV[1])
end
return redis.status_reply('OK')
