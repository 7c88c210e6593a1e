-- Removes what is known of a worker. With the last one goes the lease that they agreed on.
-- KEYS: the stream of tasks, the queue's workers, the worker's key, its inbox, the queue's lease
-- ARGV: group, consumer
-- Answers 1, or 0 if it holds something: XGROUP DELCONSUMER would drop that from the group, so it stays there.
redis.call('ZREM', KEYS[2], ARGV[2])
redis.call('UNLINK', KEYS[3], KEYS[4])
if redis.call('ZCARD', KEYS[2]) == 0 then
  redis.call('DEL', KEYS[5])
end
if #redis.call('XPENDING', KEYS[1], ARGV[1], '-', '+', 1, ARGV[2]) > 0 then
  return 0
end
redis.call('XGROUP', 'DELCONSUMER', KEYS[1], ARGV[1], ARGV[2])
return 1
