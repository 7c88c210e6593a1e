-- Queues attempts that are not known yet, so that a caller whose answer was lost may ask again.
-- KEYS: the stream of tasks, the run's record
-- ARGV: the run, its epoch, how many calls follow, for each its digest and bytes, then for each attempt its
-- id, its call's digest, its body and its traceparent, which is empty where nobody records its trace
-- Answers with how many are new, or with false if the run is not known in this epoch.
if redis.call('HGET', KEYS[2], 'epoch') ~= ARGV[2] then
  return false
end
local at = 4
for _ = 1, tonumber(ARGV[3]) do
  redis.call('HSET', KEYS[2], 'call ' .. ARGV[at], ARGV[at + 1])
  at = at + 2
end
local new = 0
for i = at, #ARGV, 4 do
  local attempt = 'attempt ' .. ARGV[i]
  if redis.call('HEXISTS', KEYS[2], attempt) == 0 then
    local fields = { 'run', ARGV[1], 'attempt', ARGV[i], 'call', ARGV[i + 1], 'body', ARGV[i + 2] }
    if ARGV[i + 3] ~= '' then
      fields[9], fields[10] = 'traceparent', ARGV[i + 3]
    end
    local entry = redis.call('XADD', KEYS[1], '*', unpack(fields))
    -- Where its entry is, so that one which somebody deletes is missed.
    redis.call('HSET', KEYS[2], attempt, 'queued ' .. entry)
    new = new + 1
  end
end
return new
