"""nginx(8) and haproxy(1) in front of a server under test, each in the foreground with a configuration of the test's."""

from __future__ import annotations

import shutil
import socket
import subprocess
from pathlib import Path

from support.deadline import SLOWNESS, eventually

NGINX = shutil.which("nginx", path="/usr/sbin:/usr/bin:/sbin:/bin")
HAPROXY = shutil.which("haproxy", path="/usr/sbin:/usr/bin:/sbin:/bin")


def free_port() -> int:
    """A port of 127.0.0.1 that nobody has; neither program can tell which it took."""
    with socket.socket() as sock:
        sock.bind(("127.0.0.1", 0))
        return int(sock.getsockname()[1])


class Proxy:
    """A proxy that runs, and the ports it listens on."""

    def __init__(self, command: list[str], directory: Path, ports: tuple[int, ...]) -> None:
        self.ports = ports
        self._output = (directory / "output").open("w+b")
        self._process = subprocess.Popen(
            command, cwd=directory, stdin=subprocess.DEVNULL, stdout=self._output, stderr=self._output
        )
        try:
            eventually(self._answers, f"{command[0]}, which said: {self.output}")
        except BaseException:
            self.close()
            raise

    def _answers(self) -> bool:
        assert self._process.poll() is None, f"it ended: {self.output}"
        for port in self.ports:
            try:
                socket.create_connection(("127.0.0.1", port), timeout=10 * SLOWNESS).close()
            except ConnectionRefusedError:
                return False
        return True

    @property
    def output(self) -> str:
        """What it has said so far."""
        self._output.seek(0)
        return self._output.read().decode("utf-8", "replace")

    def close(self) -> None:
        """End it, and what belongs to it."""
        self._process.terminate()
        self._process.wait()
        self._output.close()


def nginx(directory: Path, http: str, ports: tuple[int, ...], stream: str = "") -> Proxy:
    """nginx with these servers and upstreams; `stream` needs its module, which Debian has apart."""
    assert NGINX is not None
    for name in ("logs", "body", "proxy"):
        (directory / name).mkdir(exist_ok=True)
    user = "user root;" if (directory.stat().st_uid == 0) else ""
    temporary = (
        "client_body_temp_path body; proxy_temp_path proxy; fastcgi_temp_path body; uwsgi_temp_path body;"
    )
    configuration = directory / "nginx.conf"
    configuration.write_text(
        f"""{user} daemon off; worker_processes 1; pid {directory}/pid; error_log stderr;
        events {{ worker_connections 256; }}
        http {{ access_log off; {temporary} scgi_temp_path body; {http} }}
        {stream}
        """
    )
    return Proxy([NGINX, "-p", str(directory), "-e", "stderr", "-c", str(configuration)], directory, ports)


def haproxy(directory: Path, sections: str, ports: tuple[int, ...]) -> Proxy:
    """HAProxy with these frontends and backends."""
    assert HAPROXY is not None
    configuration = directory / "haproxy.cfg"
    configuration.write_text(
        f"""global
    maxconn 200
defaults
    timeout connect 10s
    timeout client 60s
    timeout server 60s
{sections}
"""
    )
    return Proxy([HAPROXY, "-db", "-f", str(configuration)], directory, ports)
