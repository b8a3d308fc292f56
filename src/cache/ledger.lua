-- Buckets by the time at which each will be full again, microseconds of this server's clock.
-- ARGV: the number of the question; '1' to spend of all or of none, '0' to spend whatever is left; then of
-- each key what is spent, how much fits in, and the most it may be overspent. Answers with the question's
-- number, whether all was refused, then how far each bucket is from full.
local time = redis.call('TIME')
local now = time[1] * 1000000 + time[2]
local all_or_none = ARGV[2] == '1'
local levels, refused = {}, false
for i, key in ipairs(KEYS) do
  local cost, room, most = tonumber(ARGV[3 * i]), tonumber(ARGV[3 * i + 1]), tonumber(ARGV[3 * i + 2])
  local level = (tonumber(redis.call('GET', key)) or now) - now
  if not (level > 0) then level = 0 end
  levels[i] = math.min(level, most)
  refused = refused or (all_or_none and levels[i] + cost > room)
end
for i, key in ipairs(KEYS) do
  local cost, most = tonumber(ARGV[3 * i]), tonumber(ARGV[3 * i + 2])
  if not refused and cost > 0 then
    levels[i] = math.min(levels[i] + cost, most)
    redis.call('SET', key, string.format('%.0f', now + levels[i]), 'PX', math.ceil(levels[i] / 1000))
  end
end
table.insert(levels, 1, refused and 1 or 0)
table.insert(levels, 1, tonumber(ARGV[1]))
return levels
