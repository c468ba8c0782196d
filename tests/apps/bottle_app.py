"""The framework tests' pages (see `functional/test_frameworks.py`) in Bottle."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator

from bottle import Bottle, HTTPResponse, redirect, request, response

from gates import wait_at

KEY = "only for tests"
app = Bottle()


@app.get("/")
def home() -> str:
    return "home of bottle"


@app.post("/login")
def login() -> HTTPResponse:
    answer = HTTPResponse(status=303, headers={"Location": "/me"})
    answer.set_cookie("user", request.forms.getunicode("user"), secret=KEY)
    return answer


@app.get("/me")
def me() -> object:
    return request.get_cookie("user", secret=KEY) or HTTPResponse("nobody", 401)


@app.post("/upload")
def upload() -> dict[str, object]:
    file = request.files["file"]
    sha256, size = hashlib.sha256(), 0
    while data := file.file.read(65536):
        sha256.update(data)
        size += len(data)
    return {"name": file.filename, "size": size, "sha256": sha256.hexdigest()}


@app.get("/stream")
def stream() -> Iterator[str]:
    gate = request.query["gate"]
    response.content_type = "text/plain"
    yield "first\n"
    wait_at(gate)
    yield "second\n"


@app.get("/redirect")
def moved() -> None:
    redirect("/", 302)


@app.get("/cookie")
def cookie() -> str:
    return str(len(request.cookies["big"]))


@app.get("/header")
def header() -> str:
    response.set_header("X-Large", "x" * 16384)
    return "large"


@app.get("/grüße/日本")
def greetings() -> str:
    return "grüße an " + request.query.getunicode("an")


@app.get("/boom")
def boom() -> str:
    raise RuntimeError("boom in bottle")
