-- One exchange of one worker: for each of its limit leases (on an API config, or on a job's concurrency) it
-- reports its state and gets back its share. A share grows only by what other workers have confirmed to have
-- given up. limit_protocol.py describes the same messages in Python.
--
-- KEYS[1]  prefix of all keys
-- ARGV[1]  id of the worker
-- ARGV[2]  requests, a JSON list (below)
-- ARGV[3]  seconds: a worker that is silent for this long has lost its share
-- ARGV[4]  seconds: no share grows for this long after Redis was emptied
-- ARGV[5]  seconds: a remainder that cannot be divided evenly rotates among the workers
-- ARGV[6]  now, in seconds (only in tests; else Redis's clock)
--
-- Request, for a lease NAME. All times are seconds of Redis's clock.
--   name       “config:ID” or “job:ID”
--   busy       calls in flight
--   hungry     true: a call waits, or was held back since the last exchange
--   last       time of the last exchange; 0: there was none
--   want       calls in flight that it could use
--   had        calls in flight that it may have so far; ALL: no other worker uses the limit
--   part       its share (0 to 1) of the calls and tokens per minute so far
--   want_part  the share of them that it could use; may be over 1
--   total      calls in flight of all workers together, as far as the worker knows
-- and of API configs only:
--   version    of what it knows to be learned
--   ceiling    calls in flight that the config allows
--   learns     true: it learned for all until now
--   news       true: a refusal has changed what is learned, the others exchange at once
--   learned    what it learned (JSON), where Redis lacks it; else absent
--   report     events since its last exchange (JSON), for the learner; else absent
--   refused    true: a call was refused, the others exchange at once, so that the learner knows all; else absent
--   cool       a cooldown that began there: {until, reason, ask_s, cut}; else absent. ask_s: seconds that a
--              refusal takes to come back; cut: time of the last refusal that the worker knows of
-- or, to give the share back:
--   name, leave = true, report
--
-- Reply: JSON {now = time as text, replies = one for each request, in the same order}
--   grant      calls in flight that it may have; ALL: the whole limit
--   part       its share (0 to 1) of the calls and tokens per minute
--   soon       true: it waits for a share, or another worker waits for its; else absent
--   tell       true: it is to send what it learned; else absent
--   learned, version  what another worker has learned; else absent
--   learns     true: it learns for all; else absent. With it:
--     workers  ids of all workers that use the limit
--     heard    all of them have reported their events until this time
--     log      reports of the other workers, where there are any
--   cool       a cooldown that lasts: as in the request, and own = true for the worker that began it
--
-- Keys     born                when this Redis was first seen empty, or found to have forgotten shares
--          NAME:workers        a hash, by worker: at, had, part, busy, want, want_part, hungry as it
--                              reported them, and the share that it was given: grant, given
--          NAME:state          a hash: learned, version, total, learner; cool_until, cool_by, cool_reason,
--                              cool_ask_s, cut
--          NAME:log            a list of reports for the learner
-- Channel  news                “NAME WORKER”: all but this worker are to exchange at once
--
-- Workers of two versions may share one Redis: keys and names of fields are a contract.
local prefix, me = KEYS[1], ARGV[1]
local requests = cjson.decode(ARGV[2])
local lost_s, gather_s, turn_s = tonumber(ARGV[3]), tonumber(ARGV[4]), tonumber(ARGV[5])
local now = tonumber(ARGV[6])
if not now then
  local time = redis.call('TIME')
  now = time[1] + time[2] / 1000000
end
local ALL, KEEP_S, LOG_S, LOG_MAX = 2 ^ 30, 86400, 60, 1000
local DONE = 1e-6

local born = tonumber(redis.call('GET', prefix .. 'born'))
local function start_gathering()
  born = now
  redis.call('SET', prefix .. 'born', string.format('%.3f', now))
end
if not born then start_gathering() end

-- The others exchange at once: a cooldown began, a refusal has changed what is learned, or a call waits.
local function notify_others(request)
  redis.call('PUBLISH', prefix .. 'news', request.name .. ' ' .. me)
end

-- Max-min fair shares: each row gets what it wants, up to the level. Returns the level, and what is left for
-- each row on top where the total is more than all want.
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

-- The same in whole numbers; the remainder goes to some of them in turn.
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

-- The worker that learns: the present learner while it has a row, else one that says it learned, else (unless
-- Redis was just emptied) this one.
local function learner_of(request, rows, state, gathering)
  for _, row in ipairs(rows) do
    if row.id == state.learner then return state.learner end
  end
  if request.learns or not gathering then return me end
end

local function keep_cooldown(request, state, changes)
  if request.cool and request.cool['until'] > (tonumber(state.cool_until) or 0) then
    changes.cool_until, changes.cool_by = string.format('%.4f', request.cool['until']), me
    changes.cool_reason, changes.cool_ask_s = request.cool.reason, request.cool.ask_s
  end
  if request.cool or request.refused then notify_others(request) end
  if request.cool and request.cool.cut > (tonumber(state.cut) or 0) then
    changes.cut = string.format('%.3f', request.cool.cut)
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

local function keep_report(request)
  if not request.report then return end
  local log = request.key .. ':log'
  redis.call('RPUSH', log, request.report)
  redis.call('LTRIM', log, -LOG_MAX, -1)
  redis.call('EXPIRE', log, LOG_S)
end

-- What is learned, the cooldown and the reports: of API configs only.
local function share_knowledge(request, rows, reply, gathering)
  local state, changes = state_of(request.key .. ':state'), {}
  keep_cooldown(request, state, changes)
  local version = tonumber(state.version) or 0
  if request.learned and request.version > version then
    changes.learned, changes.version, changes.total = request.learned, request.version, request.total
    version = request.version
    if request.news then notify_others(request) end
  elseif request.version > version then
    reply.tell = true
  elseif request.version < version then
    reply.learned, reply.version = state.learned, version
  end
  local learner = learner_of(request, rows, state, gathering)
  if learner and learner ~= state.learner then changes.learner = learner end
  write(request.key .. ':state', state, changes)
  keep_report(request)
  if learner == me then
    reply.learns, reply.workers, reply.heard = true, {}, now
    for i, row in ipairs(rows) do
      reply.workers[i] = row.id
      if row.id ~= me and (row.busy > 0 or row.hungry) then
        reply.heard = math.min(reply.heard, row.at)
      end
    end
    if #rows > 1 or request.had < ALL then
      local reports = redis.call('LRANGE', request.key .. ':log', 0, -1)
      if #reports > 0 then
        redis.call('DEL', request.key .. ':log')
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
  return math.min(tonumber(state.total) or request.total, request.ceiling)
end

local function leave(request)
  redis.call('HDEL', request.key .. ':workers', me)
  if redis.call('HGET', request.key .. ':state', 'learner') == me then
    redis.call('HDEL', request.key .. ':state', 'learner')
  end
  keep_report(request)
  return {grant = 0, part = 0}
end

local function exchange(request)
  request.key = prefix .. request.name
  if request.leave then return leave(request) end
  local key = request.key .. ':workers'
  local mine = {
    id = me, at = now, had = request.had, part = request.part, busy = request.busy,
    want = request.want, want_part = request.want_part, hungry = request.hungry,
  }
  local rows, before = rows_of(key, mine)
  -- it has a share that is not in Redis: Redis was emptied, or restored from an older snapshot
  if request.last > 0 and (not before or before.at < request.last - 0.01) then start_gathering() end
  local gathering = now < born + gather_s
  local reply = {}
  local total = request.total
  if request.version then total = share_knowledge(request, rows, reply, gathering) end

  local others, others_share, starved = 0, 0, false
  for _, row in ipairs(rows) do
    if row ~= mine then
      others = others + math.max(row.had, row.grant, row.busy)
      others_share = others_share + math.max(row.part, row.given)
      starved = starved or row.hungry
    end
  end
  local due, due_share = ALL, 1
  if #rows > 1 then
    due = whole_share(total, rows, mine)
    local level, rest = level_of(1, rows, 'want_part')
    due_share = math.min(mine.want_part, level) + rest
  end
  if gathering then due, due_share = request.had, request.part end
  if #rows > 1 or gathering then
    mine.grant = math.max(0, math.min(due, request.had >= ALL and gathering and ALL or total - others))
    mine.given = math.max(0, math.min(due_share, 1 - others_share))
  else
    mine.grant, mine.given = ALL, 1
  end
  reply.grant, reply.part = mine.grant, mine.given
  local waits = request.hungry and (due > mine.grant or due_share > mine.given + 0.01)
  local gives = starved and (mine.grant < request.had or mine.given < request.part - 0.01)
  if waits and not (before and before.hungry) then notify_others(request) end
  reply.soon = waits or gives or nil
  mine.id = nil
  redis.call('HSET', key, me, cmsgpack.pack(mine))
  redis.call('EXPIRE', key, KEEP_S)
  return reply
end

local replies = {}
for i, request in ipairs(requests) do replies[i] = exchange(request) end
return cjson.encode({now = string.format('%.6f', now), replies = replies})
