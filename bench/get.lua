-- Reads of things at random: BENCH_PATH with a number from 1 to 10,000 for `%d`, made before the clock runs. With BENCH_FIRST
-- one after the other from behind that number.
local asked = {}
local last = tonumber(os.getenv("BENCH_FIRST"))

init = function()
    local path = os.getenv("BENCH_PATH")
    local headers = { ["Authorization"] = "Bearer " .. os.getenv("BENCH_TOKEN") }
    for number = 1, 10000 do
        asked[number] = wrk.format("GET", path:format(number), headers)
    end
    math.randomseed(os.time())
end

request = function()
    if last then
        last = last % 10000 + 1
        return asked[last]
    end
    return asked[math.random(10000)]
end

dofile(debug.getinfo(1, "S").source:match("^@(.*/)") .. "counts.lua")
