"""The framework tests' pages (see `functional/test_frameworks.py`) in Pyramid."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator

from pyramid.config import Configurator
from pyramid.httpexceptions import HTTPFound, HTTPSeeOther, HTTPUnauthorized
from pyramid.request import Request
from pyramid.response import Response
from pyramid.session import JSONSerializer, SignedCookieSessionFactory

from gates import wait_at


def home(request: Request) -> Response:
    return Response("home of pyramid")


def login(request: Request) -> Response:
    request.session["user"] = request.POST["user"]
    # The cookie is set on the response of the view, so the redirect is returned, not raised.
    return HTTPSeeOther("/me")


def me(request: Request) -> Response:
    user = request.session.get("user")
    return Response(user) if user else HTTPUnauthorized()


def upload(request: Request) -> Response:
    field = request.POST["file"]
    sha256, size = hashlib.sha256(), 0
    while data := field.file.read(65536):
        sha256.update(data)
        size += len(data)
    return Response(json={"name": field.filename, "size": size, "sha256": sha256.hexdigest()})


def stream(request: Request) -> Response:
    gate = request.GET["gate"]

    def pieces() -> Iterator[bytes]:
        yield b"first\n"
        wait_at(gate)
        yield b"second\n"

    return Response(app_iter=pieces(), content_type="text/plain")


def moved(request: Request) -> Response:
    return HTTPFound("/")


def cookie(request: Request) -> Response:
    return Response(str(len(request.cookies["big"])))


def header(request: Request) -> Response:
    response = Response("large")
    response.headers["X-Large"] = "x" * 16384
    return response


def greetings(request: Request) -> Response:
    return Response("grüße an " + request.GET["an"])


def boom(request: Request) -> Response:
    """Pyramid lets it through: it is the server that has to answer 500."""
    raise RuntimeError("boom in pyramid")


VIEWS = {
    "/": home,
    "/login": login,
    "/me": me,
    "/upload": upload,
    "/stream": stream,
    "/redirect": moved,
    "/cookie": cookie,
    "/header": header,
    "/grüße/日本": greetings,
    "/boom": boom,
}

with Configurator() as config:
    config.set_session_factory(SignedCookieSessionFactory("only for tests", serializer=JSONSerializer()))
    for url, view in VIEWS.items():
        config.add_route(view.__name__, url)
        config.add_view(view, route_name=view.__name__)
    app = config.make_wsgi_app()
