"""A real terminal: a tmux of its own with a shell in it, whose keys and screen a test has."""

from __future__ import annotations

import contextlib
import os
import re
import shlex
import shutil
import subprocess
import tempfile
from collections.abc import Sequence
from pathlib import Path

from support import processes
from support.deadline import DEADLINE_S, SLOWNESS, Deadline, eventually

PROMPT = "ready>"

MISSING = (
    "" if shutil.which("tmux") else "tmux is not installed (Debian: apt-get install tmux; .ci/run does it)"
)


class Tmux:
    """A terminal of `width` by `height` characters. A context manager."""

    def __init__(self, width: int = 100, height: int = 30) -> None:
        # The path of a socket has room for 107 bytes (unix(7)): not in a test's directory.
        self._directory = Path(tempfile.mkdtemp(prefix="tmux-"))
        self._socket = self._directory / "s"
        # A configuration that does not depend on who runs the tests; with job control.
        shell = f"env PS1='{PROMPT} ' ENV= sh -i"
        (self._directory / "conf").write_text('set -g default-terminal "tmux-256color"\nset -g status off\n')
        self._tmux(
            "-f",
            str(self._directory / "conf"),
            "new-session",
            "-d",
            "-x",
            str(width),
            "-y",
            str(height),
            shell,
        )
        self.server_pid, self._shell_pid = map(int, self.ask("#{pid} #{pane_pid}").split())

    def __enter__(self) -> Tmux:
        self.wait_for(PROMPT)
        return self

    def __exit__(self, *_: object) -> None:
        self._tmux("kill-server")
        processes.wait_session_gone(self._shell_pid, Deadline())
        eventually(lambda: not processes.is_alive(self.server_pid), "the end of tmux")
        with contextlib.suppress(ChildProcessError):  # it was left to us, see `processes.become_subreaper`
            os.waitpid(self.server_pid, 0)
        shutil.rmtree(self._directory)

    def _tmux(self, *words: str) -> str:
        done = subprocess.run(
            ["tmux", "-u", "-S", str(self._socket), *words],
            env={**os.environ, "LC_ALL": "C.UTF-8", "PYTHONDONTWRITEBYTECODE": "1"},
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=DEADLINE_S * SLOWNESS,
            check=False,
        )
        assert done.returncode == 0, done.stderr
        return done.stdout

    def ask(self, form: str) -> str:
        """What tmux knows about the terminal, such as `#{alternate_on}` (tmux(1), FORMATS)."""
        return self._tmux("display-message", "-p", form).strip()

    def keys(self, *names: str) -> None:
        """Press keys, by tmux's names for them."""
        self._tmux("send-keys", *names)

    def run(self, *words: str) -> None:
        """Type a command."""
        self._tmux("send-keys", "-l", shlex.join(words))
        self.keys("Enter")

    def resize(self, width: int, height: int) -> None:
        """Another size."""
        self._tmux("resize-window", "-x", str(width), "-y", str(height))

    @property
    def lines(self) -> Sequence[str]:
        """The screen as it is."""
        return self._tmux("capture-pane", "-p").split("\n")[:-1]

    def coloured(self) -> str:
        """The screen with its escape sequences, to the ends of its lines."""
        return self._tmux("capture-pane", "-p", "-e", "-N")

    def wait_for(self, pattern: str, deadline_s: float = DEADLINE_S) -> re.Match[str]:
        """Until the regular expression is found on the screen, line by line."""
        compiled = re.compile(pattern, re.MULTILINE)
        deadline = Deadline(deadline_s)
        while True:
            screen = "\n".join(self.lines)
            found = compiled.search(screen)
            if found:
                return found
            assert not deadline.passed, f"no sign of /{pattern}/ on the screen:\n{screen}"
            deadline.pause()
