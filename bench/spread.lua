-- Reads of BENCH_PATH with a number from BENCH_FIRST to BENCH_LAST: at random, or from the step BENCH_WALK on each once.
-- BENCH_PAUSE is what a connection waits between two requests, in ms.
local path = os.getenv("BENCH_PATH")
local headers = { ["Authorization"] = "Bearer " .. os.getenv("BENCH_TOKEN") }
local first, last = tonumber(os.getenv("BENCH_FIRST")), tonumber(os.getenv("BENCH_LAST"))
local step = tonumber(os.getenv("BENCH_WALK") or "")
local pause = tonumber(os.getenv("BENCH_PAUSE") or "")
math.randomseed(os.time())

request = function()
    local number
    if step then
        step = step + 1
        -- A prime that divides no power of ten: every number once before one comes again.
        number = first + (step * 7919) % (last - first + 1)
    else
        number = math.random(first, last)
    end
    return wrk.format("GET", path:format(number), headers)
end

if pause then
    delay = function()
        return pause
    end
end

done = function(summary, latency)
    local bad = summary.errors.status + summary.errors.connect + summary.errors.read + summary.errors.timeout
    print(("COUNTS %d %d %d %d"):format(summary.requests, summary.duration, bad, latency:percentile(50)))
end
