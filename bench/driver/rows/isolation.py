"""`isolation`: the 99th percentile of one model's answers, alone and while another model of the same server is loaded or flooded."""

import json
import threading
import urllib.request
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from .. import project
from ..load import Target, write_bodies
from ..machine import Machine, python_job
from ..process import Server, free_port
from ..table import Goal, Line, Sample
from .features import online_data
from .predict import MODEL, N_FEATURES, N_ROWS, model_file, one_row

OTHER = "other"
FLOOD = 8


def measure(machine: Machine) -> list[Line]:
    folder = machine.folder("isolation")
    data, model = online_data(machine, machine.sizes.online_keys, N_FEATURES), model_file(machine)
    values = json.loads(python_job("data.py", "rows", data, N_ROWS))["values"]
    ours = folder / "project"
    ours.mkdir()
    project.make(machine, ours, data, N_FEATURES, "{kind: embedded}")
    project.plumb(machine, ours, "materialize")
    for name in (MODEL, OTHER):
        project.plumb(machine, ours, "model", "register", name, model, "--service", project.SERVICE)
        project.plumb(machine, ours, "model", "promote", name, 1, "--to", "production")
    address = f"127.0.0.1:{free_port()}"
    bodies = write_bodies(folder / "rows.bodies", (one_row("input", row) for row in values))
    with Server([machine.plumb, "--project", ours, "serve", "--http", address, "--grpc", "127.0.0.1:0"], folder / "log") as server:
        server.wait_until(f"http://{address}/readyz")
        target = lambda name: Target(name, server, f"http://{address}/v2/models/{name}/infer", bodies)  # noqa: E731
        one, other = target(MODEL), target(OTHER)
        # The other's connections go on for a little longer than what is measured beside them.
        flood = lambda: other.under(machine, FLOOD, 1)  # noqa: E731
        disturbed: dict[str, Callable[[], object]] = {
            "while another is loaded again and again": lambda: load(address, OTHER),
            f"while another is flooded over {FLOOD} connections": flood,
        }
        one.under(machine, 1, machine.sizes.warm_up_s)
        lines = []
        for what, does in disturbed.items():
            alone, beside = [], []
            for _ in range(machine.sizes.pairs):
                alone.append(p99(one.under(machine, 1, machine.sizes.load_s)))
                with repeated(does):
                    beside.append(p99(one.under(machine, 1, machine.sizes.load_s)))
            work = f"p99 of one model, 1 conn., {what}"
            lines.append(Line("isolation", work, "ms", "alone", alone, beside, Goal(at_most=1.2), [NOTE]))
    return lines


NOTE = "wrk, the flood's own wrk and the server share the cores: on two of them a flood takes what it takes"


def p99(sample: Sample) -> Sample:
    return Sample(sample.more["p99_ms"], sample.peak_mb, sample.cpu, sample.more)


def load(address: str, name: str) -> None:
    request = urllib.request.Request(f"http://{address}/v2/repository/models/{name}/load", b"{}", method="POST")
    urllib.request.urlopen(request, timeout=60).read()


@contextmanager
def repeated(does: Callable[[], object]) -> Iterator[None]:
    """Again and again beside what is done here."""
    stop = threading.Event()

    def run() -> None:
        while not stop.is_set():
            does()

    thread = threading.Thread(target=run, daemon=True)
    thread.start()
    try:
        yield
    finally:
        stop.set()
        thread.join()
