-- Removes a dead letter. Its run was told when it was written.
-- KEYS: the stream of dead letters
-- ARGV: the letter
-- Answers 1, or 0 if there is none.
return redis.call('XDEL', KEYS[1], ARGV[1])
