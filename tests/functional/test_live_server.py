"""`make_server` as the live server of Django's tests, with a database in memory that both sides see."""

from __future__ import annotations

import pytest

from support.child import run

SCRIPT = """
import sys, unittest, urllib.request
import django
from django.conf import settings

settings.configure(
    DEBUG=True,
    ROOT_URLCONF=__name__,
    ALLOWED_HOSTS=["*"],
    SECRET_KEY="x",
    USE_TZ=True,
    STATIC_URL="/static/",
    INSTALLED_APPS=["django.contrib.contenttypes", "django.contrib.auth", "django.contrib.staticfiles"],
    DATABASES={"default": {"ENGINE": "django.db.backends.sqlite3", "NAME": ":memory:"}},
)
django.setup()

import prefork
from django.contrib.auth.models import User
from django.contrib.staticfiles.testing import StaticLiveServerTestCase
from django.http import HttpResponse
from django.test.testcases import LiveServerThread
from django.test.utils import get_runner
from django.urls import path

def names(request):
    return HttpResponse(",".join(User.objects.values_list("username", flat=True)))

urlpatterns = [path("names", names)]

class Thread(LiveServerThread):
    def _create_server(self, connections_override=None):
        return prefork.make_server(self.host, self.port, None)

class Live(StaticLiveServerTestCase):
    server_thread_class = Thread

    def get(self, path):
        with urllib.request.urlopen(self.live_server_url + path) as answer:
            return answer.headers["Server"], answer.read().decode()

    def test_what_the_test_wrote(self):
        User.objects.create_user("ada")
        self.assertEqual(self.get("/names"), ("prefork", "ada"))

    def test_again(self):
        User.objects.create_user("grace")
        self.assertEqual(self.get("/names"), ("prefork", "grace"))

runner = get_runner(settings)(verbosity=0)
runner.setup_test_environment()
databases = runner.setup_databases()
result = unittest.TextTestRunner(sys.stdout).run(unittest.defaultTestLoader.loadTestsFromTestCase(Live))
runner.teardown_databases(databases)
assert result.wasSuccessful()
"""


def test_a_live_server_of_django() -> None:
    pytest.importorskip("django")
    output = run(SCRIPT)
    assert "Ran 2 tests" in output
    assert '"GET /names HTTP/1.1" 200' in output
