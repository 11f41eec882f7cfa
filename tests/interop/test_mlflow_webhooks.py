"""MLflow's own client makes hooks, and what they are told is signed so that Python agrees."""

from __future__ import annotations

import base64
import hashlib
import hmac
import json
import threading
import time
from email.message import Message
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest
from mlflow_clients import Client
from plumb import Server, Written, registry

SECRET = "whsec-größe"
PROJECT = "project: hooks\nwebhooks: {allow_http: true, allow_private: [127.0.0.1]}\n"


class Receiver:
    """Answers every POST with 200 and keeps it, with the time of its arrival."""

    def __init__(self) -> None:
        self.got: list[tuple[Message, bytes, float]] = []
        self.more = threading.Condition()
        outer = self

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                body = self.rfile.read(int(self.headers["Content-Length"]))
                with outer.more:
                    outer.got.append((self.headers, body, time.time()))
                    outer.more.notify_all()
                self.send_response(200)
                self.send_header("Content-Length", "5")
                self.end_headers()
                self.wfile.write(b"thank")

            def log_message(self, *_: object) -> None:
                pass

        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        threading.Thread(target=self.server.serve_forever, daemon=True).start()
        self.url = f"http://127.0.0.1:{self.server.server_address[1]}/hook"

    def wait(self, n: int) -> list[tuple[Message, bytes, float]]:
        with self.more:
            assert self.more.wait_for(lambda: len(self.got) >= n, 60), self.got
            return list(self.got)


@pytest.fixture
def receiver():
    receiver = Receiver()
    yield receiver
    receiver.server.shutdown()


@pytest.fixture(params=["sqlite", "postgres"])
def server(request, tmp_path):
    server = Server(Written(tmp_path, PROJECT + registry(request.param, tmp_path), ""))
    yield server
    server.stop()


@pytest.fixture
def client(server, tmp_path):
    return Client("3", server.http, tmp_path)


def test_the_client_makes_reads_changes_tries_and_deletes_hooks(client, receiver):
    said = client.run(
        f"""
        from mlflow.entities.webhook import WebhookStatus

        url, out = {receiver.url!r}, {{}}
        one = client.create_webhook("first", url, ["model_version.created", "registered_model.created"], "d", {SECRET!r})
        two = client.create_webhook("second", url, ["prompt.created"], status=WebhookStatus.DISABLED)
        out["one"] = [one.name, one.url, [str(e) for e in one.events], one.description, str(one.status), one.secret]
        out["two"] = [two.description, str(two.status)]
        out["listed"] = [hook.name for hook in client.list_webhooks()]
        pages, token = [], None
        while True:
            page = client.list_webhooks(max_results=1, page_token=token)
            pages.append([hook.name for hook in page])
            token = page.token
            if not token:
                break
        out["pages"] = pages
        changed = client.update_webhook(
            two.webhook_id, name="renamed", events=["prompt_alias.created"], status=WebhookStatus.ACTIVE
        )
        out["changed"] = [changed.name, changed.url == url, [str(e) for e in changed.events], str(changed.status)]
        out["kept"] = client.get_webhook(one.webhook_id).creation_timestamp == one.creation_timestamp
        tried = client.test_webhook(one.webhook_id)
        other = client.test_webhook(one.webhook_id, "model_version_alias.deleted")
        out["tried"] = [tried.success, tried.response_status, tried.response_body, tried.error_message, other.success]
        client.delete_webhook(two.webhook_id)
        out["left"] = [hook.name for hook in client.list_webhooks()]
        out["gone"] = refused(client.get_webhook, two.webhook_id)
        out["name"] = refused(client.create_webhook, "-no-", url, ["prompt.created"])
        out["private"] = refused(client.create_webhook, "a", "https://10.0.0.1/", ["prompt.created"])
        out["scheme"] = refused(client.create_webhook, "a", "ftp://example.com/", ["prompt.created"])
        out["login"] = refused(client.create_webhook, "a", "https://u:pass-canary@127.0.0.1/", ["prompt.created"])
        out["page"] = refused(client.list_webhooks, max_results=1001)
        out["token"] = refused(client.list_webhooks, page_token="canary")
        client.create_registered_model("m", tags={{"a": "b"}})
        client.create_model_version("m", "s3://b/x")
        answer(out)
        """
    )
    events = ["model_version.created", "registered_model.created"]
    assert said["one"] == ["first", receiver.url, events, "d", "ACTIVE", None]
    assert said["two"] == [None, "DISABLED"]
    assert said["listed"] == ["second", "first"] and said["pages"] == [["second"], ["first"]]
    assert said["changed"] == ["renamed", True, ["prompt_alias.created"], "ACTIVE"] and said["kept"]
    assert said["tried"] == [True, 200, "thank", None, True]
    assert said["left"] == ["first"]
    assert said["gone"][0] == "RESOURCE_DOES_NOT_EXIST"
    for what in ["name", "private", "scheme", "login", "page", "token"]:
        assert said[what][0] == "INVALID_PARAMETER_VALUE", said[what]
    assert "canary" not in said["login"][1]

    got = receiver.wait(4)
    for headers, body, at in got:
        delivery, timestamp = headers["X-MLflow-Delivery-Id"], headers["X-MLflow-Timestamp"]
        signed = hmac.new(SECRET.encode(), f"{delivery}.{timestamp}.".encode() + body, hashlib.sha256).digest()
        assert headers["X-MLflow-Signature"] == "v1," + base64.b64encode(signed).decode()
        assert abs(at - int(timestamp)) < 60
    told = [json.loads(body) for _, body, _ in got]
    assert [f"{one['entity']}.{one['action']}" for one in told] == [
        "model_version.created",
        "model_version_alias.deleted",
        "registered_model.created",
        "model_version.created",
    ]
    assert told[2]["data"] == {"name": "m", "tags": {"a": "b"}, "description": ""}
    assert told[3]["data"] == {
        "name": "m",
        "version": "1",
        "source": "s3://b/x",
        "run_id": None,
        "tags": {},
        "description": None,
    }


def test_prompts_are_told_as_prompts(client, receiver):
    client.run(
        f"""
        events = ["prompt.created", "prompt_version.created", "prompt_tag.set", "prompt_version_tag.set",
                  "prompt_alias.created", "prompt_alias.deleted", "registered_model.created", "model_version.created",
                  "model_version_alias.created"]
        client.create_webhook("prompts", {receiver.url!r}, events)
        mlflow.genai.register_prompt("greeting", "Hi {{{{name}}}}", commit_message="first", tags={{"a": "b"}})
        mlflow.genai.set_prompt_alias("greeting", "live", 1)
        client.delete_prompt_alias("greeting", "live")
        answer(None)
        """
    )
    told: list[str] = []
    for n in range(4, 20):
        told = [f"{one['entity']}.{one['action']}" for one in (json.loads(body) for _, body, _ in receiver.wait(n))]
        # The client sets a tag of its own meanwhile.
        if "prompt_alias.deleted" in told:
            break
    assert all(one.startswith("prompt") for one in told), told
    assert {"prompt.created", "prompt_version.created", "prompt_alias.created", "prompt_alias.deleted"} <= set(told)
    version = next(json.loads(body) for _, body, _ in receiver.got if b'"prompt_version"' in body)
    assert version["data"]["template"] == "Hi {{name}}" and version["data"]["version"] == "1"
