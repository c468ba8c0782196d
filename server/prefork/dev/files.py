"""Which files the running program is made of.

Owns: the choice of the files that are watched, and their stamps. Runs in: a worker of `prefork --dev`, and the processes of
`run_simple`. Must not know: who waits for a change, what is done about one.

Watched are the Python files below the application's directories, whether they have been imported or not (a file that does not
compile has not), the files of imported modules, and whatever else was named. What is installed (site-packages, the standard
library) is looked at too, but seldom: it changes when somebody runs pip.
"""

from __future__ import annotations

import fnmatch
import os
import site
import sys
import sysconfig
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path

MOST_FILES = 5000
"""So many files of a directory are found by walking; those that are imported are watched in any case."""

_SKIPPED = frozenset({"__pycache__", "node_modules", "site-packages", "dist-packages"})

Stamp = tuple[int, int, int]
"""What changes with the content: time of modification in ns, size in bytes, inode (an editor may put a new file in its
place)."""
GONE: Stamp = (0, 0, 0)


def stamp_of(path: str) -> Stamp:
    """The stamp of a file now; GONE if there is none."""
    try:
        found = os.stat(path)  # noqa: PTH116 - some thousand times a second
    except (OSError, ValueError):
        return GONE
    return found.st_mtime_ns, found.st_size, found.st_ino


def installed_places() -> tuple[str, ...]:
    """Directories whose files are installed rather than edited."""
    paths = sysconfig.get_paths()
    places = [paths[name] for name in ("stdlib", "platstdlib", "purelib", "platlib")]
    places += site.getsitepackages() if hasattr(site, "getsitepackages") else []
    places.append(str(Path(__file__).resolve().parents[1]))
    return tuple(sorted({os.path.join(place, "") for place in places}))  # noqa: PTH118


def python_files(directory: str, most: int = MOST_FILES) -> Iterator[str]:
    """The Python files below a directory, without hidden directories, caches and virtual environments."""
    found = 0
    for top, directories, names in os.walk(directory):
        if "pyvenv.cfg" in names and top != directory:
            directories.clear()
            continue
        directories[:] = [each for each in directories if each not in _SKIPPED and not each.startswith(".")]
        for name in names:
            if name.endswith(".py"):
                yield os.path.join(top, name)  # noqa: PTH118
                found += 1
                if found >= most:
                    return


def module_files() -> Iterator[str]:
    """The files of all imported modules: their source, or for extension modules the library."""
    for module in list(sys.modules.values()):
        name = getattr(module, "__file__", None)
        if type(name) is str and os.path.isabs(name):  # noqa: PTH117
            yield name.removesuffix("c") if name.endswith(".pyc") else name


class FileSet:
    """The files that are watched, as of now."""

    def __init__(
        self,
        directories: Iterable[str] = (),
        extra_files: Iterable[str] = (),
        exclude_patterns: Iterable[str] = (),
        installed: Sequence[str] | None = None,
    ) -> None:
        """`directories` are walked. `extra_files` are files; of a directory among them every file counts. Patterns are those of
        fnmatch, on the whole path."""
        self._directories = [os.path.abspath(each) for each in directories]  # noqa: PTH100
        self._extra = [os.path.abspath(each) for each in extra_files]  # noqa: PTH100
        self._exclude = tuple(exclude_patterns)
        self._installed = installed_places() if installed is None else tuple(installed)
        self._decided: dict[str, bool] = {}

    def is_installed(self, path: str) -> bool:
        """Whether the file came with a package, so that nobody edits it."""
        return path.startswith(self._installed)

    def own(self) -> list[str]:
        """What people edit."""
        paths = [path for path in module_files() if not self.is_installed(path)]
        for directory in self._directories:
            paths += python_files(directory)
        return self._chosen([*paths, *self._extras()])

    def installed(self) -> list[str]:
        """What pip changes."""
        return self._chosen(path for path in module_files() if self.is_installed(path))

    def roots(self) -> list[str]:
        """The directories and files that hold all of `own`, for those who watch directories."""
        roots = {*self._directories, *self._extra}
        roots.update(os.path.dirname(path) for path in self.own())  # noqa: PTH120
        return sorted(each for each in roots if os.path.exists(each))  # noqa: PTH110

    def _extras(self) -> Iterator[str]:
        for path in self._extra:
            if os.path.isdir(path):  # noqa: PTH112
                for top, _, names in os.walk(path):
                    yield from (os.path.join(top, name) for name in names)  # noqa: PTH118
            else:
                yield path

    def _chosen(self, paths: Iterable[str]) -> list[str]:
        return [path for path in dict.fromkeys(paths) if self._is_wanted(path)]

    def _is_wanted(self, path: str) -> bool:
        if not self._exclude:
            return True
        known = self._decided.get(path)
        if known is None:
            known = self._decided[path] = not any(fnmatch.fnmatch(path, each) for each in self._exclude)
        return known


def stamps(paths: Iterable[str]) -> dict[str, Stamp]:
    """The stamps of these files now."""
    return {path: stamp_of(path) for path in paths}


def differences(before: Mapping[str, Stamp], paths: Iterable[str]) -> list[str]:
    """Those of `paths` and of `before` that are not as they were. Files that `before` does not have are no difference."""
    known = before.get
    changed = [path for path in paths if known(path, None) not in (None, stamp_of(path))]
    return changed + [path for path in before.keys() - set(paths) if stamp_of(path) != before[path]]
