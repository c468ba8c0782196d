"""The framework tests' pages (see `functional/test_frameworks.py`) in Django, settings and all."""

from __future__ import annotations

import hashlib
import sys
from collections.abc import Iterator

import django
from django.conf import settings
from django.core.handlers.wsgi import WSGIHandler
from django.http import HttpRequest, HttpResponse, HttpResponseRedirect, JsonResponse, StreamingHttpResponse
from django.urls import path

from gates import wait_at

settings.configure(
    ALLOWED_HOSTS=["*"],
    INSTALLED_APPS=["django.contrib.sessions"],
    MIDDLEWARE=["django.contrib.sessions.middleware.SessionMiddleware"],
    ROOT_URLCONF=__name__,
    SECRET_KEY="only for tests",
    SESSION_ENGINE="django.contrib.sessions.backends.signed_cookies",
    USE_TZ=True,
    LOGGING={
        "version": 1,
        "handlers": {"stderr": {"class": "logging.StreamHandler", "stream": sys.stderr}},
        "loggers": {"django.request": {"handlers": ["stderr"], "level": "ERROR"}},
    },
)
django.setup()


def home(request: HttpRequest) -> HttpResponse:
    return HttpResponse("home of django")


def login(request: HttpRequest) -> HttpResponse:
    request.session["user"] = request.POST["user"]
    response = HttpResponseRedirect("/me")
    response.status_code = 303
    return response


def me(request: HttpRequest) -> HttpResponse:
    user = request.session.get("user")
    return HttpResponse(user) if user else HttpResponse("nobody", status=401)


def upload(request: HttpRequest) -> HttpResponse:
    file = request.FILES["file"]
    sha256, size = hashlib.sha256(), 0
    for data in file.chunks():
        sha256.update(data)
        size += len(data)
    return JsonResponse({"name": file.name, "size": size, "sha256": sha256.hexdigest()})


def stream(request: HttpRequest) -> StreamingHttpResponse:
    gate = request.GET["gate"]

    def pieces() -> Iterator[str]:
        yield "first\n"
        wait_at(gate)
        yield "second\n"

    return StreamingHttpResponse(pieces(), content_type="text/plain")


def moved(request: HttpRequest) -> HttpResponse:
    return HttpResponseRedirect("/")


def cookie(request: HttpRequest) -> HttpResponse:
    return HttpResponse(str(len(request.COOKIES["big"])))


def header(request: HttpRequest) -> HttpResponse:
    return HttpResponse("large", headers={"X-Large": "x" * 16384})


def greetings(request: HttpRequest) -> HttpResponse:
    return HttpResponse("grüße an " + request.GET["an"])


def boom(request: HttpRequest) -> HttpResponse:
    raise RuntimeError("boom in django")


urlpatterns = [
    path("", home),
    path("login", login),
    path("me", me),
    path("upload", upload),
    path("stream", stream),
    path("redirect", moved),
    path("cookie", cookie),
    path("header", header),
    path("grüße/日本", greetings),
    path("boom", boom),
]

app = WSGIHandler()
