-- Tells a run something that is no outcome: it may be left out where nobody reads.
-- KEYS: the run's record, its results
-- ARGV: how many entries may wait, who tells, what
-- Answers 1, or 0 if it is left out.
if redis.call('HEXISTS', KEYS[1], 'epoch') == 0 or redis.call('XLEN', KEYS[2]) >= tonumber(ARGV[1]) then
  return 0
end
redis.call('XADD', KEYS[2], '*', 'from', ARGV[2], 'said', ARGV[3])
return 1
