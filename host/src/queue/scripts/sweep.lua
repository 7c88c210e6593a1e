-- Removes the consumers of workers that are gone and hold nothing: those that were lost, and those whose last
-- entries others took over.
-- KEYS: the stream of tasks, the queue's workers
-- ARGV: group
-- Answers how many they were.
local swept = 0
for _, consumer in ipairs(redis.call('XINFO', 'CONSUMERS', KEYS[1], ARGV[1])) do
  local name, pending = consumer[2], consumer[4]
  if pending == 0 and not redis.call('ZSCORE', KEYS[2], name) then
    redis.call('XGROUP', 'DELCONSUMER', KEYS[1], ARGV[1], name)
    swept = swept + 1
  end
end
return swept
