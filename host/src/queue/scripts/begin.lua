-- Begins a run, or goes on with one that was begun, and renews how long its keys are kept.
-- KEYS: the run's record, its results
-- ARGV: an epoch, for a run that is not known; the epoch that the caller knows, or ''; seconds; what the run
-- wants to be told
-- Answers with the run's epoch, or with false if that is not the one the caller knows: its state is lost.
local epoch = redis.call('HGET', KEYS[1], 'epoch')
if ARGV[2] ~= '' and epoch ~= ARGV[2] then
  return false
end
if not epoch then
  epoch = ARGV[1]
  redis.call('HSET', KEYS[1], 'epoch', epoch)
  -- A stream that is empty is kept, and whoever adds to it need not know how long.
  redis.call('XDEL', KEYS[2], redis.call('XADD', KEYS[2], '*', 'epoch', epoch))
end
redis.call('HSET', KEYS[1], 'wants', ARGV[4])
redis.call('EXPIRE', KEYS[1], ARGV[3])
redis.call('EXPIRE', KEYS[2], ARGV[3])
return epoch
