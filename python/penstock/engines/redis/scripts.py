"""What machines agree on in Redis, as Lua: each script is one report and one answer.

Both keep one hash for a state: a field for each machine, and fields that begin with "=" for what
belongs to all. Redis's clock only tells how long a machine has been silent, and is not trusted
beyond that: a report from the future counts as one from now, and after a gap in which nobody spoke
(the clock jumped, the server was stopped or came up empty) nobody is forgotten for it. What came
first is told by a counter, not by the clock.
"""

from __future__ import annotations

__all__ = ("CIRCUIT", "SHARE")

_BEGIN = """
local key, me, definition, silence = KEYS[1], ARGV[1], ARGV[2], tonumber(ARGV[3])
local time = redis.call('TIME')
local now = time[1] * 1000 + math.floor(time[2] / 1000)
local all, own, reports, machines = redis.call('HGETALL', key), {}, {}, 0
for i = 1, #all, 2 do
  if all[i]:sub(1, 1) == '=' then own[all[i]] = all[i + 1]
  else reports[all[i]] = cjson.decode(all[i + 1]) end
end
local last = tonumber(own['=last'] or now)
local is_gap = now - last > silence or now < last
for machine, report in pairs(reports) do
  if is_gap or report.seen > now then
    report.seen = now
    redis.call('HSET', key, machine, cjson.encode(report))
  end
  if now - report.seen > silence then
    reports[machine] = nil
    redis.call('HDEL', key, machine)
  elseif machine ~= me then machines = machines + 1 end
end
if own['=definition'] ~= definition then
  if own['=definition'] and machines > 0 then
    return cjson.encode({conflict = own['=definition']})
  end
  redis.call('DEL', key)
  own, reports = {}, {}
  redis.call('HSET', key, '=definition', definition, '=born', now)
  own['=born'] = now
end
redis.call('HSET', key, '=last', now)
redis.call('PEXPIRE', key, 60000)
local mine = reports[me]
"""

# What a breaker is, who opened it by evidence of its own, and who may probe. `serial` counts
# what machines changed by themselves; `probed` is the fence of the probe whose outcome a state is.
CIRCUIT = (
    _BEGIN
    + """
local state, generation, is_own = ARGV[4], tonumber(ARGV[5]), ARGV[6] == '1'
local left, wants, expires = tonumber(ARGV[7]), ARGV[8] == '1', tonumber(ARGV[9])
local known, channel = tonumber(ARGV[10]), ARGV[11]
local lease = own['=lease'] and cjson.decode(own['=lease'])
if lease and (lease.expires <= now or lease.expires > now + expires) then lease = nil end
local fence = math.max(tonumber(own['=fence'] or 0), known)
local changed, probed, is_new = 0, 0, not (mine and mine.generation == generation)
if not is_new then
  changed, probed = mine.changed, mine.probed
elseif not is_own then
  -- A change that only follows is none, or one that was late would hide what came before it.
  changed = mine and mine.changed or 0
elseif mine or state ~= 'closed' then
  changed = redis.call('HINCRBY', key, '=serial', 1)
  local has_failed = state == 'open' and lease and generation ~= lease.generation
  if lease and lease.machine == me and (state == 'closed' or has_failed) then
    probed, lease = lease.fence, nil
    redis.call('HDEL', key, '=lease')
  end
end
local granted, wait = 0, 0
if wants and not lease then
  fence = fence + 1
  lease = {machine = me, fence = fence, generation = generation}
end
if lease and lease.machine == me and (wants or state == 'half_open') then
  lease.expires, granted = now + expires, lease.fence
  redis.call('HSET', key, '=lease', cjson.encode(lease))
elseif wants then
  wait = lease.expires - now
end
redis.call('HSET', key, '=fence', fence, me, cjson.encode({state = state, generation = generation,
  is_own = is_own, left = left, changed = changed, probed = probed, seen = now}))
if is_new and is_own and changed > 0 then redis.call('PUBLISH', channel, key) end
local others = {}
for machine, report in pairs(reports) do
  if machine ~= me then
    report.left = report.left - (now - report.seen)
    others[#others + 1] = report
  end
end
local answer = {fence = fence, changed = changed, granted = granted, wait = wait,
  machines = machines + 1}
if #others > 0 then answer.others = others end
return cjson.encode(answer)
"""
)

# How much of a rate is whose. What a machine may have taken is the larger of what it says it holds
# and of what it was given last, so a share is given away only when its holder has said it let go.
SHARE = (
    _BEGIN
    + """
local held, weight, has_share = tonumber(ARGV[4]), tonumber(ARGV[5]), ARGV[6] == '1'
local grace, even = tonumber(ARGV[7]), tonumber(ARGV[8])
if is_gap then
  own['=born'] = now
  redis.call('HSET', key, '=born', now)
end
local taken, weights = 0, weight
for machine, report in pairs(reports) do
  if machine ~= me then
    taken = taken + math.max(report.held, report.given)
    weights = weights + report.weight
  end
end
local part = 1 / (machines + 1)
local target = part
if weights > 0 then target = even * part + (1 - even) * weight / weights end
local given = target
if held < target then
  local is_early = has_share and not mine or now - tonumber(own['=born']) < grace
  if has_share and is_early then given = held
  else given = math.max(held, math.min(target, 1 - taken)) end
end
redis.call('HSET', key, me, cjson.encode({held = held, given = given, weight = weight, seen = now}))
return cjson.encode({share = given, machines = machines + 1})
"""
)
