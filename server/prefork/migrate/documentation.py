"""docs/migrate.md: what `prefork migrate` does, and the tables of all options.

Owns: the text of that page; the tables come from the code. Pure. Runs in: cli. Must not know: any option.
"""

from __future__ import annotations

from prefork.migrate.gunicorn_table import GUNICORN
from prefork.migrate.modwsgi_table import MOD_WSGI
from prefork.migrate.rows import Source
from prefork.migrate.uwsgi_table import UWSGI
from prefork.migrate.waitress_table import WAITRESS

_HEAD = """\
# Coming from another server

`prefork migrate` reads the settings of gunicorn, uWSGI, waitress-serve or mod_wsgi-express and writes a settings file that means the same.
Nothing that it reads is executed.

```console
$ prefork migrate gunicorn.conf.py -o server.toml
$ prefork migrate gunicorn.conf.py --gunicorn "shop:app --workers 4" -o server.toml     # a file, and the command line over it
$ prefork migrate uwsgi.ini -o server.toml                    # also .yaml (pip install 'prefork[migrate]'), .xml, .json; FILE:SECTION
$ prefork migrate Procfile                                    # or a script, a unit of systemd, a Dockerfile that starts one of them
$ prefork migrate --waitress "--listen=*:8080 shop:app"
$ prefork migrate --mod-wsgi "start-server shop/wsgi.py --processes 2"
$ prefork check -c server.toml
```

- Every line says what it came from: `count = 4  # gunicorn: workers = 4`. What the other server does without being told and prefork does not is a line too
  (`# gunicorn's default: ...`), so that listeners, workers, threads and limits stay the same.
- The end of the file, and standard error, have what could not be known without running the file, what has no equivalent and why, and what is not quite
  the same.
- Relative paths start in the directory the old server was started in: the current one, or `--directory`.
- A file that is there is not written over without `--force`.
- If the settings name no application, it is looked for as `prefork init` does, or `--app MODULE:APP` says it.

**Python files** are read as a syntax tree: literals, arithmetic, texts put together, names bound before, `os.path` and `pathlib`, lists that grow, `if` whose
condition is known. `os.environ.get("X", default)` is the default, with a comment; a number that depends on the CPUs is `"auto"` for `workers`. What else
would have to be run is listed with its line. **uWSGI's** placeholders (`%(name)`, `%n`, `%d`), `for`, `if-...`, sections and inheritance are followed; the
environment is not looked at. XML with a document type is refused.
"""  # noqa: E501


def page() -> str:
    """The whole page."""
    sources = (GUNICORN, UWSGI, WAITRESS, MOD_WSGI)
    tables = [f"\n## {each.say}\n\n| option | prefork | |\n|---|---|---|\n{_table(each)}" for each in sources]
    return "".join([_HEAD, *tables, "\nMade by `prefork migrate --tables`.\n"])


def _table(source: Source) -> str:
    shared: dict[tuple[str, str], list[str]] = {}
    for row in source.rows:
        shared.setdefault((row.to, row.says), []).extend(f"`{name}`" for name in (row.option, *row.names))
    return "".join(_row(to, says, names) for (to, says), names in shared.items())


def _row(to: str, says: str, names: list[str]) -> str:
    keys = ", ".join(f"`{key}`" for key in to.split(", ")) if to else "-"
    return f"| {', '.join(names)} | {keys} | {says} |\n".replace("  |", " |")
