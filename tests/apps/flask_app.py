"""The framework tests' pages (see `functional/test_frameworks.py`) in Flask."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator

from flask import Flask, Response, redirect, request, session

from gates import wait_at

app = Flask(__name__)
app.secret_key = "only for tests"


@app.get("/")
def home() -> str:
    return "home of flask"


@app.post("/login")
def login() -> object:
    session["user"] = request.form["user"]
    return redirect("/me", 303)


@app.get("/me")
def me() -> object:
    return session.get("user", ("nobody", 401))


@app.post("/upload")
def upload() -> object:
    file = request.files["file"]
    sha256, size = hashlib.sha256(), 0
    while data := file.stream.read(65536):
        sha256.update(data)
        size += len(data)
    return {"name": file.filename, "size": size, "sha256": sha256.hexdigest()}


@app.get("/stream")
def stream() -> Response:
    gate = request.args["gate"]

    def pieces() -> Iterator[str]:
        yield "first\n"
        wait_at(gate)
        yield "second\n"

    return Response(pieces(), mimetype="text/plain")


@app.get("/redirect")
def moved() -> object:
    return redirect("/")


@app.get("/cookie")
def cookie() -> str:
    return str(len(request.cookies["big"]))


@app.get("/header")
def header() -> Response:
    return Response("large", headers={"X-Large": "x" * 16384})


@app.get("/grüße/日本")
def greetings() -> str:
    return "grüße an " + request.args["an"]


@app.get("/boom")
def boom() -> str:
    raise RuntimeError("boom in flask")
