"""One package of 256 MB over a line with 40 ms of delay and 8 MiB/s a connection, against aria2c.

nginx limits each connection; both ways go through a relay that adds the delay (relay.py says what
exactly it does). Ours decides during the transfer whether several connections are worth it. The
last figure is the price of that decision where they are not: the same file over a line of 32 MB/s
that all connections share, with and without the permission to use several.
"""

from __future__ import annotations

import sys
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from harness import (
    Row,
    Way,
    clean,
    folders,
    free_port,
    main,
    need,
    nginx,
    ratio,
    rounds,
    server_on,
    workplace,
)
from tenant import OURS, package, tenant

if TYPE_CHECKING:
    from collections.abc import Iterator

TRIP = "0.040"
RATE = "limit_rate 8m;"
PLENTY, SHARED = "1e12", "32e6"
# Ours on one connection: no line is ever slow enough.
SINGLE = "from spark_impex_runner.spark import segments\nsegments._FAST = 0\n" + OURS


def rows() -> list[Row]:
    """Measure both lines."""
    need("aria2c", "nginx")
    return [*_slow(), _shared()]


def _slow() -> list[Row]:
    with workplace() as place:
        served, out = folders(place)
        file = package(served / "package.zip", 256_000_000)
        with nginx(served, RATE) as near, _relayed(near, PLENTY) as server:
            link, ready = f"{server}/{file.name}", clean(out)
            aria2c = ["aria2c", "-q", "-x4", "-d", str(out), "-o", "package.zip", link]
            with tenant(place, [file], server) as url:
                ours = [sys.executable, "-c", OURS, url, str(out)]
                found = rounds({"ours": Way(ours, ready), "aria2c": Way(aria2c, ready)}, 5)
    name = "256 MB, 40 ms and 8 MiB/s a connection"
    return [
        Row(f"{name}, to `aria2c -x4`", "<= 1.0", ratio(found["ours"], found["aria2c"])),
        Row(f"{name}: peak memory", "<= 70 MB", f"{found['ours'].peak:.0f} MB"),
    ]


def _shared() -> Row:
    with workplace() as place:
        served, out = folders(place)
        file = package(served / "package.zip", 256_000_000)
        with (
            nginx(served) as near,
            _relayed(near, SHARED) as server,
            tenant(place, [file], server) as url,
        ):
            ways = {
                name: Way([sys.executable, "-c", code, url, str(out)], clean(out))
                for name, code in (("several", OURS), ("single", SINGLE))
            }
            found = rounds(ways, 5)
    return Row(
        "256 MB, 40 ms and 32 MB/s for all connections, several allowed, to one only",
        "about 1",
        ratio(found["several"], found["single"]),
    )


@contextmanager
def _relayed(server: str, rate: str) -> Iterator[str]:
    """Put the delay, and the rate of the whole line, before a server."""
    port = free_port()
    relay = Path(__file__).with_name("relay.py")
    command = [sys.executable, str(relay), str(port), server.rpartition(":")[2], TRIP, rate]
    with server_on(port, command):
        yield f"http://127.0.0.1:{port}"


if __name__ == "__main__":
    main(rows)
