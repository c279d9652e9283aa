-- Four reads of 10,000 things for each create of another one; BENCH_PAUSE is what a connection waits between two requests, in ms.
local token = "Bearer " .. os.getenv("BENCH_TOKEN")
local path = os.getenv("BENCH_PATH")
local run = os.getenv("BENCH_RUN")
local pause = tonumber(os.getenv("BENCH_PAUSE") or "")
local number = 0
local fields = {}
for field = 1, 18 do
    fields[field] = ('"field_%02d":"value-%02d-of-it"'):format(field, field)
end
local rest = table.concat(fields, ",")
math.randomseed(os.time())

request = function()
    number = number + 1
    if number % 5 ~= 0 then
        return wrk.format("GET", path .. "/t-" .. math.random(1, 10000), { ["Authorization"] = token })
    end
    local id = run .. "-" .. number
    return wrk.format("POST", path, {
        ["Authorization"] = token,
        ["Content-Type"] = "application/json",
        ["Idempotency-Key"] = '"' .. id .. '"',
    }, ('{"id":"%s","name":"thing","vlan":101,%s}'):format(id, rest))
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
