"""How large the replies of a server may be; docs/explanation/hardening.md lists these limits."""

from __future__ import annotations

from typing import Final

_MIB = 1 << 20

# The body of an API reply, as it is sent and as it is after decompression.
REPLY: Final = 8 * _MIB
# The values in it, counted by the commas and brackets: each takes up to some hundred bytes.
VALUES: Final = 200_000
# An error's body; what follows is not read, as a part of it is enough.
ERROR_BODY: Final = 256 << 10
# A download of which the server does not say how long it is.
UNANNOUNCED: Final = 4096 * _MIB
# What a download of unknown length leaves free on the disk.
RESERVE: Final = 256 * _MIB
# A download that brings less than `SLOW` bytes in `SLOW_SECONDS` seconds counts as failed.
SLOW: Final = 16 << 10
SLOW_SECONDS: Final = 300.0
# One exchange may take so many times the connection's `timeout`, from its beginning, or from the
# last piece of a body that is sent.
TOTAL_TIMES: Final = 3
# The first connection to a host, with the look-up of its name, may take so many seconds.
CONNECT: Final = 15.0
# A request of a wait that begins at its deadline may take so many seconds.
LAST_CHECK: Final = 3.0
# A token in the reply to client credentials.
TOKEN: Final = 64 << 10
# Entries of one listing, and the bytes of all of its pages.
LISTED: Final = 50_000
LISTING: Final = 64 * _MIB
# The files that one job offers, and the characters of the link to one.
FILES: Final = 1_000
LINK: Final = 16 << 10
# Errors or warnings of a job that are looked at to say what went wrong.
MESSAGES: Final = 1_000


def size(count: int) -> str:
    """Return a number of bytes for a person, such as ``8 MiB``."""
    return f"{count // _MIB} MiB" if count >= _MIB else f"{count // 1024} KiB"
