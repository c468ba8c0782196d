# /etc/gunicorn/shop.conf.py
import os

ROOT = os.path.dirname(os.path.abspath(__file__))
NAME = "shop"

bind = f"unix:{ROOT}/{NAME}.sock"
umask = 0o007
workers = 2
backlog = 512
pidfile = os.path.join(ROOT, f"{NAME}.pid")
accesslog = os.path.join(ROOT, "access.log")
errorlog = "%s/%s" % (ROOT, "error.log")
access_log_format = '%({x-forwarded-for}i)s %(l)s %(u)s %(t)s "%(r)s" %(s)s %(b)s %(M)s'
proc_name = NAME
wsgi_app = "shop:create_app('live')"
worker_tmp_dir = "/dev/shm"


def post_fork(server, worker):
    server.log.info("Worker spawned (pid: %s)", worker.pid)


def when_ready(server):
    open("/tmp/app-initialized", "w").close()
