-- Records how attempts of a run ended, each once: what its holder says goes to the run, anybody else is
-- refused.
-- KEYS: the stream of tasks, the run's record, its results
-- ARGV: group, consumer, then for each its entry, the delivery, its id and its outcome
-- Answers for each with 'recorded', also to who asks again because the first answer was lost; 'fenced' to who
-- does not hold it any more; 'gone' where nothing is known of the run or of the attempt any more.
local function finish(entry, delivery, id, outcome)
  local attempt = 'attempt ' .. id
  local ended = 'ended ' .. ARGV[2] .. ' ' .. delivery
  local known = redis.call('HGET', KEYS[2], attempt)
  if known == ended then
    return 'recorded'
  end
  local held = redis.call('XPENDING', KEYS[1], ARGV[1], entry, entry, 1)[1]
  if not held or held[2] ~= ARGV[2] or held[4] ~= tonumber(delivery) then
    return 'fenced'
  end
  redis.call('XACK', KEYS[1], ARGV[1], entry)
  redis.call('XDEL', KEYS[1], entry)
  if known ~= 'queued ' .. entry then
    return 'gone'
  end
  redis.call('XADD', KEYS[3], '*', 'attempt', id, 'from', ARGV[2], 'outcome', outcome)
  redis.call('HSET', KEYS[2], attempt, ended)
  return 'recorded'
end
local answers = {}
for i = 3, #ARGV, 4 do
  answers[#answers + 1] = finish(ARGV[i], ARGV[i + 1], ARGV[i + 2], ARGV[i + 3])
end
return answers
