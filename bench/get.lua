-- Reads of things at random: BENCH_PATH with a number from 1 to 10,000 for `%d`.
local path = os.getenv("BENCH_PATH")
local headers = { ["Authorization"] = "Bearer " .. os.getenv("BENCH_TOKEN") }
math.randomseed(os.time())

request = function()
    return wrk.format("GET", path:format(math.random(1, 10000)), headers)
end

done = function(summary, latency)
    local bad = summary.errors.status + summary.errors.connect + summary.errors.read + summary.errors.timeout
    print(("COUNTS %d %d %d %d"):format(summary.requests, summary.duration, bad, latency:percentile(50)))
end
