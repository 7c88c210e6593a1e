-- A worker says that it is there, and holds itself to the lease that all of the queue agree on.
-- KEYS: the queue's workers, the worker's key, the queue's lease, the worker's inbox
-- ARGV: its id, what it says of itself, the lease in milliseconds, how long it counts as there in milliseconds
-- Answers with the queue's lease in milliseconds. Nothing is said where that is another.
local lease = redis.call('GET', KEYS[3])
if lease and lease ~= ARGV[3] then
  return lease
end
redis.call('SET', KEYS[3], ARGV[3], 'PX', ARGV[4])
redis.call('SET', KEYS[2], ARGV[2], 'PX', ARGV[4])
local now = tonumber(redis.call('TIME')[1])
redis.call('ZADD', KEYS[1], now, ARGV[1])
-- Those that were not seen for a day.
redis.call('ZREMRANGEBYSCORE', KEYS[1], '-inf', now - 86400)
if redis.call('EXISTS', KEYS[4]) == 0 then
  redis.call('XDEL', KEYS[4], redis.call('XADD', KEYS[4], '*', 'opened', '1'))
end
redis.call('PEXPIRE', KEYS[4], ARGV[4])
return ARGV[3]
