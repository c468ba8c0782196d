"""What the files of `[tls]` held when they were read.

Owns: that value, which the master keeps with a generation. Runs in: master. Must not know: how they are read and checked (`tls`,
which needs the ssl module, two megabytes that a server without TLS does not load).
"""

from __future__ import annotations

from collections.abc import Sequence

import msgspec

from prefork.net.material import Material


class TlsFiles(msgspec.Struct, frozen=True):
    """Fit for use."""

    material: Material
    warnings: Sequence[str] = ()
    """A line for each certificate whose time is over, or nearly."""
