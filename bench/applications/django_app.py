"""A page made from a template by Django, with the middleware of a new project."""

from __future__ import annotations

from django.conf import settings
from django.core.wsgi import get_wsgi_application
from django.http import HttpRequest, HttpResponse
from django.template import engines
from django.urls import path

PAGE = """<!doctype html><title>{{ title }}</title><ul>{% for item in items %}<li>{{ item.name }}: {{ item.price }}</li>
{% endfor %}</ul>"""

settings.configure(
    SECRET_KEY="of a benchmark",
    ALLOWED_HOSTS=["*"],
    ROOT_URLCONF=__name__,
    TEMPLATES=[{"BACKEND": "django.template.backends.django.DjangoTemplates"}],
    MIDDLEWARE=[
        "django.middleware.security.SecurityMiddleware",
        "django.middleware.common.CommonMiddleware",
        "django.middleware.csrf.CsrfViewMiddleware",
        "django.middleware.clickjacking.XFrameOptionsMiddleware",
    ],
)


def page(request: HttpRequest) -> HttpResponse:
    """Twenty items."""
    items = [{"name": f"item <{number}>", "price": number * 1.5} for number in range(20)]
    return HttpResponse(TEMPLATE.render({"title": "Items", "items": items}, request))


urlpatterns = [path("", page)]
app = get_wsgi_application()
TEMPLATE = engines["django"].from_string(PAGE)
