#!/bin/sh
set -e
python manage.py collectstatic --noinput
exec env STAGE=live uwsgi --http11-socket=:8018 --module shop:app -p 2 --threads 3 -M \
    --harakiri=15 --max-requests 900 --die-on-term -b 16384 --enable-threads
