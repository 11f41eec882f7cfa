-- Merges cells into the hashes of entities, as `Cell::after` of online/cell.rs does: the same bytes, or the conformance
-- suite fails. The whole script runs as one step of the server, so no writer comes between a read and its write.
--
-- KEYS: one hash per cell. ARGV: the field (view version), the horizon as 8 ordered bytes, then a cell per key,
-- already settled for that horizon and never empty. Returns how many changed; `CORRUPT n` if the stored cell of key n
-- does not parse.
local byte, char, sub, min, unpack = string.byte, string.char, string.sub, math.min, struct.unpack

-- By unsigned bytes, from position `at` on. `<` on strings is strcoll, which the server's locale decides.
local function less(a, b, at)
  local both = min(#a, #b)
  while at + 7 <= both do
    local a1, a2 = unpack('>I4I4', a, at)
    local b1, b2 = unpack('>I4I4', b, at)
    if a1 ~= b1 then return a1 < b1 end
    if a2 ~= b2 then return a2 < b2 end
    at = at + 8
  end
  for i = at, both do
    local x, y = byte(a, i), byte(b, i)
    if x ~= y then return x < y end
  end
  return #a < #b
end

-- A step's sum (flag 2) is among the bytes of its rank; whoever reads the cell looks at it.
-- Where the parts of a cell's first step are: its length, visible_from, its rank, whose byte 25 has its flags.
local LENGTH, TIME, RANK, FLAGS = 3, 7, 15, 39

-- Whether a cell is one step that was current when it was written: nearly all are.
local function is_plain(cell)
  if #cell < FLAGS or byte(cell, FLAGS) > 3 then return false end
  local format, truncated = byte(cell, 1, 2)
  return format == 1 and truncated == 1 and unpack('>I4', cell, LENGTH) == #cell - TIME + 1
end

-- Appends the steps of a cell as {visible_from, rank, bytes}; returns whether it was cut, or nil if it does not parse.
local function read(cell, steps)
  local size, at = #cell, 3
  local format, flags = byte(cell, 1, 2)
  if format ~= 1 or flags == nil or flags > 1 or (flags == 1 and size == 2) then return nil end
  while at <= size do
    if at + 3 > size then return nil end
    local last = at + 3 + unpack('>I4', cell, at)
    if last > size or last < at + 36 or byte(cell, at + 36) > 3 then return nil end
    steps[#steps + 1] = {sub(cell, at + 4, at + 11), sub(cell, at + 12, last), sub(cell, at, last)}
    at = last + 1
  end
  return flags == 1
end

-- Earliest first; of one time, the highest rank first, so that it drops the others.
local function before(a, b)
  if a[1] ~= b[1] then return less(a[1], b[1], 1) end
  return a[2] ~= b[2] and less(b[2], a[2], 1)
end

-- The later of two cuts; the first step of a cell that was cut is where it was.
local function later(cut, step)
  return less(cut, step[1], 1) and step[1] or cut
end

local function merge(old, new, horizon)
  if is_plain(old) and is_plain(new) then
    -- Both are visible at the cut: the higher rank stays; of one rank, the step that is visible from earlier on.
    if less(old, new, RANK) then return new end
    if less(new, old, RANK) then return old end
    return less(new, old, TIME) and new or old
  end
  local steps, cut = {}, horizon
  local truncated = read(old, steps)
  if truncated == nil then return nil end
  if truncated then cut = later(cut, steps[1]) end
  local n = #steps
  if read(new, steps) then cut = later(cut, steps[n + 1]) end
  table.sort(steps, before)

  local kept, rank, current = {}, nil, nil
  for _, step in ipairs(steps) do
    if rank == nil or less(rank, step[2], 1) then
      rank = step[2]
      if not less(cut, step[1], 1) then
        -- Visible at the cut: what came before it is never asked for again.
        kept, current = {}, true
      end
      kept[#kept + 1] = step[3]
    end
  end
  return char(1, current and 1 or 0) .. table.concat(kept)
end

local field, horizon, changed = ARGV[1], ARGV[2], 0
for i, key in ipairs(KEYS) do
  local new, old = ARGV[i + 2], redis.call('HGET', key, field)
  if old ~= new then
    local merged = new
    if old then merged = merge(old, new, horizon) end
    if not merged then return redis.error_reply('CORRUPT ' .. i) end
    if merged ~= old then
      redis.call('HSET', key, field, merged)
      changed = changed + 1
    end
  end
end
return changed
