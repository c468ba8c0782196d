-- unique: 10 header fields, five of them (cookie, forwarded address, request id, traceparent, query) different on every
-- request, as behind a proxy. 20,000 different requests are made before the run, so that wrk's own cost stays out of it.
local requests, at = {}, 0
local function hex(length)
  local digits = {}
  for i = 1, length do digits[i] = string.format("%x", math.random(0, 15)) end
  return table.concat(digits)
end
function init(args)
  math.randomseed(7)
  for i = 1, 20000 do
    requests[i] = wrk.format("GET", "/items/17?q=" .. hex(8), {
      ["Host"] = "bench.test",
      ["User-Agent"] = "Mozilla/5.0 (X11; Linux x86_64) Gecko/20100101",
      ["Accept"] = "*/*",
      ["Accept-Encoding"] = "gzip",
      ["Cookie"] = "sid=" .. hex(32),
      ["X-Forwarded-For"] = "10.0." .. math.random(0, 255) .. "." .. math.random(1, 254),
      ["X-Forwarded-Proto"] = "https",
      ["X-Request-ID"] = hex(32),
      ["Traceparent"] = "00-" .. hex(32) .. "-" .. hex(16) .. "-01",
      ["X-Real-IP"] = "10.0.0.1",
    })
  end
end
function request()
  at = at % #requests + 1
  return requests[at]
end
