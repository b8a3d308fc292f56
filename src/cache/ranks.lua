-- A board: KEYS are its state, the order of its lines, what stands for each user, and its levels.
-- A line is 24 bytes that sort as the board does (score, sub-score, when), the user's id, a zero byte and a
-- code of 8 bytes. All have the score 0, so the order is that of their bytes: no number goes through a double.
-- For a user stand the first 24 bytes and the code. A level is the first 16 bytes, kept once each where ranks
-- count levels. The state is "position code lines levels", or, while the board is put in, "loading token
-- lines levels". The code says that one of ours has said the position.
local state_key, order, lines, levels = KEYS[1], KEYS[2], KEYS[3], KEYS[4]
local op, number, ttl = ARGV[1], tonumber(ARGV[2]), ARGV[3]

local function last(ms)
  for _, key in ipairs(KEYS) do redis.call('PEXPIRE', key, ms) end
end

local function counts()
  return string.format('%d %d', redis.call('ZCARD', order), redis.call('ZCARD', levels))
end

-- The position and its code, if nothing was lost of the board.
local function position()
  local state = redis.call('GET', state_key)
  if not state then return false end
  local at, code, kept = string.match(state, '^(%d+) (%x+) (%d+ %d+)$')
  if not at then return false end
  if kept == counts() and redis.call('HLEN', lines) == redis.call('ZCARD', order) then return at, code end
  redis.call('UNLINK', unpack(KEYS))
  return false
end

-- Is this board being put in by whoever has the token, and is all there that was put in?
local function loading(token)
  local state = redis.call('GET', state_key)
  return state == 'loading ' .. token .. ' ' .. counts()
    and redis.call('HLEN', lines) == redis.call('ZCARD', order)
end

local function line_of(user, stands)
  return string.sub(stands, 1, 24) .. user .. '\0' .. string.sub(stands, 25)
end

local function settle(at, code)
  redis.call('SET', state_key, at .. ' ' .. code .. ' ' .. counts())
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
  local at, code = position()
  if not at then return {number} end
  local policy, before, many = ARGV[4], tonumber(ARGV[6]), tonumber(ARGV[7])
  local size = redis.call('ZCARD', order)
  if ARGV[5] == 'around' then
    local stands = redis.call('HGET', lines, ARGV[8])
    if not stands then return {number, at, code, size, 0} end
    local place = redis.call('ZRANK', order, line_of(ARGV[8], stands))
    if not place then return {number} end
    local first = math.max(place - before, 0)
    before, many = first, place - first + many + 1
  end
  last(ttl)
  local found = many > 0 and redis.call('ZRANGE', order, before, before + many - 1) or {}
  local first = found[1] and rank(before, found[1], policy) or 0
  return {number, at, code, size, first, before, unpack(found)}
elseif op == 'apply' then
  if position() ~= ARGV[4] then return {number, 0} end
  put(8, ARGV[7] == '1')
  settle(ARGV[5], ARGV[6])
  return {number, 1}
elseif op == 'begin' then
  local state = redis.call('GET', state_key)
  local left = redis.call('PTTL', state_key)
  local busy = state and string.sub(state, 1, 8) == 'loading ' and left >= 0 and left <= tonumber(ttl)
  if busy or position() then return {number, 0} end
  redis.call('UNLINK', unpack(KEYS))
  redis.call('SET', state_key, 'loading ' .. ARGV[4] .. ' 0 0')
  last(ttl)
  return {number, 1}
elseif op == 'load' then
  if not loading(ARGV[4]) then return {number, 0} end
  put(6, ARGV[5] == '1')
  redis.call('SET', state_key, 'loading ' .. ARGV[4] .. ' ' .. counts())
  last(ttl)
  return {number, 1}
elseif op == 'finish' then
  if not loading(ARGV[4]) then return {number, 0} end
  settle(ARGV[5], ARGV[6])
  return {number, 1}
elseif op == 'forget' then
  -- Only what was seen: others may have put it in anew.
  local state = redis.call('GET', state_key) or ''
  if string.sub(state, 1, #ARGV[4]) == ARGV[4] then redis.call('UNLINK', unpack(KEYS)) end
end
return {number}
