"""Traces: what an unmodified client's request was, as a collector gets it, read with OpenTelemetry's own messages."""

from __future__ import annotations

import json
import os
import threading
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import grpc
import numpy as np
import pytest
import requests
import tritonclient.grpc as triton_grpc
import tritonclient.http as triton_http
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import (
    ExportTraceServiceRequest,
    ExportTraceServiceResponse,
)
from opentelemetry.proto.trace.v1.trace_pb2 import Span, Status
from plumb import ROOT, Project, Server

PARENT = "b7ad6b7169203331"


def new_trace() -> tuple[str, str]:
    """A trace of its own, and its `traceparent`."""
    trace = os.urandom(16).hex()
    return trace, f"00-{trace}-{PARENT}-01"


class Collector:
    """Takes traces over HTTP, as a collector of OpenTelemetry does."""

    def __init__(self) -> None:
        self.messages: list[ExportTraceServiceRequest] = []
        self.tokens: set[str | None] = set()
        collector = self

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:  # noqa: N802
                assert self.path == "/v1/traces" and self.headers["Content-Type"] == "application/x-protobuf"
                body = self.rfile.read(int(self.headers["Content-Length"]))
                collector.messages.append(ExportTraceServiceRequest.FromString(body))
                collector.tokens.add(self.headers["Authorization"])
                answer = ExportTraceServiceResponse().SerializeToString()
                self.send_response(200)
                self.send_header("Content-Type", "application/x-protobuf")
                self.send_header("Content-Length", str(len(answer)))
                self.end_headers()
                self.wfile.write(answer)

            def log_message(self, *_: object) -> None:
                pass

        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        threading.Thread(target=self.server.serve_forever, daemon=True).start()

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server.server_port}"

    def spans(self) -> list[Span]:
        resources = [resource for message in list(self.messages) for resource in message.resource_spans]
        return [span for resource in resources for scope in resource.scope_spans for span in scope.spans]

    def of(self, trace: str, n: int = 1) -> list[Span]:
        """The requests of this trace, as soon as there are so many."""
        for _ in range(100):
            found = [span for span in self.spans() if span.trace_id.hex() == trace and span.kind == Span.SPAN_KIND_SERVER]
            if len(found) >= n:
                return found
            time.sleep(0.1)
        raise AssertionError(f"no {trace} among {[span.name for span in self.spans()]}")

    def below(self, parent: Span) -> dict[str, Span]:
        return {span.name: span for span in self.spans() if span.parent_span_id == parent.span_id}


def said(span: Span) -> dict[str, object]:
    return {one.key: getattr(one.value, one.value.WhichOneof("value")) for one in span.attributes}


@pytest.fixture(scope="module")
def traced(tmp_path_factory):
    collector = Collector()
    project = Project(ROOT / "examples/repeat_purchase", tmp_path_factory.mktemp("traced") / "project")
    main = project.folder / "plumb.yaml"
    settings = f'traces: {{endpoint: "{collector.url}", sample: 0%, service: shop-1, headers: {{authorization: canary}}}}\n'
    main.write_text(main.read_text() + settings + "inference: {cache_mb: 4, tuner: advise}\n")
    project.run("apply", "--yes")
    project.run("materialize")
    project.run("model", "register", "repeat_purchase", str(ROOT / "models/repeat_purchase_v1.onnx"))
    project.run("model", "promote", "repeat_purchase", "1")
    server = Server(project)
    yield collector, project, server
    if server.process.poll() is None:
        server.stop()


def rows(module, orders: float = 4) -> list:
    tensor = module.InferInput("features", [1, 3], "FP32")
    tensor.set_data_from_numpy(np.array([[orders, 27.5, 12]], np.float32))
    return [tensor]


def test_a_request_over_http_is_a_span_of_its_callers_trace(traced):
    collector, _, server = traced
    trace, traceparent = new_trace()
    client = triton_http.InferenceServerClient(server.http.removeprefix("http://"))
    headers = {"traceparent": traceparent, "tracestate": "shop=1", "x-request-id": "mine-1"}
    client.infer("repeat_purchase", rows(triton_http), headers=headers)
    (span,) = collector.of(trace)
    assert (span.name, span.parent_span_id.hex(), span.trace_state) == ("POST /v2/models/{model}/infer", PARENT, "shop=1")
    assert span.status.code == Status.STATUS_CODE_UNSET
    about = said(span)
    assert about["http.request.method"] == "POST" and about["http.route"] == "/v2/models/{model}/infer"
    assert about["http.response.status_code"] == 200 and about["plumb.request_id"] == "mine-1"
    assert abs(span.start_time_unix_nano / 1e9 - time.time()) < 60
    parts = collector.below(span)
    assert parts.keys() == {"queue", "infer"}
    assert said(parts["infer"]) == {"plumb.model": "repeat_purchase", "plumb.model.version": 1, "plumb.rows": 1}
    for part in parts.values():
        assert part.trace_id == span.trace_id and part.kind == Span.SPAN_KIND_INTERNAL
        assert span.start_time_unix_nano <= part.start_time_unix_nano <= part.end_time_unix_nano
        assert part.end_time_unix_nano <= span.end_time_unix_nano
    assert collector.tokens == {"canary"}
    resource = collector.messages[0].resource_spans[0].resource
    assert {one.key: one.value.string_value for one in resource.attributes}["service.name"] == "shop-1"


def test_a_prediction_by_keys_says_what_its_features_took(traced):
    collector, _, server = traced
    trace, traceparent = new_trace()
    body = {"entities": {"user_id": [1, 2, 3]}}
    url = f"{server.http}/v1/models/repeat_purchase/predict"
    assert requests.post(url, json=body, headers={"traceparent": traceparent}, timeout=10).status_code == 200
    (span,) = collector.of(trace)
    parts = collector.below(span)
    assert span.name == "POST /v1/models/{model}/predict"
    assert parts.keys() == {"features", "infer"} and said(parts["features"])["plumb.rows"] == 3


def test_a_call_over_grpc_is_one_too_and_so_is_one_that_fails(traced):
    collector, _, server = traced
    trace, traceparent = new_trace()
    client = triton_grpc.InferenceServerClient(server.grpc)
    client.infer("repeat_purchase", rows(triton_grpc, 5), headers={"traceparent": traceparent})
    with pytest.raises(triton_grpc.InferenceServerException):
        client.infer("nobody", rows(triton_grpc), headers={"traceparent": traceparent})
    fine, failed = collector.of(trace, 2)
    assert fine.name == failed.name == "inference.GRPCInferenceService/ModelInfer"
    assert said(fine)["rpc.grpc.status_code"] == grpc.StatusCode.OK.value[0]
    assert said(failed)["rpc.grpc.status_code"] not in (0, None)
    assert said(fine)["rpc.service"] == "inference.GRPCInferenceService" and said(fine)["rpc.method"] == "ModelInfer"
    assert "infer" in collector.below(fine)


def test_who_is_not_traced_is_not_sent_and_errors_name_the_trace(traced):
    collector, _, server = traced
    url = f"{server.http}/v1/models/repeat_purchase/predict"
    body = {"entities": {"user_id": [1]}}
    (unsampled, _), (sampled, traceparent) = new_trace(), new_trace()
    said_not = {"traceparent": f"00-{unsampled}-{PARENT}-00"}
    before = len([span for span in collector.spans() if span.kind == Span.SPAN_KIND_SERVER])
    # No caller says so, and none of these are sampled; one says that it is not.
    for headers in [{}, said_not, {"traceparent": "00-nonsense"}]:
        assert requests.post(url, json=body, headers=headers, timeout=10).status_code == 200
    wrong = requests.post(url, json={}, headers=said_not, timeout=10)
    assert wrong.status_code == 422 and wrong.json()["error"]["trace_id"] == unsampled
    assert requests.post(url, json=body, headers={"traceparent": traceparent}, timeout=10).status_code == 200
    collector.of(sampled)
    assert len([span for span in collector.spans() if span.kind == Span.SPAN_KIND_SERVER]) == before + 1


def test_answers_of_before_are_counted_and_the_tuner_says_what_it_measured(traced):
    _, project, server = traced
    client = triton_http.InferenceServerClient(server.http.removeprefix("http://"))
    for _ in range(3):
        client.infer("repeat_purchase", rows(triton_http))
    (stats,) = client.get_inference_statistics("repeat_purchase")["model_stats"]
    assert stats["inference_stats"]["cache_hit"]["count"] >= 2 and stats["inference_stats"]["cache_miss"]["count"] >= 1
    assert stats["execution_count"] < stats["inference_stats"]["success"]["count"]
    metrics = requests.get(f"{server.http}/metrics", timeout=10).text
    assert 'nv_cache_num_hits_per_model{model="repeat_purchase",version="1"}' in metrics
    assert 'plumb_cache_on{model="repeat_purchase",version="1"} 1' in metrics
    for _ in range(100):
        decisions = requests.get(f"{server.http}/admin/tuner/history", timeout=10).json()["decisions"]
        if decisions:
            break
        time.sleep(0.1)
    assert [one["decision"] for one in decisions] == ["measured"]
    sizes = decisions[0]["measured"][0]["sizes"]
    assert sizes[0]["rows"] == 1 and all(size["us"] > 0 for size in sizes)
    assert json.loads(project.run("tuner", "history", "--output", "json"))["decisions"] == decisions
    assert "measured" in project.run("tuner", "history", "repeat_purchase")
    assert requests.get(f"{server.http}/admin/tuner/history?model=nobody", timeout=10).json() == {"decisions": []}
    assert requests.get(f"{server.http}/admin/tuner/history?limit=x", timeout=10).status_code == 422


def test_a_collector_that_goes_away_costs_no_request(traced):
    collector, _, server = traced
    collector.server.shutdown()
    collector.server.server_close()
    url = f"{server.http}/v1/models/repeat_purchase/predict"
    for _ in range(20):
        body = {"entities": {"user_id": [1]}}
        assert requests.post(url, json=body, headers={"traceparent": new_trace()[1]}, timeout=10).status_code == 200
    for _ in range(150):
        metrics = requests.get(f"{server.http}/metrics", timeout=10).text
        if 'plumb_spans_lost_total{reason="collector"}' in metrics:
            break
        time.sleep(0.1)
    assert 'plumb_spans_lost_total{reason="collector"}' in metrics
    server.stop()
