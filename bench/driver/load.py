"""A closed loop of requests: wrk, one thread, on the same cores as what it asks."""

import json
import subprocess
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from .failure import Failed
from .machine import ROOT, Machine, installed, last_lines
from .process import Server
from .table import Sample

TIMEOUT_S = 30


@dataclass(frozen=True)
class Target:
    """A server, where it is asked, and the file of bodies (or of `paths`, or `tensors`) that it is sent, one a line."""

    name: str
    server: Server
    url: str
    bodies: Path
    lines: str = "bodies"

    def under(self, machine: Machine, connections: int, seconds: int) -> Sample:
        """Requests per second with this many connections."""
        before = self.server.cpu_s()
        done = wrk(machine, self.url, self.lines, self.bodies, connections, seconds)
        requests = done["requests"]
        return Sample(
            value=requests / (done["duration_us"] / 1e6),
            peak_mb=self.server.peak_mb(),
            cpu=(self.server.cpu_s() - before) / requests * 1e3,
            more={"p50_ms": done["p50_us"] / 1e3, "p99_ms": done["p99_us"] / 1e3},
        )


def wrk(machine: Machine, url: str, lines: str, bodies: Path, connections: int, seconds: int) -> dict[str, float]:
    program = installed("wrk", "wrk")
    if "wrk" not in machine.versions:
        said = subprocess.run([program, "-v"], capture_output=True, text=True, check=False)
        machine.versions["wrk"] = (said.stdout + said.stderr).split()[1]
    command = [program, "-t1", f"-c{connections}", f"-d{seconds}s", "--timeout", f"{TIMEOUT_S}s"]
    command += ["-s", ROOT / "bench" / "send.lua", url, "--", lines, bodies]
    done = subprocess.run([str(word) for word in command], capture_output=True, text=True, check=False)
    result = [line for line in done.stdout.splitlines() if line.startswith("{")]
    if done.returncode != 0 or not result:
        raise Failed(f"wrk on {url}: {last_lines(done.stdout + done.stderr)}")
    counts = json.loads(result[-1])
    if counts["errors"] or not counts["requests"]:
        raise Failed(f"{url}: {counts['errors']} errors in {counts['requests']} requests under load")
    return counts


def in_turn(machine: Machine, targets: Iterable[Target], connections: int) -> dict[str, list[Sample]]:
    """A warm-up of each, then rounds in which each is measured once."""
    targets, sizes = list(targets), machine.sizes
    for target in targets:
        target.under(machine, connections, sizes.warm_up_s)
    samples: dict[str, list[Sample]] = {target.name: [] for target in targets}
    for _ in range(sizes.pairs):
        for target in targets:
            samples[target.name].append(target.under(machine, connections, sizes.load_s))
    return samples


def write_bodies(path: Path, bodies: Iterable[object]) -> Path:
    path.write_text("".join(json.dumps(body, separators=(",", ":")) + "\n" for body in bodies))
    return path
