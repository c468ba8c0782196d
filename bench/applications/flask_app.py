"""A page made from a template by Flask."""

from __future__ import annotations

import flask

PAGE = """<!doctype html><title>{{ title }}</title><ul>{% for item in items %}<li>{{ item.name }}: {{ item.price }}</li>
{% endfor %}</ul>"""

app = flask.Flask(__name__)


@app.get("/")
def page() -> str:
    """Twenty items."""
    items = [{"name": f"item <{number}>", "price": number * 1.5} for number in range(20)]
    return flask.render_template_string(PAGE, title="Items", items=items)
