"""Memory that workers share with their zygote: what is done before the first fork so that more of it stays shared.

Owns: filling the gaps in the allocators' pages, emptying the cache of attribute look-ups, imports that would come late. Runs in:
zygote. Must not know: what is in that memory, forking.

A page is shared until somebody writes to it. A worker writes reference counts, which cannot be helped; but it also writes each
new object into some gap that the imports have left in a page full of old ones, which takes the whole page from the zygote.
Where there are no gaps, all that is new in a worker lies together in pages of its own.
"""

from __future__ import annotations

import codecs
import contextlib
import ctypes
import sys
from collections.abc import Callable, Iterator
from itertools import chain

_POOL_BYTES = 16 * 1024
_POOL_HEAD_BYTES = 48
_STEP_BYTES = 16
_LARGEST_BYTES = 512
"""Objects/obmalloc.c of CPython 3.10 to 3.13: objects of up to 512 bytes lie in pools, each for one size, in steps of 16. Where
it is another way (PYTHONMALLOC, another interpreter), nothing is filled."""

_MOST_POOLS = 1024
"""Pools of one size that are looked at: 16 MiB. A bound, for an application of any size."""

_ALMOST, _SURE = 8, 2
"""Integers that this module works with come and go where its objects of that size lie. So a pool that has no more than 8 others
is new if the last two were like that (one alone may be old, with little left in it), and so few in another pool do not count."""

_LARGEST_GAP_BYTES = 64 * 1024
_LARGEST_CACHED_BYTES = 1032
"""What glibc keeps in the cache of a thread when it is freed (malloc/malloc.c, MAX_TCACHE_SIZE)."""

_LATE = (("werkzeug", "idna"),)
"""Library, and a codec that it comes to need: its modules are 230 KiB, and importing them touches as much again."""

_fillers: list[object] = []
"""What fills the pools; must live as long as the process, and as its workers."""


class _MallocInfo(ctypes.Structure):
    """struct mallinfo2 of mallinfo(3)."""

    _fields_ = [
        (name, ctypes.c_size_t)
        for name in "arena ordblks smblks hblks hblkhd usmblks fsmblks uordblks fordblks keepcost".split()
    ]


def forget_lookups() -> None:
    """Empty the interpreter's cache of attributes of classes.

    It holds references to 4,096 names, mostly those of imports. A worker's first look-ups would replace them, and each would
    write to the name that goes, in a page that nobody else had a reason to write to."""
    clear: Callable[[], None] | None = getattr(sys, "_clear_type_cache", None)
    if clear is not None:
        clear()


def import_what_comes_late() -> None:
    """What libraries import only when the first request comes: here it is one copy, there one for each worker."""
    for library, codec in _LATE:
        if library in sys.modules:
            # It is there, or not worth an error: whoever needs it will say so.
            with contextlib.suppress(LookupError):
                codecs.lookup(codec)


def fill_gaps() -> int:
    """Take all free places in pages that hold other things already. To be called last before a fork. Returns how many bytes."""
    filled = 0
    for size in range(_LARGEST_BYTES, 0, -_STEP_BYTES):
        blocks = fill_class(size)
        _fillers.extend(blocks)
        filled += len(blocks) * size
    return filled + fill_heap()


def fill_class(size: int, make: Callable[[int], object] | None = None) -> list[object]:
    """Objects of `size` bytes in all gaps of that size. `make` (of a size) is for tests.

    A pool in which nothing but our own objects lies is new: there are no more gaps, and that one is given back."""
    make = make or _maker(size)
    capacity = (_POOL_BYTES - _POOL_HEAD_BYTES) // size
    blocks: list[object] = []
    pool, in_pool, almost = -1, 0, 0
    for _ in range(_MOST_POOLS * capacity):
        block = make(size)
        here, at = divmod(id(block), _POOL_BYTES)
        if (at - _POOL_HEAD_BYTES) % size:
            break
        blocks.append(block)
        if here != pool:
            if in_pool > _ALMOST:
                almost = almost + 1 if in_pool >= capacity - _ALMOST else 0
            pool, in_pool = here, 0
        in_pool += 1
        if in_pool == capacity or (in_pool == capacity - _ALMOST and almost == _SURE):
            del blocks[-in_pool:]
            return blocks
    return []  # no pools, or more than all that can be meant


def _maker(size: int) -> Callable[[int], object]:
    """Makes objects of that size which the collector does not know, and of which the interpreter keeps none for later."""
    if size == _STEP_BYTES:
        return lambda _: object()
    if size == 2 * _STEP_BYTES:
        return lambda _: complex(1)
    head = sys.getsizeof(b"")
    return lambda size: bytes(size - head)


def fill_heap() -> int:
    """The same for malloc(3), where larger things lie: all free pieces below the end of the heap. Returns how many bytes.

    Without the functions of glibc 2.33, or with another allocator in its place, nothing is done."""
    libc = ctypes.CDLL(None)
    try:
        malloc, free, sbrk = libc.malloc, libc.free, libc.sbrk
        info, trim = libc.mallinfo2, libc.malloc_trim
    except AttributeError:
        return 0
    malloc.argtypes, malloc.restype = [ctypes.c_size_t], ctypes.c_void_p
    free.argtypes, free.restype = [ctypes.c_void_p], None
    sbrk.argtypes, sbrk.restype = [ctypes.c_ssize_t], ctypes.c_void_p
    info.restype = _MallocInfo
    trim.argtypes = [ctypes.c_size_t]
    # Whole pages that are free go back to the kernel: filled, they would be in the zygote's memory for nothing.
    trim(0)
    before = info()
    end = (sbrk(0) or 0) - before.keepcost
    left = before.fordblks - before.keepcost
    filled = 0
    for size in _sizes():
        while filled < left:
            block = malloc(size)
            if not block:
                return filled
            if block >= end:
                # From behind all gaps. The small ones are not worth a place in the cache, which would be the next gap.
                if size > _LARGEST_CACHED_BYTES:
                    free(block)
                break
            filled += size
    return filled


def _sizes() -> Iterator[int]:
    """From large to small; small ones one by one, for glibc has a cache for each of their sizes."""
    large = (_LARGEST_GAP_BYTES >> shift for shift in range(6))
    return chain(large, range(_LARGEST_CACHED_BYTES, _STEP_BYTES, -_STEP_BYTES))
