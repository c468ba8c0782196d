"""A page made from a template by Flask."""

from __future__ import annotations

import flask
import jinja2

PAGE = """<!doctype html><title>{{ title }}</title><ul>{% for item in items %}<li>{{ item.name }}: {{ item.price }}</li>
{% endfor %}</ul>"""

app = flask.Flask(__name__)
app.jinja_loader = jinja2.DictLoader({"page.html": PAGE})  # compiled once, as templates of a site are


@app.get("/")
def page() -> str:
    """Twenty items."""
    items = [{"name": f"item <{number}>", "price": number * 1.5} for number in range(20)]
    return flask.render_template("page.html", title="Items", items=items)
