import multiprocessing

bind = "127.0.0.1:8001"
workers = multiprocessing.cpu_count() * 2 + 1
worker_class = "gthread"
threads = 4
timeout = 120
keepalive = 5
max_requests = 1200
max_requests_jitter = 100
accesslog = "-"
errorlog = "-"
loglevel = "warning"
wsgi_app = "shop:app"
