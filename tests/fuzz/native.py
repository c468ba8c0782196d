"""`make asan`, `make fuzz-c`: the compiled twin under AddressSanitizer and UndefinedBehaviorSanitizer.

It is built into a scratch directory with every read and write checked, and with a count of each edge that runs. `tests` runs
the tests of the codec on that build. `fuzz` is coverage-guided: an input that reaches an edge no other has reached is kept and
changed further; each is also read by the Python twin, and must mean the same. Needs gcc, nothing else.
"""

from __future__ import annotations

import argparse
import ctypes
import os
import shutil
import subprocess
import sys
import sysconfig
import tempfile
import time
from pathlib import Path

HERE = Path(__file__).resolve().parent
SOURCES = HERE.parent.parent / "server" / "prefork"
MAP_SIZE = 8192
"""As in coverage.c."""

SANITIZERS = "-O1 -g -fno-omit-frame-pointer -fsanitize=address,undefined -fno-sanitize-recover=undefined -fPIC".split()
EXTENSIONS = ("_speedups", "_shared", "_access", "_fastpath", "_tls", "_orphan")

TESTS = [
    "tests/unit/ipc/test_seat.py",
    "tests/unit/ipc/test_cells.py",
    "tests/unit/ipc/test_scoreboard.py",
    "tests/unit/observe/test_access_twins.py",
    "tests/unit/worker/test_transport.py",
    "tests/unit/http/test_twins.py",
    "tests/unit/http/test_receiver.py",
    "tests/unit/http/test_response.py",
    "tests/unit/worker/test_fastpath.py",
    "tests/unit/worker/test_newcomer.py",
    "tests/unit/worker/test_connection.py",
    "tests/unit/worker/test_interruption.py",
    "tests/unit/zygote/test_orphan.py",
]


def build(scratch: Path) -> None:
    """The package, with the instrumented extension in it."""
    shutil.copytree(SOURCES, scratch / "prefork", ignore=shutil.ignore_patterns("*.so", "__pycache__"))
    include = f"-isystem{sysconfig.get_path('include')}"
    coverage = scratch / "coverage.o"
    gcc = ["gcc", *SANITIZERS, include]
    commands = [["gcc", "-O2", "-fPIC", "-c", str(HERE / "coverage.c"), "-o", str(coverage)]]
    for name in EXTENSIONS:
        target = scratch / "prefork" / f"{name}{sysconfig.get_config_var('EXT_SUFFIX')}"
        twins = []
        for source in sorted(SOURCES.glob(f"{name}*.c")):
            twins.append(str(scratch / f"{source.stem}.o"))
            commands.append([*gcc, "-fsanitize-coverage=trace-pc", "-c", str(source), "-o", twins[-1]])
        commands.append([*gcc, "-shared", *twins, str(coverage), "-o", str(target)])
    for command in commands:
        subprocess.run(command, check=True)


def environment(scratch: Path) -> dict[str, str]:
    """Of a Python that loads the build."""
    library = subprocess.run(
        ["gcc", "-print-file-name=libasan.so"], capture_output=True, text=True, check=True
    ).stdout.strip()
    return {
        **{name: value for name, value in os.environ.items() if name != "PREFORK_PURE"},
        "LD_PRELOAD": library,
        "ASAN_OPTIONS": "detect_leaks=0",  # the interpreter keeps what it has until it ends; test_twins counts instead
        "PYTHONMALLOC": "malloc",  # or the pools of Python would hide what is done to freed memory
        "PYTHONPATH": f"{scratch}{os.pathsep}{HERE.parent}",
        "PYTHONDONTWRITEBYTECODE": "1",
    }


def run_tests(scratch: Path, arguments: list[str]) -> int:
    """The tests of the codec; the exit code of pytest."""
    paths = f"pythonpath={scratch} {HERE.parent}"
    command = [
        sys.executable,
        "-X",
        "dev",
        "-m",
        "pytest",
        "-q",
        "-p",
        "no:cacheprovider",
        "-o",
        paths,
        *TESTS,
        *arguments,
    ]
    return subprocess.run(command, env=environment(scratch), cwd=HERE.parent.parent, check=False).returncode


def run_fuzzer(scratch: Path, seconds: float, seed: int) -> int:
    """The fuzzer in a process that ends with a report of the sanitizer if there is anything to report."""
    command = [sys.executable, "-X", "dev", "-m", "fuzz.native", "inside", str(seconds), str(seed)]
    return subprocess.run(command, env=environment(scratch), check=False).returncode


class Coverage:
    """What has been reached so far."""

    # As AFL counts: once, twice, a few times, often. A loop that runs 17 times instead of 16 is no news.
    _BUCKETS = bytes(
        0 if n == 0 else 1 if n == 1 else 2 if n == 2 else 4 if n < 8 else 8 if n < 32 else 16
        for n in range(256)
    )

    def __init__(self, extension: str) -> None:
        self._map = (ctypes.c_uint8 * MAP_SIZE).in_dll(ctypes.CDLL(extension), "prefork_coverage")
        self._seen = 0

    def forget(self) -> None:
        """Before an input."""
        ctypes.memset(self._map, 0, MAP_SIZE)

    def is_new(self) -> bool:
        """After an input: has it reached anything that no other has?"""
        reached = int.from_bytes(bytes(self._map).translate(self._BUCKETS), "little")
        fresh = reached & ~self._seen
        self._seen |= reached
        return bool(fresh)

    def edges(self) -> int:
        """How many edges have been reached, and how often is counted in steps."""
        return self._seen.bit_count()


def fuzz(seconds: float, seed: int) -> int:
    """Looks for a difference between the twins; the sanitizers look for everything else."""
    from fuzz.generate import Dice, damage_bytes, sample
    from prefork import _speedups  # type: ignore[attr-defined,unused-ignore]
    from unit.http import test_twins as twins

    coverage = Coverage(_speedups.__file__)
    dice = Dice(seed)
    corpus: list[bytes] = [*twins.HEADS]
    print(f"coverage-guided fuzzing: {seconds:.0f} seconds, seed {seed}", flush=True)
    end = time.monotonic() + seconds
    count = 0
    while time.monotonic() < end:
        for _ in range(200):
            count += 1
            if dice.chance(10):
                block = twins.head_of(sample(dice))
            else:
                block = dice.pick(corpus)
                for _ in range(1 + dice.below(4)):
                    block = damage_bytes(dice, block)
                if dice.chance(20):
                    other = dice.pick(corpus)
                    block = block[: dice.below(len(block) + 1)] + other[dice.below(len(other) + 1) :]
            coverage.forget()
            for limits in (twins.DEFAULT, twins.SMALL):
                twins.assert_read_alike(block, limits)
            fields = [tuple(line.decode("latin-1").split(": ", 1)) for line in block.split(b"\r\n")]
            twins.assert_built_alike("200 OK", fields)
            if coverage.is_new() and len(block) < 4000:
                corpus.append(block)
    print(
        f"{count} inputs, {coverage.edges()} edges and counts reached, {len(corpus)} inputs kept, no difference, no report"
    )
    return 0


def main() -> int:
    parser = argparse.ArgumentParser(prog="fuzz.native", description=__doc__)
    commands = parser.add_subparsers(dest="command", required=True)
    commands.add_parser("tests", help="run the tests of the codec; further arguments go to pytest")
    fuzzing = commands.add_parser("fuzz", help="coverage-guided fuzzing")
    fuzzing.add_argument("--seconds", type=float, default=60)
    fuzzing.add_argument("--seed", type=int, default=None, help="of the inputs; without it, the time of day")
    inside = commands.add_parser("inside")
    inside.add_argument("seconds", type=float)
    inside.add_argument("seed", type=int)
    arguments, rest = parser.parse_known_args()
    if arguments.command == "inside":
        return fuzz(arguments.seconds, arguments.seed)
    with tempfile.TemporaryDirectory(prefix="prefork-asan-") as directory:
        scratch = Path(directory)
        build(scratch)
        if arguments.command == "tests":
            return run_tests(scratch, rest)
        seed = int(time.time()) if arguments.seed is None else arguments.seed
        return run_fuzzer(scratch, arguments.seconds, seed)


if __name__ == "__main__":
    sys.exit(main())
