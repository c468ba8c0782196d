import os
from pathlib import Path

BASE = Path(__file__).resolve().parent
STAGE = os.environ.get("STAGE", "live").lower()
_settings = {"live": (3, 8), "test": (1, 2)}

if STAGE == "live":
    bind = "0.0.0.0:8006"
    accesslog = None
    loglevel = "error"
else:
    bind = "127.0.0.1:8006"
    reload = True
    loglevel = "debug"

workers, threads = _settings[STAGE][0], _settings[STAGE][1]
pidfile = str(BASE / "shop.pid")
max_requests = 10 * 1000
timeout = 60 * 5
wsgi_app = ":".join(["shop.wsgi", "application"])
