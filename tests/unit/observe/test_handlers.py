"""The log handed over to the standard library's logging. In child processes: `logging` is one for a process."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from prefork.errors import ConfigError
from prefork.observe.handlers import for_master, read_config
from support.child import child
from support.deadline import DEADLINE_S, SLOWNESS

FORMAT = {"format": "%(levelname)s %(name)s %(event)s %(fields)s | %(message)s"}


def outcome(config: dict[str, Any], script: str, log_fd: int = 1) -> str:
    head = f"""
        import json, sys
        from prefork.observe import handlers
        from prefork.observe.handlers import LoggerSink, LoggerWriter, apply_config, apply_for_master
        from prefork.observe.log import Log
        from prefork.observe.sinks import LineSink
        config = json.loads({json.dumps(config)!r})
        log = Log(LoggerSink(LineSink({log_fd})), "info", role="worker", worker=2)
    """
    with child(head + script) as process:
        output, _ = process.communicate(timeout=DEADLINE_S * SLOWNESS)
        assert process.returncode == 0
    return str(output)


def to_stdout(**more: Any) -> dict[str, Any]:
    return {
        "formatters": {"plain": FORMAT},
        "handlers": {
            "out": {"class": "logging.StreamHandler", "stream": "ext://sys.stdout", "formatter": "plain"}
        },
        "root": {"level": "INFO", "handlers": ["out"]},
        **more,
    }


def test_records_go_to_the_logger_once_it_is_configured() -> None:
    script = """
        log.info("before")
        sys.stdout.flush()
        apply_config(config)
        log.debug("never")
        log.info("worker_ready", gen=3, none=None)
        try:
            raise KeyError("x")
        except KeyError as error:
            log.error("request_failed", error="KeyError", traceback="Traceback of ours", exception=error)
        log.warning("request_slow", traceback="  File a.py, line 1 in f")
        log.words("words\\n")
        log.words("\\n")
        log.traceback("alone")
    """
    lines = outcome(to_stdout(), script).splitlines()
    assert "event=before" in lines[0]
    assert lines[1] == (
        "INFO prefork worker_ready {'role': 'worker', 'worker': 2, 'gen': 3} | worker_ready worker=2 gen=3"
    )
    assert lines[2].endswith("| request_failed worker=2 error=KeyError")
    assert lines[3] == "Traceback (most recent call last):"
    assert "KeyError: 'x'" in lines
    assert "Traceback of ours" not in lines, "logging has the exception itself, so that Sentry sees it"
    slow = next(number for number, line in enumerate(lines) if "request_slow" in line)
    assert lines[slow + 1] == "  File a.py, line 1 in f"
    assert lines[slow + 2].endswith("wsgi_errors {'role': 'worker', 'worker': 2} | words")
    assert lines[slow + 3].endswith("| alone")
    assert len(lines) == slow + 4


def test_a_handler_that_raises_is_not_the_callers_problem() -> None:
    script = """
        import logging
        apply_config(config)
        class Broken(logging.Handler):
            def emit(self, record):
                raise ValueError("broken")
        writer = LoggerWriter()
        assert writer.write_all([b"a line\\n"])
        logging.getLogger("prefork").addHandler(Broken())
        log.info("x")
        assert not writer.write_all([b"a line\\n"])
        assert writer.lost == 1
        print("through")
    """
    lines = outcome(to_stdout(formatters={"plain": {"format": "%(name)s %(message)s"}}), script).splitlines()
    assert lines[-1] == "through"
    assert any("event=x" in line for line in lines), (
        "what the handler could not take is in the log as it is without one"
    )


def test_the_master_leaves_out_what_it_may_not_run() -> None:
    config = to_stdout(
        formatters={"plain": FORMAT, "odd": {"()": "shop.logs.Formatter", "format": "x"}},
        filters={"mine": {"()": "shop.logs.Filter"}, "theirs": {"name": "prefork"}},
        handlers={
            "out": {"class": "logging.StreamHandler", "formatter": "odd", "filters": ["mine", "theirs"]},
            "mail": {"class": "logging.handlers.SMTPHandler", "mailhost": "mail"},
            "syslog": {"class": "logging.handlers.SysLogHandler", "address": "/dev/log"},
            "far": {"class": "logging.handlers.SysLogHandler", "address": ["log.example.org", 514]},
            "sentry": {"class": "shop.logs.Handler"},
            "made": {"()": "shop.logs.make"},
        },
        loggers={
            "shop": {"handlers": ["sentry"]},
            "prefork": {"handlers": ["sentry", "out"], "level": "INFO"},
        },
        root={"handlers": ["mail", "syslog"]},
    )
    table, left_out = for_master(config)
    assert left_out == ["far", "made", "mail", "sentry"]
    assert table is not None
    assert table["handlers"].keys() == {"out", "syslog"}
    assert table["handlers"]["out"]["filters"] == ["theirs"]
    assert table["formatters"]["odd"] == {"class": "logging.Formatter", "format": "x"}
    assert table["loggers"] == {"prefork": {"handlers": ["out"], "level": "INFO"}}
    assert table["root"] == {"handlers": ["syslog"]}
    assert config["handlers"]["out"]["filters"] == ["mine", "theirs"], "what was given is left as it is"


def test_a_master_without_handlers_goes_on_as_before() -> None:
    config = to_stdout(handlers={"out": {"class": "shop.logs.Handler"}})
    assert for_master(config) == (None, ["out"])
    script = """
        assert apply_for_master(config) == ["out"]
        assert "shop" not in sys.modules
        log.info("ready")
    """
    assert "event=ready" in outcome(config, script)


@pytest.mark.parametrize(
    ("name", "text", "problem"),
    [
        ("x.toml", "a = ", "x.toml: "),
        ("x.json", "[1]", "must hold a table"),
        ("x.json", "{", "x.json: "),
        ("gone.toml", None, "gone.toml: no such file"),
    ],
)
def test_a_file_that_cannot_be_read_is_explained(
    tmp_path: Path, name: str, text: str | None, problem: str
) -> None:
    if text is not None:
        (tmp_path / name).write_text(text)
    with pytest.raises(ConfigError) as caught:
        read_config(str(tmp_path / name))
    assert problem in str(caught.value)
    assert len(caught.value.problems) == 1


def test_a_file(tmp_path: Path) -> None:
    path = tmp_path / "logging.toml"
    path.write_text('[root]\nlevel = "INFO"\n')
    assert read_config(str(path)) == {
        "version": 1,
        "disable_existing_loggers": False,
        "root": {"level": "INFO"},
    }
