-- Queues a dead letter's attempt again, with all its deliveries before it, where its run can still make use
-- of what comes of it: the run was told that the attempt is lost, and has not written that down yet, as when
-- its process is gone. What it was told is taken back. A run that read it a moment ago writes it down all the
-- same, and forgets the attempt: what comes of this one is 'gone' to who finishes it.
-- KEYS: the stream of tasks, the stream of dead letters, the run's record, its results
-- ARGV: the letter, the run, the attempt's id
-- Answers 'queued'; 'missing' where there is no such letter of this attempt; 'broken' where there is nothing
-- in it to queue; 'waits' where the attempt is in the queue anyway; 'gone' where nothing is known of the run
-- any more; 'told' where the run has written an outcome down, or another's outcome is on its way to it.
local letter = redis.call('XRANGE', KEYS[2], ARGV[1], ARGV[1])[1]
if not letter then
  return 'missing'
end
local parts = {}
for i = 1, #letter[2], 2 do
  parts[letter[2][i]] = letter[2][i + 1]
end
if parts.run ~= ARGV[2] or parts.attempt ~= ARGV[3] then
  return 'missing'
end
if not parts.body then
  return 'broken'
end
if redis.call('HEXISTS', KEYS[3], 'epoch') == 0 then
  return 'gone'
end
local attempt = 'attempt ' .. ARGV[3]
local known = redis.call('HGET', KEYS[3], attempt)
if known and string.match(known, '^queued ') then
  return 'waits'
end
if not known or string.match(known, '^ended .* (%d+)$') ~= parts.deliveries then
  return 'told'
end
-- The run was told by the script that wrote the letter: what it was told has the letter's time, or next to.
local time = tonumber(string.match(ARGV[1], '^%d+'))
local from = string.format('%.0f', time)
local to = string.format('%.0f', time + 1000)
while true do
  local some = redis.call('XRANGE', KEYS[4], from, to, 'COUNT', 100)
  for _, result in ipairs(some) do
    local said = {}
    for i = 1, #result[2], 2 do
      said[result[2][i]] = result[2][i + 1]
    end
    if said.attempt == ARGV[3] then
      redis.call('XDEL', KEYS[4], result[1])
      local entry = redis.call(
        'XADD', KEYS[1], '*', 'run', ARGV[2], 'attempt', ARGV[3], 'call', parts.call or '', 'body', parts.body
      )
      redis.call('HSET', KEYS[3], attempt, 'queued ' .. entry)
      redis.call('XDEL', KEYS[2], ARGV[1])
      return 'queued'
    end
  end
  if #some < 100 then
    return 'told'
  end
  from = '(' .. some[#some][1]
end
