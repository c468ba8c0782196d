"""No gap is left in pages that are shared, and no cache holds on to names."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from prefork.zygote import sharing

has_pools = pytest.mark.skipif("PYTHONMALLOC" in os.environ, reason="as under a sanitizer")

PAGE_BYTES, POOL_BYTES = 4096, 16384
SIZE = 160
"""Of objects; one that few others have."""


@pytest.fixture(autouse=True)
def given_back() -> Iterator[None]:
    """What fills the gaps of this process belongs to the test."""
    yield
    sharing._fillers.clear()


def objects(count: int) -> list[bytes]:
    return [bytes(SIZE - sys.getsizeof(b"")) for _ in range(count)]


def with_gaps(count: int) -> tuple[list[bytes], set[int]]:
    """Objects, and where others have been between them."""
    old = objects(count)
    gaps = {id(block) for block in old[::2]}
    del old[::2]
    return old, gaps


@has_pools
def test_new_objects_come_into_no_page_of_old_ones() -> None:
    old, gaps = with_gaps(6000)
    before = objects(3000)
    assert {id(block) for block in before} & gaps
    del before

    assert sharing.fill_gaps() > 2500 * SIZE

    new = objects(3000)
    pages = {id(block) // PAGE_BYTES for block in old}
    # The interpreter works while gaps are filled: a place that one of its own objects had then is free now.
    assert len([block for block in new if id(block) in gaps or id(block) // PAGE_BYTES in pages]) <= 3


@has_pools
@pytest.mark.parametrize("size", range(16, 513, 16))
def test_the_last_gap_is_found_in_every_size(size: int) -> None:
    """Also where the integers lie that the search itself works with, and behind a pool that is almost new."""
    old = [sharing._maker(size)(size) for _ in range(20 * POOL_BYTES // size)]
    by_pool: dict[int, list[object]] = {}
    for block in old:
        by_pool.setdefault(id(block) // POOL_BYTES, []).append(block)
    gaps = set()
    for number, blocks in enumerate(by_pool.values()):
        # Every fourth pool has one object left, the others have every other.
        gone = blocks[1:] if number % 4 == 0 else blocks[::2]
        gaps |= {id(block) for block in gone}
        blocks[:] = [block for block in blocks if id(block) not in gaps]
    del old, block, blocks, gone
    filled = sharing.fill_class(size)
    left = gaps - {id(block) for block in filled}
    assert len(left) <= POOL_BYTES // size


def test_all_sizes_can_be_made_exactly() -> None:
    for size in range(16, 513, 16):
        made = sharing._maker(size)(size)
        assert sys.getsizeof(made) + 15 & ~15 == size
        assert type(made) in (bytes, complex, object)


def test_objects_that_lie_in_no_pools_are_given_back() -> None:
    made = []

    def make(_size: int) -> object:
        made.append(object.__new__(type("Large", (), {})))
        return made[-1]

    assert sharing.fill_class(496, make) == []
    assert len(made) < 100


@has_pools
def test_the_number_of_pools_is_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    old, _ = with_gaps(6000)
    assert len(sharing.fill_class(SIZE)) > len(old) / 2
    monkeypatch.setattr(sharing, "_MOST_POOLS", 2)
    assert sharing.fill_class(SIZE) == []


HEAP = """
import ctypes
from prefork.zygote import sharing
libc = ctypes.CDLL(None)
if hasattr(libc, "mallinfo2"):
    libc.mallinfo2.restype = sharing._MallocInfo
    libc.malloc.restype, libc.malloc.argtypes = ctypes.c_void_p, [ctypes.c_size_t]
    libc.free.argtypes = [ctypes.c_void_p]
    blocks = [libc.malloc(size) for size in (1500, 3000, 700) * 200]
    for block in blocks[::2]:
        libc.free(block)
    info = libc.mallinfo2()
    print(info.fordblks - info.keepcost)
    print(sharing.fill_heap())
    info = libc.mallinfo2()
    print(info.fordblks - info.keepcost)
"""


@has_pools
def test_the_heap_has_no_free_piece_but_its_end() -> None:
    # A process of its own: that of the tests may have heaps of many threads.
    done = subprocess.run([sys.executable, "-c", HEAP], capture_output=True, text=True, check=True)
    if not done.stdout:
        pytest.skip("not glibc 2.33")
    free, filled, still_free = map(int, done.stdout.split())
    assert free > 300_000
    assert filled > free / 2
    assert still_free < free / 2


def test_without_the_functions_of_glibc_nothing_is_done(monkeypatch: pytest.MonkeyPatch) -> None:
    class Musl:
        malloc = free = sbrk = None

    monkeypatch.setattr(sharing.ctypes, "CDLL", lambda _name: Musl())
    assert sharing.fill_heap() == 0


def test_names_that_were_looked_up_are_forgotten() -> None:
    class Thing:
        pass

    name = "".join(["looked_up_", str(os.getpid())])
    before = sys.getrefcount(name)
    for _ in range(3):
        getattr(Thing(), name, None)
    if sys.getrefcount(name) == before:
        pytest.skip("this interpreter keeps names in another way")
    sharing.forget_lookups()
    assert sys.getrefcount(name) == before


def test_an_interpreter_without_that_cache_is_left_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delattr(sys, "_clear_type_cache")
    sharing.forget_lookups()


def test_what_a_library_imports_late_is_there_before_the_fork() -> None:
    code = """
import sys, types
from prefork.zygote.sharing import import_what_comes_late
import_what_comes_late()
print("encodings.idna" in sys.modules)
sys.modules["werkzeug"] = types.ModuleType("werkzeug")
import_what_comes_late()
print("encodings.idna" in sys.modules)
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.split() == ["False", "True"]


def test_filling_takes_no_memory_that_is_not_there() -> None:
    """Gaps are in pages that exist: the process must not grow by more than what is at the edges."""

    def resident() -> int:
        return int(Path("/proc/self/statm").read_text().split()[1]) * PAGE_BYTES

    old, _ = with_gaps(20_000)
    before = resident()
    sharing.fill_gaps()
    assert resident() - before < 2_000_000
    assert old
