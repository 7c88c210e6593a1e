-- Forgets what the run has written down: attempts, and their entries among the results.
-- KEYS: the run's record, its results
-- ARGV: for each the attempt's id and its entry
for i = 1, #ARGV, 2 do
  redis.call('HDEL', KEYS[1], 'attempt ' .. ARGV[i], 'cancel ' .. ARGV[i])
  redis.call('XDEL', KEYS[2], ARGV[i + 1])
end
return #ARGV / 2
