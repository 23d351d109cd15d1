"""How soon an event is a delivered package: from the post to the file under its final name.

Each round starts a listener anew, with a new state, and posts three events to it: the first one,
which finds nothing imported but what the listener imports at its start, and two later ones. The
tenant is a sandbox on loopback, whose jobs are done at once: of the first event one second is the
wait until the status of a job without history is asked for.
"""

from __future__ import annotations

import os
import subprocess
import sysconfig
import time
from contextlib import contextmanager
from pathlib import Path
from statistics import median
from typing import TYPE_CHECKING

import requests
from harness import Row, main, workplace

if TYPE_CHECKING:
    from collections.abc import Iterator

IMPEX = Path(sysconfig.get_path("scripts")) / "impex"
ROUNDS = 7
KEY = "a-key-of-the-benchmark"
MANIFEST = """version: 1
connections: {{here: {{base_url: '{url}'}}}}
targets:
  - name: deployed
    services: ["${{var:folder}}/${{var:service}}"]
    output: "exports/${{var:event}}"
"""


def rows() -> list[Row]:
    """Measure the first and the later events of several listeners."""
    started: list[float] = []
    first: list[float] = []
    later: list[float] = []
    with workplace(memory=False) as place:
        (place / "acme/motor/pricing/1.4.2").mkdir(parents=True)
        with _serving(place, "sandbox", "acme") as lines:
            url, token = (line.partition("=")[2].strip() for line in lines[1:])
            (place / "m.yaml").write_text(MANIFEST.format(url=url))
            os.environ |= {"CSPARK_BEARER_TOKEN": token, "LISTEN_KEY": KEY}
            for number in range(ROUNDS):
                began = time.perf_counter()
                arguments = ("listen", "m.yaml", "--port", "0", "--key", "env:LISTEN_KEY")
                arguments += ("--state", f"state-{number}")
                with _serving(place, *arguments, lines=1) as [line]:
                    started.append(time.perf_counter() - began)
                    address = line.split()[2].rstrip(",")
                    taken = [_deliver(place, address, f"{number}-{each}") for each in range(3)]
                first.append(taken[0])
                later += taken[1:]
    return [
        Row("the first event of a listener to its package, s", "<= 2", _summary(first)),
        Row("a later event to its package, s", "<= 2", _summary(later)),
        Row("`impex listen` to its line `listening on`, s", "", _summary(started)),
    ]


def _summary(seconds: list[float]) -> str:
    return f"{median(seconds):.2f} ({min(seconds):.2f} to {max(seconds):.2f})"


@contextmanager
def _serving(place: Path, *arguments: str, lines: int = 3) -> Iterator[list[str]]:
    """Run a command while the block runs; yield its first lines on stdout."""
    with (place / "log").open("a") as log:
        process = subprocess.Popen(
            [IMPEX, *arguments], cwd=place, stdout=subprocess.PIPE, stderr=log, text=True
        )
    try:
        yield [str(process.stdout and process.stdout.readline()) for _ in range(lines)]
    finally:
        process.terminate()
        process.communicate()


def _deliver(place: Path, address: str, number: str) -> float:
    """Post one event, and return the seconds until its package has its name."""
    body = {"UserAction": "PublishEngine", "Folder": "motor", "Service": "pricing", "N": number}
    began = time.perf_counter()
    reply = requests.post(address, json=body, headers={"x-api-key": KEY}, timeout=60)
    output = place / "exports" / reply.json()["event"]
    while not any(output.glob("*.zip")):
        if time.perf_counter() - began > 60:
            raise SystemExit(f"the event was not delivered:\n{(place / 'log').read_text()[-2000:]}")
        time.sleep(0.005)
    return time.perf_counter() - began


if __name__ == "__main__":
    main(rows)
