"""Limits on a server's replies, in bytes, seconds and items; see docs/explanation/hardening.md."""

from __future__ import annotations

from typing import Final

_MIB = 1 << 20

# The body of an API reply, both as sent and decompressed.
REPLY: Final = 8 * _MIB
# The values in it, counted by the commas and brackets: each takes up to some hundred bytes.
VALUES: Final = 200_000
# The part of an error's body that is read: enough to explain it.
ERROR_BODY: Final = 256 << 10
# A download without Content-Length.
UNANNOUNCED: Final = 4096 * _MIB
# The free disk space that a download of unknown length must leave.
RESERVE: Final = 256 * _MIB
# A download that receives less than `SLOW` bytes in `SLOW_SECONDS` seconds counts as failed.
SLOW: Final = 16 << 10
SLOW_SECONDS: Final = 300.0
# One exchange may take so many times the connection's `timeout`, from its beginning or from the
# last piece of its body that was sent: large uploads take as long as they need.
TOTAL_TIMES: Final = 3
# The first connection to a host, with name resolution, may take so many seconds.
CONNECT: Final = 15.0
# The last request of a wait, sent right before its deadline, may take so many seconds.
LAST_CHECK: Final = 3.0
# A token in the reply to client credentials.
TOKEN: Final = 64 << 10
# Entries of one listing, and the bytes of all of its pages.
LISTED: Final = 50_000
LISTING: Final = 64 * _MIB
# The files that one job offers, and the characters of the link to one.
FILES: Final = 1_000
LINK: Final = 16 << 10
# Errors or warnings of a job that are read to explain its failure.
MESSAGES: Final = 1_000


def size(count: int) -> str:
    """Return a number of bytes for a person, such as ``8 MiB``."""
    return f"{count // _MIB} MiB" if count >= _MIB else f"{count // 1024} KiB"
