-- Sends the lines of a file in turn: as JSON bodies, as bodies of JSON and raw tensors (the length of the JSON and all bytes in
-- hexadecimal), or asks for them as paths. Prints one line of JSON at the end.
--   wrk ... -s send.lua URL -- bodies|tensors|paths FILE

local requests = {}
local at = 0

function init(args)
   local headers = { ["Content-Type"] = "application/json" }
   for name, value in pairs(wrk.headers) do
      headers[name] = value
   end
   for line in io.lines(args[2]) do
      if args[1] == "paths" then
         requests[#requests + 1] = wrk.format("GET", line)
      elseif args[1] == "tensors" then
         local length, hex = line:match("(%d+) (%x+)")
         headers["Inference-Header-Content-Length"] = length
         local body = hex:gsub("..", function(two) return string.char(tonumber(two, 16)) end)
         requests[#requests + 1] = wrk.format("POST", nil, headers, body)
      else
         requests[#requests + 1] = wrk.format("POST", nil, headers, line)
      end
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
