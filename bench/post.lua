-- Creates with 20 fields and a number of their own, each with a key of its own.
local path = os.getenv("BENCH_PATH")
local token = "Bearer " .. os.getenv("BENCH_TOKEN")
local run = os.getenv("BENCH_RUN") or tostring(os.time())
local number = 0
local fields = {}
for field = 1, 18 do
    fields[field] = ('"field_%02d":"value-%02d-of-it"'):format(field, field)
end
local rest = table.concat(fields, ",")

request = function()
    number = number + 1
    local id = run .. "-" .. number
    return wrk.format("POST", path, {
        ["Authorization"] = token,
        ["Content-Type"] = "application/json",
        ["Idempotency-Key"] = '"' .. id .. '"',
    }, ('{"id":"%s","name":"thing","vlan":101,%s}'):format(id, rest))
end

done = function(summary, latency)
    local bad = summary.errors.status + summary.errors.connect + summary.errors.read + summary.errors.timeout
    print(("COUNTS %d %d %d %d"):format(summary.requests, summary.duration, bad, latency:percentile(50)))
end
