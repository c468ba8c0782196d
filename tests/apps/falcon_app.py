"""The framework tests' pages (see `functional/test_frameworks.py`) in Falcon."""

from __future__ import annotations

import hashlib
import hmac
from collections.abc import Iterator

import falcon

from gates import wait_at

KEY = b"only for tests"


def signature(user: str) -> str:
    return hmac.new(KEY, user.encode(), hashlib.sha256).hexdigest()


class Home:
    def on_get(self, request: falcon.Request, response: falcon.Response) -> None:
        response.text = "home of falcon"

    def on_head(self, request: falcon.Request, response: falcon.Response) -> None:
        self.on_get(request, response)


class Login:
    """Falcon has no sessions of its own: a signed cookie does what they do elsewhere."""

    def on_post(self, request: falcon.Request, response: falcon.Response) -> None:
        user = request.get_media()["user"]
        response.set_cookie("session", f"{user}.{signature(user)}", secure=False)
        raise falcon.HTTPSeeOther("/me")


class Me:
    def on_get(self, request: falcon.Request, response: falcon.Response) -> None:
        user, _, signed = request.cookies.get("session", "").partition(".")
        if not hmac.compare_digest(signed, signature(user)):
            raise falcon.HTTPUnauthorized(title="nobody")
        response.text = user


class Upload:
    def on_post(self, request: falcon.Request, response: falcon.Response) -> None:
        for part in request.get_media():
            sha256, size = hashlib.sha256(), 0
            while data := part.stream.read(65536):
                sha256.update(data)
                size += len(data)
            response.media = {"name": part.filename, "size": size, "sha256": sha256.hexdigest()}


class Stream:
    def on_get(self, request: falcon.Request, response: falcon.Response) -> None:
        gate = request.get_param("gate", required=True)

        def pieces() -> Iterator[bytes]:
            yield b"first\n"
            wait_at(gate)
            yield b"second\n"

        response.content_type = "text/plain"
        response.stream = pieces()


class Moved:
    def on_get(self, request: falcon.Request, response: falcon.Response) -> None:
        raise falcon.HTTPFound("/")


class Cookie:
    def on_get(self, request: falcon.Request, response: falcon.Response) -> None:
        response.text = str(len(request.cookies["big"]))


class Header:
    def on_get(self, request: falcon.Request, response: falcon.Response) -> None:
        response.text = "large"
        response.set_header("X-Large", "x" * 16384)


class Greetings:
    def on_get(self, request: falcon.Request, response: falcon.Response) -> None:
        response.text = "grüße an " + request.get_param("an", required=True)


class Boom:
    def on_get(self, request: falcon.Request, response: falcon.Response) -> None:
        raise RuntimeError("boom in falcon")


app = falcon.App()
app.add_route("/", Home())
app.add_route("/login", Login())
app.add_route("/me", Me())
app.add_route("/upload", Upload())
app.add_route("/stream", Stream())
app.add_route("/redirect", Moved())
app.add_route("/cookie", Cookie())
app.add_route("/header", Header())
app.add_route("/grüße/日本", Greetings())
app.add_route("/boom", Boom())
