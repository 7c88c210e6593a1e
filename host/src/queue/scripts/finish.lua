-- Records how an attempt ended, once: what its holder says goes to the run, anybody else is refused.
-- KEYS: the stream of tasks, the run's record, its results
-- ARGV: group, consumer, entry, delivery, the attempt's id, the outcome
-- Answers 'recorded', also to who asks again because the first answer was lost; 'fenced' to who does not
-- hold it any more; 'gone' where nothing is known of the run or of the attempt any more.
local attempt = 'attempt ' .. ARGV[5]
local ended = 'ended ' .. ARGV[2] .. ' ' .. ARGV[4]
local known = redis.call('HGET', KEYS[2], attempt)
if known == ended then
  return 'recorded'
end
local held = redis.call('XPENDING', KEYS[1], ARGV[1], ARGV[3], ARGV[3], 1)[1]
if not held or held[2] ~= ARGV[2] or held[4] ~= tonumber(ARGV[4]) then
  return 'fenced'
end
redis.call('XACK', KEYS[1], ARGV[1], ARGV[3])
redis.call('XDEL', KEYS[1], ARGV[3])
if known ~= 'queued ' .. ARGV[3] then
  return 'gone'
end
redis.call('XADD', KEYS[3], '*', 'attempt', ARGV[5], 'from', ARGV[2], 'outcome', ARGV[6])
redis.call('HSET', KEYS[2], attempt, ended)
return 'recorded'
