-- Gives an entry back that was not begun: the next who looks takes it over at once, and it counts as one
-- delivery less.
-- KEYS: the stream of tasks
-- ARGV: group, consumer, entry, delivery, the lease in milliseconds
-- Answers 1, or 0 to who does not hold it any more.
local held = redis.call('XPENDING', KEYS[1], ARGV[1], ARGV[3], ARGV[3], 1)[1]
if not held or held[2] ~= ARGV[2] or held[4] ~= tonumber(ARGV[4]) then
  return 0
end
redis.call(
  'XCLAIM', KEYS[1], ARGV[1], ARGV[2], 0, ARGV[3], 'IDLE', ARGV[5], 'RETRYCOUNT', ARGV[4] - 1, 'JUSTID'
)
return 1
