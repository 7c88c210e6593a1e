-- Takes an entry out of the queue that nobody can finish, for people to look at, and tells its run.
-- KEYS: the stream of tasks, the stream of dead letters, the run's record, its results
-- ARGV: group, consumer, entry, delivery, the attempt's id, the outcome, the reason, how many dead letters
-- are kept
-- Answers 1, or 0 to who does not hold it.
local held = redis.call('XPENDING', KEYS[1], ARGV[1], ARGV[3], ARGV[3], 1)[1]
if not held or held[2] ~= ARGV[2] or held[4] ~= tonumber(ARGV[4]) then
  return 0
end
local letter = { 'reason', ARGV[7], 'deliveries', ARGV[4] }
local entry = redis.call('XRANGE', KEYS[1], ARGV[3], ARGV[3])[1]
if entry then
  for _, part in ipairs(entry[2]) do
    letter[#letter + 1] = part
  end
end
redis.call('XADD', KEYS[2], 'MAXLEN', '~', ARGV[8], '*', unpack(letter))
redis.call('XACK', KEYS[1], ARGV[1], ARGV[3])
redis.call('XDEL', KEYS[1], ARGV[3])
local attempt = 'attempt ' .. ARGV[5]
if redis.call('HGET', KEYS[3], attempt) == 'queued ' .. ARGV[3] then
  redis.call('XADD', KEYS[4], '*', 'attempt', ARGV[5], 'from', ARGV[2], 'outcome', ARGV[6], 'dead', ARGV[7])
  redis.call('HSET', KEYS[3], attempt, 'ended ' .. ARGV[2] .. ' ' .. ARGV[4])
end
return 1
