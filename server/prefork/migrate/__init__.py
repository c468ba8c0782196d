"""Settings of other servers as settings of prefork: text in, a `Migration` out.

Owns: reading what gunicorn, uWSGI, waitress-serve and mod_wsgi-express are configured with, and saying what it is here.
Runs in: cli (`prefork migrate`). Must not know: files and the environment (a `World` is handed in), the terminal.

Nothing that is read is ever executed: Python is looked at as a syntax tree, includes are read, programs are not run.

    reading      which kind of text it is, the way from text to `Given`s
    pyconfig     gunicorn.conf.py         pyvalues   what a Python expression is worth without running it
    arguments    command lines            uwsgi_*    ini, XML, YAML, JSON, placeholders and logic
    *_table      one table a source: option -> what becomes of it (docs/migrate.md is made from these)
    draft        what has become of all   writer     the same as TOML
"""
