-- A board: KEYS are its state, the order of its lines, what stands for each user, and its levels.
-- A line is 24 bytes that sort as the board does (score, sub-score, when), the user's id, a zero byte and a
-- code of 8 bytes. All have the score 0, so the order is that of their bytes: no number goes through a double.
-- For a user stand the first 24 bytes and the code. A level is the first 16 bytes, kept once each where ranks
-- count levels. The state is "position lines levels", or, while the board is put in, "loading <token>".
local state_key, order, lines, levels = KEYS[1], KEYS[2], KEYS[3], KEYS[4]
local op, number, ttl = ARGV[1], tonumber(ARGV[2]), ARGV[3]

local function last(ms)
  for _, key in ipairs(KEYS) do redis.call('PEXPIRE', key, ms) end
end

-- The position, if nothing was lost of the board.
local function position()
  local state = redis.call('GET', state_key)
  if not state then return false end
  local at, many, kept = string.match(state, '^(%d+) (%d+) (%d+)$')
  if not at then return false end
  local whole = redis.call('ZCARD', order) == tonumber(many)
    and redis.call('HLEN', lines) == tonumber(many)
    and redis.call('ZCARD', levels) == tonumber(kept)
  if whole then return at end
  redis.call('DEL', unpack(KEYS))
  return false
end

local function line_of(user, stands)
  return string.sub(stands, 1, 24) .. user .. '\0' .. string.sub(stands, 25)
end

local function settle(at)
  redis.call('SET', state_key,
    string.format('%s %d %d', at, redis.call('ZCARD', order), redis.call('ZCARD', levels)))
  last(ttl)
end

-- From one argument on: user, what stands for them or '', by turns.
local function put(from, dense)
  for i = from, #ARGV, 2 do
    local user, new = ARGV[i], ARGV[i + 1]
    local old = redis.call('HGET', lines, user)
    if old and old ~= new then
      redis.call('ZREM', order, line_of(user, old))
      redis.call('HDEL', lines, user)
      local level = string.sub(old, 1, 16)
      if dense and redis.call('ZLEXCOUNT', order, '[' .. level, '(' .. level .. string.rep('\255', 9)) == 0 then
        redis.call('ZREM', levels, level)
      end
    end
    if new ~= '' and old ~= new then
      redis.call('ZADD', order, 0, line_of(user, new))
      redis.call('HSET', lines, user, new)
      if dense then redis.call('ZADD', levels, 0, string.sub(new, 1, 16)) end
    end
  end
end

local function rank(place, line, policy)
  if policy == 'ordinal' then return place + 1 end
  if policy == 'dense' then return redis.call('ZLEXCOUNT', levels, '-', '[' .. string.sub(line, 1, 16)) end
  local bytes = policy == 'earliest' and 24 or 16
  return redis.call('ZLEXCOUNT', order, '-', '(' .. string.sub(line, 1, bytes)) + 1
end

if op == 'read' then
  local at = position()
  if not at then return {number} end
  local policy, before, many = ARGV[4], tonumber(ARGV[6]), tonumber(ARGV[7])
  if ARGV[5] == 'around' then
    local stands = redis.call('HGET', lines, ARGV[8])
    if not stands then return {number, at, redis.call('ZCARD', order), 0} end
    local place = redis.call('ZRANK', order, line_of(ARGV[8], stands))
    if not place then return {number} end
    local first = math.max(place - before, 0)
    before, many = first, place - first + many + 1
  end
  last(ttl)
  local found = many > 0 and redis.call('ZRANGE', order, before, before + many - 1) or {}
  local first = found[1] and rank(before, found[1], policy) or 0
  return {number, at, redis.call('ZCARD', order), first, before, unpack(found)}
elseif op == 'apply' then
  local at = position()
  if not at then return {number} end
  if at ~= ARGV[4] then return {number, at} end
  put(7, ARGV[6] == '1')
  settle(ARGV[5])
  return {number, ARGV[5]}
elseif op == 'begin' then
  local state = redis.call('GET', state_key)
  if state and string.sub(state, 1, 8) == 'loading ' then return {number, 0} end
  if position() then return {number, 0} end
  redis.call('DEL', unpack(KEYS))
  redis.call('SET', state_key, 'loading ' .. ARGV[4])
  last(ttl)
  return {number, 1}
elseif op == 'load' then
  if redis.call('GET', state_key) ~= 'loading ' .. ARGV[4] then return {number, 0} end
  put(7, ARGV[6] == '1')
  last(ttl)
  return {number, 1}
elseif op == 'finish' then
  if redis.call('GET', state_key) ~= 'loading ' .. ARGV[4] then return {number, 0} end
  if redis.call('HLEN', lines) == tonumber(ARGV[6]) then
    settle(ARGV[5])
    return {number, 1}
  end
end
redis.call('DEL', unpack(KEYS))
return {number}
