-- Removes a consumer that holds nothing. XGROUP DELCONSUMER would drop what it holds from the group.
-- KEYS: the stream of tasks
-- ARGV: group, consumer
-- Answers 1, or 0 if it holds something.
if #redis.call('XPENDING', KEYS[1], ARGV[1], '-', '+', 1, ARGV[2]) > 0 then
  return 0
end
redis.call('XGROUP', 'DELCONSUMER', KEYS[1], ARGV[1], ARGV[2])
return 1
