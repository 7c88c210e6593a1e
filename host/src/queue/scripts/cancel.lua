-- Cancels attempts, or only takes those back that no worker has. Such a one is forgotten, and its entry is skipped by whoever takes it: it is
-- not deleted, which would blind those who scale by the stream's length. Of the others the holder is told.
-- KEYS: the stream of tasks, the run's record
-- ARGV: group; why, or '' for those alone that no worker has; then the attempts' ids
-- Answers for each with false if no worker has it, '' if it ended, or its holder.
local answers = {}
for i = 3, #ARGV do
  local known = redis.call('HGET', KEYS[2], 'attempt ' .. ARGV[i])
  local entry = known and string.match(known, '^queued (.+)$')
  local held = entry and redis.call('XPENDING', KEYS[1], ARGV[1], entry, entry, 1)[1]
  if known and not entry then
    answers[#answers + 1] = ''
  elseif not held or held[4] == 0 then
    redis.call('HDEL', KEYS[2], 'attempt ' .. ARGV[i])
    answers[#answers + 1] = false
  else
    if ARGV[2] ~= '' then
      redis.call('HSET', KEYS[2], 'cancel ' .. ARGV[i], ARGV[2])
    end
    answers[#answers + 1] = held[2]
  end
end
return answers
