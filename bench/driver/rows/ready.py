"""`ready`: from the start of `plumb serve` to the first 200 of /readyz, and what the idle server holds.

The demo project: one model in Production, 23,570 users online. There is a goal and no peer.
"""

import subprocess
import time

from ..failure import Failed
from ..machine import Machine, last_lines
from ..process import Server, free_port
from ..table import Goal, Line, Sample

IDLE_S = 2
EVERY_S = 0.001


def measure(machine: Machine) -> list[Line]:
    folder = machine.folder("ready")
    project = folder / "demo"
    address = f"127.0.0.1:{free_port()}"
    command = [machine.plumb, "demo", "--once", "--dir", project, "--http", address]
    done = subprocess.run([str(word) for word in command], capture_output=True, text=True, check=False)
    if done.returncode != 0:
        raise Failed(f"`plumb demo --once` ended with {done.returncode}: {last_lines(done.stdout + done.stderr)}")

    starts, idle = [], []
    # The first start brings the program into the page cache.
    for _ in range(machine.sizes.pairs + 1):
        address = f"127.0.0.1:{free_port()}"
        with Server([machine.plumb, "--project", project, "serve", "--http", address, "--grpc", "127.0.0.1:0"], folder / "serve.log") as server:
            ready_s = server.wait_until(f"http://{address}/readyz", every_s=EVERY_S)
            time.sleep(IDLE_S)
            starts.append(Sample(ready_s, server.peak_mb(), server.cpu_s()))
            idle.append(Sample(server.resident_mb()))
    notes = ["the demo project, one model loaded; resident memory two seconds after the start, without a request"]
    return [
        Line("ready", "start to /readyz", "s", "", None, starts[1:], Goal(at_most=0.5), notes),
        Line("ready", "idle server, resident", "MB", "", None, idle[1:], Goal(at_most=100), notes),
    ]
