-- What every script of wrk has at its end: what measure.py reads off, and how long a connection waits between two requests, in ms
-- (BENCH_PAUSE).
local pause = tonumber(os.getenv("BENCH_PAUSE") or "")

if pause then
    delay = function()
        return pause
    end
end

done = function(summary, latency)
    local bad = summary.errors.status + summary.errors.connect + summary.errors.read + summary.errors.timeout
    print(("COUNTS %d %d %d %d"):format(summary.requests, summary.duration, bad, latency:percentile(50)))
end
