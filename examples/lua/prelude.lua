-- What every Lua state begins with: the names that programs see, and what Python calls.
-- Called once, with the functions of the host; returns a table of functions for the host.
--
-- Invariant: nothing in here hands a program `debug`, the original `coroutine.create`, bytecode to
-- load, or a way to run Lua where hooks do not reach (finalizers, message handlers after a stop).

local host, period = ...

local create, resume, yield, status = coroutine.create, coroutine.resume, coroutine.yield, coroutine.status
local close, running = coroutine.close, coroutine.running
local sethook, getupvalue, getinfo = debug.sethook, debug.getupvalue, debug.getinfo
local traceback = debug.traceback
local dump, load, pcall, xpcall, error = string.dump, load, pcall, xpcall, error
local rawequal, rawget, setmetatable, select = rawequal, rawget, setmetatable, select
local tostring, type, pack, unpack, concat = tostring, type, table.pack, table.unpack, table.concat

local WAIT = {}         -- what a coroutine yields first when it waits for a future
local stopping = false  -- whether what runs now has to end

-- ---- the hook: asks the host every `period` instructions ----------------------------------------

local function watch()
  if not stopping then
    stopping = host.must_stop()
    if not stopping then
      sethook(watch, "", period)
      return
    end
  end
  -- From here on each instruction raises: pcall can catch one error, but not go on after it.
  sethook(watch, "", 1)
  error("stopped by the host", 0)
end

local function watched()  -- hooks belong to a coroutine: each has to be given one
  sethook(watch, "", stopping and 1 or period)
end

local function new_coroutine(f)
  local co = create(f)
  sethook(co, watch, "", stopping and 1 or period)
  return co
end

local function new_task(f)  -- in a table: lupa hands out a coroutine that is new as a function
  return { new_coroutine(f) }
end

-- ---- the names of a program -----------------------------------------------------------------------

local guest = {
  _VERSION = _VERSION, assert = assert, error = error, ipairs = ipairs, math = math, next = next,
  pairs = pairs, pcall = pcall, rawequal = rawequal, rawget = rawget, rawlen = rawlen,
  rawset = rawset, select = select, getmetatable = getmetatable, string = string, table = table,
  tonumber = tonumber, tostring = tostring, type = type, utf8 = utf8,
}
guest._G = guest
guest.os = { clock = os.clock, time = os.time }
string.dump = nil  -- also reached as a method of every string
getmetatable("").__metatable = false

local function loader(names)  -- for text only: bytecode can break the interpreter
  return function(text, name, _, env) return load(text, name, "t", env or names) end
end

guest.load = loader(guest)

function guest.setmetatable(value, meta)
  if type(meta) == "table" and rawget(meta, "__gc") ~= nil then
    error("__gc is not available here: finalizers cannot be stopped", 2)
  end
  return setmetatable(value, meta)
end

function guest.xpcall(f, handler, ...)
  return xpcall(f, function(problem)
    if stopping then return problem end  -- no hook reaches a handler that runs because of one
    return handler(problem)
  end, ...)
end

function guest.print(...)
  local texts = pack(...)
  for i = 1, texts.n do texts[i] = tostring(texts[i]) end
  host.write(concat(texts, "\t") .. "\n")
end

-- Coroutines of the program's own. Where one awaits, those that resumed it wait with it.
local function passed(co, ok, first, ...)
  if stopping then watched() end
  if ok and rawequal(first, WAIT) then
    return passed(co, resume(co, yield(WAIT, ...)))
  end
  return ok, first, ...
end

local function raised(co, ok, ...)
  if ok then return ... end
  close(co)
  error((...), 0)
end

guest.coroutine = {
  create = new_coroutine, close = close, isyieldable = coroutine.isyieldable, running = running,
  status = status, yield = yield,
  resume = function(co, ...) return passed(co, resume(co, ...)) end,
  wrap = function(f)
    local co = new_coroutine(f)
    return function(...) return raised(co, passed(co, resume(co, ...))) end
  end,
}

-- ---- functions of the host ------------------------------------------------------------------------

-- The host answers true and the result, or false and a message: an error of the caller's.
-- In parentheses where it is called: a tail call would hide who that is.
local function checked(ok, ...)
  if ok then return ... end
  error((...), 3)
end

local function lent(name)
  local call = host[name]
  if call then
    guest[name] = function(...) return (checked(call(...))) end
  end
end

for _, name in ipairs { "all", "cancel", "sleep", "timeout" } do lent(name) end

if host.spawn then  -- on the loop
  function guest.spawn(f, ...)
    if type(f) ~= "function" then error("spawn needs a function, got " .. type(f), 2) end
    local arguments = pack(...)
    return (checked(host.spawn(new_task(function()
      return f(unpack(arguments, 1, arguments.n))
    end))))
  end

  function guest.await(future)
    return (checked(yield(WAIT, (checked(host.awaitable(future))))))
  end

  function guest.sleep(seconds)
    return (checked(yield(WAIT, (checked(host.sleep(seconds))))))
  end

  function guest.work(f, ...)  -- f and its arguments are copied to a state of another thread
    if type(f) ~= "function" then error("work needs a function, got " .. type(f), 2) end
    local where = getinfo(f, "S")
    if where.what == "C" or where.source == "=prelude" then
      error("work needs a function of the program, written in Lua", 2)
    end
    for i = 1, 255 do
      local name = getupvalue(f, i)
      if not name then break end
      if name ~= "_ENV" then
        error("work copies the function, but not '" .. name
          .. "', which it uses from outside of itself: pass that as an argument", 2)
      end
    end
    return (checked(host.work(dump(f), where.short_src .. ":" .. where.linedefined, pack(...))))
  end
end

-- ---- for the host ---------------------------------------------------------------------------------

local function worded(problem)  -- as lua.c; no __tostring, which no hook would watch here
  if type(problem) == "string" then return problem end
  if type(problem) == "userdata" then return tostring(problem) end  -- an exception of Python
  return "(error object is a " .. type(problem) .. " value)"
end

local function ended(ok, first)
  if ok then return "done", first end
  local word = stopping and "stopped" or "failed"
  if type(first) ~= "table" then return word, first end  -- out of memory: no handler was called
  return word, first[1], first[2]
end

local function stepped(co, ok, first, second)
  local stopped = stopping
  stopping = false
  if not ok then
    return stopped and "stopped" or "failed", worded(first), traceback(co)
  elseif status(co) == "dead" then
    return "done", first
  elseif rawequal(first, WAIT) then
    return "wait", second
  end
  return "pause"  -- a plain yield: others first
end

local function described(problem)
  if stopping then return problem end
  return { worded(problem), traceback(nil, 2) }
end

local calls = {}

-- Compile a program; returns the task that runs it, or nil and what is wrong.
function calls.compile(text, name)
  local f, problem = load(text, name, "t", guest)
  if f then return new_task(f) end
  return nil, problem
end

-- Run a task until it ends or waits: "done" and its result, "wait" and what for, "pause",
-- "failed" or "stopped", a message and the stack.
function calls.step(task, ...)
  local co = task[1]
  return stepped(co, resume(co, ...))
end

-- Run bytecode of `work` to its end, with names of its own; answers as `step`.
function calls.run(code, arguments, count)
  local own = setmetatable({}, { __index = guest })
  own._G, own.load = own, loader(own)
  watched()
  return ended(xpcall(load(code, "=work", "b", own), described, unpack(arguments, 1, count)))
end

return calls
