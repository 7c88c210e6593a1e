-- Goes on holding an entry: its idle time begins anew, and its count of deliveries stays.
-- KEYS: the stream of tasks, the run's record
-- ARGV: group, consumer, entry, delivery, the attempt's id
-- Answers 'lost' to who does not hold it any more, 'cancelled' if it is, else 'held'.
local held = redis.call('XPENDING', KEYS[1], ARGV[1], ARGV[3], ARGV[3], 1)[1]
if not held or held[2] ~= ARGV[2] or held[4] ~= tonumber(ARGV[4]) then
  return 'lost'
end
redis.call('XCLAIM', KEYS[1], ARGV[1], ARGV[2], 0, ARGV[3], 'JUSTID')
if redis.call('HEXISTS', KEYS[2], 'cancel ' .. ARGV[5]) == 1 then
  return 'cancelled'
end
return 'held'
