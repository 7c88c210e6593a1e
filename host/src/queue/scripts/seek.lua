-- Looks for attempts whose entries somebody deleted or trimmed: nobody would ever take them.
-- KEYS: the stream of tasks, the run's record
-- ARGV: the run's epoch, then attempts' ids
-- Answers with the ids of those that are queued and have no entry any more, which are forgotten, or with
-- false if the run is not known in this epoch.
if redis.call('HGET', KEYS[2], 'epoch') ~= ARGV[1] then
  return false
end
local missing = {}
for i = 2, #ARGV do
  local attempt = 'attempt ' .. ARGV[i]
  local known = redis.call('HGET', KEYS[2], attempt)
  local entry = known and string.match(known, '^queued (.+)$')
  if not known or entry and #redis.call('XRANGE', KEYS[1], entry, entry) == 0 then
    redis.call('HDEL', KEYS[2], attempt)
    missing[#missing + 1] = ARGV[i]
  end
end
return missing
