-- What a program can do: tasks, timers, and work on threads.

local function greet(name, seconds)
  sleep(seconds)          -- only this task waits
  print("hello, " .. name)
  return #name
end

local tasks = { spawn(greet, "world", 0.02), spawn(greet, "moon", 0.01) }
local lengths = await(all(tasks))
print("lengths", lengths[1], lengths[2])

-- A function given to work() runs in a thread of its own, beside the tasks and other work.
local function sum_of_squares(from, to)
  local sum = 0
  for i = from, to do sum = sum + i * i end
  return { from = from, sum = sum }
end

local parts = {}
for i = 0, 3 do
  parts[#parts + 1] = work(sum_of_squares, i * 1000 + 1, (i + 1) * 1000)
end
local total = 0
for _, part in ipairs(await(all(parts))) do total = total + part.sum end
print("the sum of the first 4000 squares is " .. total)

-- Coroutines of the program's own may await, too: here a generator.
local answers = coroutine.wrap(function()
  for i = 1, 3 do
    coroutine.yield(await(spawn(function() sleep(0.001) return i * 10 end)))
  end
end)
print(answers(), answers(), answers())

-- Errors cross from task to task, and from threads.
print(pcall(await, spawn(function() error("no luck", 0) end)))
print(pcall(await, work(function(x) return x.y.z end, {})))

-- A loop without an end is stopped, wherever it is.
local ok, problem = pcall(await, timeout(0.05, work(function() while true do end end)))
print(ok, (problem:gsub("waiting for .- timed out", "work timed out")))

return "done"
