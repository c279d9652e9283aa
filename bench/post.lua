-- Creates of 21 fields, of which 20 are rendered, each with an id and an idempotency key that no other has: BENCH_RUN tells runs apart.
local head, rest
local run = os.getenv("BENCH_RUN")
local number = 0

init = function()
    local fields = {}
    for field = 1, 18 do
        fields[field] = ('"field_%02d":"value-%02d-of-it"'):format(field, field)
    end
    rest = ('","name":"thing","vlan":101,%s}'):format(table.concat(fields, ","))
    -- Every id is as long as the others, so one head does for all bodies.
    local body = ("x"):rep(#'{"id":"' + #run + #"-00000001" + #rest)
    local plain = wrk.format("POST", os.getenv("BENCH_PATH"), {
        ["Authorization"] = "Bearer " .. os.getenv("BENCH_TOKEN"),
        ["Content-Type"] = "application/json",
    }, body)
    head = plain:sub(1, -#body - 3) .. 'Idempotency-Key: "'
end

request = function()
    number = number + 1
    local id = ("%s-%08d"):format(run, number)
    return head .. id .. '"\r\n\r\n{"id":"' .. id .. rest
end

dofile(debug.getinfo(1, "S").source:match("^@(.*/)") .. "counts.lua")
