-- Sends the lines of a file in turn: as JSON bodies, or asks for them as paths. Prints one line of JSON at the end.
--   wrk ... -s send.lua URL -- bodies|paths FILE

local requests = {}
local at = 0

function init(args)
   local headers = { ["Content-Type"] = "application/json" }
   for name, value in pairs(wrk.headers) do
      headers[name] = value
   end
   for line in io.lines(args[2]) do
      local is_path = args[1] == "paths"
      requests[#requests + 1] = is_path and wrk.format("GET", line) or wrk.format("POST", nil, headers, line)
   end
end

function request()
   at = at % #requests + 1
   return requests[at]
end

function done(summary, latency, _)
   local failed = summary.errors
   print(string.format(
      '{"requests": %d, "duration_us": %d, "p50_us": %d, "p99_us": %d, "errors": %d}',
      summary.requests, summary.duration, latency:percentile(50), latency:percentile(99),
      failed.connect + failed.read + failed.write + failed.status + failed.timeout
   ))
end
