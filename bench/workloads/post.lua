-- post: 16 KiB that the application sends back
wrk.method = "POST"
wrk.body = string.rep("p", 16 * 1024)
wrk.headers["Content-Type"] = "application/octet-stream"
