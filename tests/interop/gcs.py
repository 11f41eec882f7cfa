"""A server of Google's objects. It lists nothing by the protocol that is used here, so each object is named."""

from __future__ import annotations

import os
import subprocess
import time

import requests
from s3 import free_port


class Gcs:
    """`gcp-storage-emulator` on a free port, in memory."""

    def __init__(self, log) -> None:
        self.url = f"http://127.0.0.1:{(port := free_port())}"
        command = [os.environ["GCS_SERVER"], "start", "--host", "127.0.0.1", "--port", str(port), "--in-memory"]
        self.process = subprocess.Popen([*command, "--default-bucket", "shop"], stdout=log, stderr=log)
        for _ in range(300):
            try:
                if requests.get(self.url, timeout=1).ok:
                    return
            except requests.ConnectionError:
                time.sleep(0.1)
        raise AssertionError("the server of objects does not answer")

    def put(self, path: str, body: bytes | str) -> None:
        data = body.encode() if isinstance(body, str) else body
        requests.put(f"{self.url}/{path}", data=data, timeout=10).raise_for_status()

    def settings(self) -> str:
        """As a project says them."""
        return f"gcs: {{base_url: '{self.url}', allow_http: true, skip_signature: true}}"

    def stop(self) -> None:
        self.process.terminate()
        self.process.wait(timeout=10)
