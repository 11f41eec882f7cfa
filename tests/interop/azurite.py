"""A real server of Azure's blobs: Azurite, as its makers ship it."""

from __future__ import annotations

import base64
import hashlib
import hmac
import os
import subprocess
import time
from email.utils import formatdate
from urllib.parse import quote

import requests
from s3 import free_port

# Every Azurite has this account; it is in its manual.
ACCOUNT = "devstoreaccount1"
KEY = "Eby8vdM02xNOcqFlqUwJPLlmEtlCDXJ1OUzFT50uSRZ6IFsuFq2UVErCz4I6tq/K1SZFPTOtr/KBHBeksoGMGw=="


class Azurite:
    """`azurite-blob` on a free port, in memory."""

    def __init__(self, log) -> None:
        self.url = f"http://127.0.0.1:{(port := free_port())}/{ACCOUNT}"
        command = [os.environ["AZURITE_BLOB"], "--blobHost", "127.0.0.1", "--blobPort", str(port), "--inMemoryPersistence"]
        environment = {**os.environ, "PATH": f"{os.environ['NODE_BIN']}:{os.environ['PATH']}"}
        flags = ["--skipApiVersionCheck", "--disableTelemetry"]
        self.process = subprocess.Popen([*command, *flags], stdout=log, stderr=log, env=environment)
        for _ in range(300):
            try:
                requests.get(self.url, timeout=1)
                return
            except requests.ConnectionError:
                time.sleep(0.1)
        raise AssertionError("the server of blobs does not answer")

    def put(self, path: str, body: bytes | str = b"") -> None:
        """A container, or a blob in one."""
        data = body.encode() if isinstance(body, str) else body
        is_container = "/" not in path
        query = {"restype": "container"} if is_container else {}
        headers = {"x-ms-date": formatdate(usegmt=True), "x-ms-version": "2021-12-02"}
        if not is_container:
            headers["x-ms-blob-type"] = "BlockBlob"
        length = str(len(data)) if data else ""
        named = "".join(f"{name}:{value}\n" for name, value in sorted(headers.items()))
        resource = f"/{ACCOUNT}/{ACCOUNT}/{quote(path)}" + "".join(f"\n{name}:{query[name]}" for name in sorted(query))
        text = f"PUT\n\n\n{length}\n\n\n\n\n\n\n\n\n{named}{resource}"
        signature = base64.b64encode(hmac.new(base64.b64decode(KEY), text.encode(), hashlib.sha256).digest()).decode()
        headers["Authorization"] = f"SharedKey {ACCOUNT}:{signature}"
        asked = requests.put(f"{self.url}/{quote(path)}", params=query, data=data, headers=headers, timeout=10)
        assert asked.ok, asked.text

    def settings(self) -> str:
        """As a project says them."""
        return f"azure: {{account_name: {ACCOUNT}, access_key: '{KEY}', endpoint: '{self.url}', allow_http: true}}"

    def stop(self) -> None:
        self.process.terminate()
        self.process.wait(timeout=10)
