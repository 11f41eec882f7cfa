"""A real S3 server, and a network before it that misbehaves."""

from __future__ import annotations

import os
import socket
import subprocess
import threading
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import requests


# The server looks at who signed, not at the signature; without one it refuses to overwrite.
SIGNED = {
    "Authorization": "AWS4-HMAC-SHA256 Credential=a/20240101/us-east-1/s3/aws4_request, SignedHeaders=host, Signature=0"
}


def free_port() -> int:
    with socket.socket() as one:
        one.bind(("127.0.0.1", 0))
        return one.getsockname()[1]


class S3:
    """`moto_server` on a free port."""

    def __init__(self, log) -> None:
        self.url = f"http://127.0.0.1:{(port := free_port())}"
        command = [os.environ["MOTO_SERVER"], "-H", "127.0.0.1", "-p", str(port)]
        self.process = subprocess.Popen(command, stdout=log, stderr=log)
        for _ in range(300):
            try:
                if requests.get(f"{self.url}/moto-api/", timeout=1).ok:
                    return
            except requests.ConnectionError:
                time.sleep(0.1)
        raise AssertionError("the S3 server does not answer")

    def put(self, path: str, body: bytes | str = b"") -> None:
        data = body.encode() if isinstance(body, str) else body
        requests.put(f"{self.url}/{path}", data=data, headers=SIGNED, timeout=10).raise_for_status()

    def stop(self) -> None:
        self.process.terminate()
        self.process.wait(timeout=10)


class Weather:
    """A proxy before a server: `mode` says what becomes of a request, `asked` what was asked. Modes that begin with `page-`
    are of the second page of a listing and those after it."""

    def __init__(self, server: str) -> None:
        self.mode = "fine"
        self.asked: list[str] = []
        self.left = 0
        weather = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def do_GET(self) -> None:
                weather.asked.append(f"{self.command} {self.path}")
                mode = weather.mode
                if mode.startswith("page-"):
                    mode = mode.removeprefix("page-") if "continuation-token" in self.path else "fine"
                if weather.left > 0:
                    weather.left -= 1
                    mode = "500"
                if mode == "silent":
                    weather.over.wait()
                    return
                if mode in ("403", "500", "503"):
                    code = {"403": "AccessDenied", "500": "InternalError", "503": "SlowDown"}[mode]
                    self.answer(int(mode), {}, f"<Error><Code>{code}</Code></Error>".encode())
                    return
                headers = {k: v for k, v in self.headers.items() if k.lower() != "host"}
                got = requests.request(self.command, server + self.path, headers=headers, timeout=30)
                body = got.content[: len(got.content) // 2] if mode == "cut" else got.content
                if mode == "half":
                    half = got.content[: len(got.content) // 2]
                    self.answer(got.status_code, got.headers, half)
                    return
                self.answer(got.status_code, got.headers, body, len(got.content))

            do_HEAD = do_GET

            def answer(self, status: int, headers, body: bytes, length: int | None = None) -> None:
                self.send_response(status)
                for name, value in headers.items():
                    if name.lower() not in ("content-length", "connection", "transfer-encoding", "date", "server"):
                        self.send_header(name, value)
                head = self.command == "HEAD"
                whole = headers.get("Content-Length", "0") if head else len(body) if length is None else length
                self.send_header("Content-Length", str(whole))
                self.end_headers()
                if not head:
                    self.wfile.write(body)
                self.close_connection = True

            def log_message(self, *_: object) -> None:
                pass

        self.over = threading.Event()
        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.server.daemon_threads = True
        self.url = f"http://127.0.0.1:{self.server.server_address[1]}"
        threading.Thread(target=self.server.serve_forever, daemon=True).start()

    def stop(self) -> None:
        self.over.set()
        self.server.shutdown()
