-- One exchange of one worker: for each of its pots (an API config, or a job) it tells what it does and
-- gets back its share. A share grows only by what the others have confirmed to have given up.
--
-- KEYS[1]  what all keys begin with
-- ARGV     worker, its asks as JSON, seconds after which a silent worker is lost, seconds for which
--          nothing grows when Redis has forgotten, seconds of a turn, now (tests only)
-- Keys     born                when this Redis was first seen empty, or found to have forgotten
--          POT:workers         a row for each worker that has a share
--          POT:state           learned, version, total, learner; the cooldown
--          POT:log             reports for the learner
-- Channel  news                “POT WORKER”: all but this worker are to exchange at once
local prefix, me = KEYS[1], ARGV[1]
local asks = cjson.decode(ARGV[2])
local lost_s, gather_s, turn_s = tonumber(ARGV[3]), tonumber(ARGV[4]), tonumber(ARGV[5])
local now = tonumber(ARGV[6])
if not now then
  local time = redis.call('TIME')
  now = time[1] + time[2] / 1000000
end
local ALL, KEEP_S, LOG_S, LOG_MOST = 2 ^ 30, 86400, 60, 1000
local DONE = 1e-6

local born = tonumber(redis.call('GET', prefix .. 'born'))
local function be_born()
  born = now
  redis.call('SET', prefix .. 'born', string.format('%.3f', now))
end
if not born then be_born() end

-- The others are to exchange at once: there was a refusal, or what it taught, or somebody is hungry.
local function tell_others(ask)
  redis.call('PUBLISH', prefix .. 'news', ask.name .. ' ' .. me)
end

-- What each row gets of the total: what it wants, or as much as the others that want more.
local function level_of(total, rows, want)
  local wants = {}
  for i, row in ipairs(rows) do wants[i] = row[want] end
  table.sort(wants)
  local left, count = total, #wants
  for _, wanted in ipairs(wants) do
    if wanted >= left / count then return left / count, 0 end
    left, count = left - wanted, count - 1
  end
  return ALL, left / #wants
end

-- The same in whole numbers; what is over goes to some of them in turn.
local function whole_share(total, rows, mine)
  local level, rest = level_of(total, rows, 'want')
  local left, whole = total, {}
  for i, row in ipairs(rows) do
    whole[i] = math.floor(math.min(row.want, level) + rest + DONE)
    left = left - whole[i]
  end
  local first = math.floor(now / turn_s) % #rows
  local share = 0
  for i = 1, #rows do
    local at = (first + i - 1) % #rows + 1
    local more = left >= 1 and math.min(rows[at].want, level) + rest > whole[at] + DONE
    if more then left = left - 1 end
    if rows[at] == mine then share = whole[at] + (more and 1 or 0) end
  end
  return share
end

local function rows_of(key, mine)
  local rows, gone = {mine}, {}
  local found = redis.call('HGETALL', key)
  local before
  for i = 1, #found, 2 do
    local row = cmsgpack.unpack(found[i + 1])
    row.id = found[i]
    if row.id == me then
      before = row
    elseif now - row.at > lost_s then
      gone[#gone + 1] = row.id
    else
      rows[#rows + 1] = row
    end
  end
  if #gone > 0 then redis.call('HDEL', key, unpack(gone)) end
  table.sort(rows, function(a, b) return a.id < b.id end)
  return rows, before
end

-- Who learns: the one that does, while it is there; else whoever says that it did, or comes first.
local function learner_of(ask, rows, state, gathering)
  for _, row in ipairs(rows) do
    if row.id == state.learner then return state.learner end
  end
  if ask.learns or not gathering then return me end
end

local function cool(ask, state, changes)
  if ask.cool and ask.cool['until'] > (tonumber(state.cool_until) or 0) then
    changes.cool_until, changes.cool_by = string.format('%.4f', ask.cool['until']), me
    changes.cool_reason, changes.cool_ask_s = ask.cool.reason, ask.cool.ask_s
  end
  if ask.cool then tell_others(ask) end
  if ask.cool and ask.cool.cut > (tonumber(state.cut) or 0) then
    changes.cut = string.format('%.3f', ask.cool.cut)
  end
end

local function state_of(key)
  local found, state = redis.call('HGETALL', key), {}
  for i = 1, #found, 2 do state[found[i]] = found[i + 1] end
  return state
end

local function write(key, state, changes)
  local flat = {}
  for name, value in pairs(changes) do
    state[name] = value
    flat[#flat + 1], flat[#flat + 2] = name, value
  end
  if #flat > 0 then
    redis.call('HSET', key, unpack(flat))
    redis.call('EXPIRE', key, KEEP_S)
  end
end

local function keep_report(ask)
  if not ask.report then return end
  local log = ask.pot .. ':log'
  redis.call('RPUSH', log, ask.report)
  redis.call('LTRIM', log, -LOG_MOST, -1)
  redis.call('EXPIRE', log, LOG_S)
end

-- What is learned, the cooldown and the reports: of API configs only.
local function share_knowledge(ask, rows, reply, gathering)
  local state, changes = state_of(ask.pot .. ':state'), {}
  cool(ask, state, changes)
  local version = tonumber(state.version) or 0
  if ask.learned and ask.version > version then
    changes.learned, changes.version, changes.total = ask.learned, ask.version, ask.total
    version = ask.version
    if ask.news then tell_others(ask) end
  elseif ask.version > version then
    reply.tell = true
  elseif ask.version < version then
    reply.learned, reply.version = state.learned, version
  end
  local learner = learner_of(ask, rows, state, gathering)
  if learner and learner ~= state.learner then changes.learner = learner end
  write(ask.pot .. ':state', state, changes)
  keep_report(ask)
  if learner == me then
    reply.learns, reply.workers, reply.heard = true, {}, now
    for i, row in ipairs(rows) do
      reply.workers[i] = row.id
      if row.id ~= me and (row.busy > 0 or row.hungry) then
        reply.heard = math.min(reply.heard, row.at)
      end
    end
    if #rows > 1 or ask.had < ALL then
      local reports = redis.call('LRANGE', ask.pot .. ':log', 0, -1)
      if #reports > 0 then
        redis.call('DEL', ask.pot .. ':log')
        reply.log = reports
      end
    end
  end
  if now < (tonumber(state.cool_until) or 0) + 1 then
    reply.cool = {
      cut = tonumber(state.cut) or 0, reason = state.cool_reason,
      ['until'] = tonumber(state.cool_until), ask_s = tonumber(state.cool_ask_s),
      own = state.cool_by == me,
    }
  end
  return math.min(tonumber(state.total) or ask.total, ask.ceiling)
end

local function leave(ask)
  redis.call('HDEL', ask.pot .. ':workers', me)
  if redis.call('HGET', ask.pot .. ':state', 'learner') == me then
    redis.call('HDEL', ask.pot .. ':state', 'learner')
  end
  keep_report(ask)
  return {grant = 0, part = 0}
end

local function exchange(ask)
  ask.pot = prefix .. ask.name
  if ask.leave then return leave(ask) end
  local key = ask.pot .. ':workers'
  local mine = {
    id = me, at = now, had = ask.had, part = ask.part, busy = ask.busy,
    want = ask.want, want_part = ask.want_part, hungry = ask.hungry,
  }
  local rows, before = rows_of(key, mine)
  -- it has a share that nobody here knows of: Redis was emptied, or went back in time
  if ask.last > 0 and (not before or before.at < ask.last - 0.01) then be_born() end
  local gathering = now < born + gather_s
  local reply = {}
  local total = ask.total
  if ask.version then total = share_knowledge(ask, rows, reply, gathering) end

  local others, others_part, hungry = 0, 0, false
  for _, row in ipairs(rows) do
    if row ~= mine then
      others = others + math.max(row.had, row.grant, row.busy)
      others_part = others_part + math.max(row.part, row.given)
      hungry = hungry or row.hungry
    end
  end
  local due, due_part = ALL, 1
  if #rows > 1 then
    due = whole_share(total, rows, mine)
    local level, rest = level_of(1, rows, 'want_part')
    due_part = math.min(mine.want_part, level) + rest
  end
  if gathering then due, due_part = ask.had, ask.part end
  if #rows > 1 or gathering then
    mine.grant = math.max(0, math.min(due, ask.had >= ALL and gathering and ALL or total - others))
    mine.given = math.max(0, math.min(due_part, 1 - others_part))
  else
    mine.grant, mine.given = ALL, 1
  end
  reply.grant, reply.part = mine.grant, mine.given
  local waits = ask.hungry and (due > mine.grant or due_part > mine.given + 0.01)
  local gives = hungry and (mine.grant < ask.had or mine.given < ask.part - 0.01)
  if waits and not (before and before.hungry) then tell_others(ask) end
  reply.soon = waits or gives or nil
  mine.id = nil
  redis.call('HSET', key, me, cmsgpack.pack(mine))
  redis.call('EXPIRE', key, KEEP_S)
  return reply
end

local replies = {}
for i, ask in ipairs(asks) do replies[i] = exchange(ask) end
return cjson.encode({now = string.format('%.6f', now), replies = replies})
