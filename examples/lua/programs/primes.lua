-- Counts primes on all workers; `python -m examples.lua --workers 1` takes the sum of their times.

local function count_primes(from, to)
  local count = 0
  for n = from, to do
    local prime = n > 1
    for d = 2, math.floor(math.sqrt(n)) do
      if n % d == 0 then prime = false break end
    end
    if prime then count = count + 1 end
  end
  return count
end

local step, jobs = 50000, {}
for from = 1, 1000000, step do
  jobs[#jobs + 1] = work(count_primes, from, from + step - 1)
end
local total = 0
for _, count in ipairs(await(all(jobs))) do total = total + count end
print(total .. " primes below a million")
