-- Takes attempts back whose holders do not answer: what they say of them from here on counts for nothing.
-- KEYS: the stream of tasks, the run's record
-- ARGV: group, then the attempts' ids
-- Answers for each 1, or 0 if it ended.
local answers = {}
for i = 2, #ARGV do
  local attempt = 'attempt ' .. ARGV[i]
  local known = redis.call('HGET', KEYS[2], attempt)
  local entry = known and string.match(known, '^queued (.+)$')
  if known and not entry then
    answers[#answers + 1] = 0
  else
    if entry then
      redis.call('XACK', KEYS[1], ARGV[1], entry)
      redis.call('XDEL', KEYS[1], entry)
    end
    redis.call('HDEL', KEYS[2], attempt, 'cancel ' .. ARGV[i])
    answers[#answers + 1] = 1
  end
end
return answers
