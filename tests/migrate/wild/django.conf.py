"""gunicorn WSGI server configuration."""
from multiprocessing import cpu_count
from os import environ


def max_workers():
    return cpu_count()


bind = '0.0.0.0:' + environ.get('PORT', '8000')
max_requests = 1000
worker_class = 'sync'
workers = 3
threads = 1
preload_app = True
chdir = "."
wsgi_app = "shop.wsgi"
raw_env = ["DJANGO_SETTINGS_MODULE=shop.settings", "TZ=UTC"]
