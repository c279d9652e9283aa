-- Reads of BENCH_PATH with a number from BENCH_FIRST to BENCH_LAST: at random, or from the step BENCH_WALK on each once.
local path = os.getenv("BENCH_PATH")
local headers = { ["Authorization"] = "Bearer " .. os.getenv("BENCH_TOKEN") }
local first, last = tonumber(os.getenv("BENCH_FIRST")), tonumber(os.getenv("BENCH_LAST"))
local step = tonumber(os.getenv("BENCH_WALK") or "")
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

dofile(debug.getinfo(1, "S").source:match("^@(.*/)") .. "counts.lua")
