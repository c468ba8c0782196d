import logging
from shop import settings

logger_class = settings.LOGGER
logconfig_dict = {"version": 1, "loggers": {"gunicorn.error": {"level": "INFO"}}}
bind = "127.0.0.1:8005"
workers: int = 2
try:
    threads = settings.THREADS
except AttributeError:
    threads = 2
capture_output = True
timeout = 0
graceful_timeout = 10
wsgi_app = "shop:app"


class Log(logging.Filter):
    pass


def worker_exit(server, worker):
    from prometheus_client import multiprocess

    multiprocess.mark_process_dead(worker.pid)


def on_starting(server):
    pass
