-- Four reads of 10,000 things for each create of another one.
local token = "Bearer " .. os.getenv("BENCH_TOKEN")
local path = os.getenv("BENCH_PATH")
local run = os.getenv("BENCH_RUN")
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

dofile(debug.getinfo(1, "S").source:match("^@(.*/)") .. "counts.lua")
