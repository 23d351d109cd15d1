"""Call the official SDK's methods on an emulated tenant: ``python python_api.py``.

For a real tenant, leave the sandbox out, and give ``Spark`` your ``base_url`` with a ``token``, an
``api_key`` or ``oauth``.
"""

from __future__ import annotations

import tempfile
from pathlib import Path

from spark_impex_runner import Spark
from spark_impex_runner.sandbox.server import Sandbox

TENANT = Path(__file__).parent / "tenant"


def main() -> None:
    """Export in one call, then step by step, then directly to disk."""
    with (
        Sandbox(TENANT) as sandbox,
        Spark(base_url=sandbox.base_url, token=sandbox.token) as spark,
    ):
        packages = spark.impex.export(
            services=["my-folder/my-service[0.4.2]", "my-other-folder/my-service-2"],
            file_filter="onpremises",
            max_retries=5,
            retry_interval=3,
        )
        print("in one call:", [len(package.buffer) > 0 for package in packages])

        job = spark.impex.exports.initiate(services=["my-folder/my-service"])
        status = spark.impex.exports.get_status(job.data["id"], max_retries=5, retry_interval=3)
        urls = [file["file"] for file in status.data["outputs"]["files"]]
        packages = spark.impex.exports.download(urls)
        print("step by step:", [package.status for package in packages])

        with tempfile.TemporaryDirectory() as folder:
            packages = spark.impex.export(folders=["life"], to=folder)
            print("to disk:", [package.path.name for package in packages if package.path])


if __name__ == "__main__":
    main()
