from os import environ as env

bind = env.get("BIND", "127.0.0.1:8004")
workers = int(env.get("WEB_CONCURRENCY", 2))
threads = int(env.get("PYTHON_MAX_THREADS", "1")) * 2
statsd_host = "localhost:8125"
statsd_prefix = "shop.web"
dogstatsd_tags = "env:live,team:web"
syslog = True
syslog_addr = "unix:///dev/log#dgram"
secure_scheme_headers = {"X-FORWARDED-PROTO": "https"}
forwarded_allow_ips = "127.0.0.1,10.1.0.0/16"
reload = False
daemon = False
pythonpath = "lib,."
wsgi_app = "shop:app"
SECRET = env["SECRET"]
