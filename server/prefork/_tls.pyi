import ssl
from collections.abc import Callable

class Records:
    _decrypt: Callable[[int], bytes]
    _early: bool
    _encrypt: Callable[[bytes | memoryview], int]
    _ended: bool
    _fd: int
    _incoming: ssl.MemoryBIO
    _outgoing: ssl.MemoryBIO
    _owed: int
    _unsent: memoryview
    def recv(self, size: int, /) -> bytes: ...
    def send(self, data: bytes | memoryview, /) -> int: ...
