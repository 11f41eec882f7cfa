"""Processes: run to the end, or kept as servers; with their time, CPU seconds and peak memory.

Peak memory is the high-water mark of resident memory (`VmHWM`). Of a server with several processes it is their sum,
which counts pages that they share more than once.
"""

import contextlib
import json
import os
import signal
import socket
import subprocess
import threading
import time
import urllib.error
import urllib.request
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from .failure import Failed
from .machine import last_lines

SAMPLE_S = 0.005
TICKS = os.sysconf("SC_CLK_TCK")
STOP_WITHIN_S = 10


@dataclass(frozen=True)
class Usage:
    wall_s: float
    cpu_s: float
    peak_mb: float


def run(command: Sequence[object], log: Path, env: Mapping[str, str] | None = None) -> Usage:
    """Runs a program to its end."""
    words = [str(word) for word in command]
    with log.open("w") as out:
        started = time.perf_counter()
        process = subprocess.Popen(words, stdout=out, stderr=subprocess.STDOUT, env={**os.environ, **(env or {})})
        sampler = Sampler(process.pid)
        _, status, spent = os.wait4(process.pid, 0)
        wall_s = time.perf_counter() - started
    peak_mb = sampler.end()
    process.returncode = os.waitstatus_to_exitcode(status)
    if process.returncode != 0:
        name = " ".join([Path(words[0]).name, *words[1:3]])
        raise Failed(f"`{name}` ended with {process.returncode}: {last_lines(log.read_text(errors='replace'))}")
    # The kernel's own figure starts from what we held when we forked, so it counts only above that.
    exact_mb = spent.ru_maxrss / 1024
    if exact_mb > high_water_mb(os.getpid()):
        peak_mb = max(peak_mb, exact_mb)
    return Usage(wall_s, spent.ru_utime + spent.ru_stime, peak_mb)


class Sampler:
    """Follows the high-water mark of a process, which is gone when the process is."""

    def __init__(self, pid: int) -> None:
        self.pid, self.peak_mb, self.ended = pid, 0.0, threading.Event()
        self.thread = threading.Thread(target=self.follow, daemon=True)
        self.thread.start()

    def follow(self) -> None:
        while not self.ended.wait(SAMPLE_S):
            self.peak_mb = max(self.peak_mb, high_water_mb(self.pid))

    def end(self) -> float:
        self.ended.set()
        self.thread.join()
        return self.peak_mb


class Server:
    """A server of ours: a session of its own, ended with everything that it started."""

    def __init__(
        self, command: Sequence[object], log: Path, env: Mapping[str, str] | None = None, cwd: Path | None = None
    ) -> None:
        self.log, self.started = log, time.perf_counter()
        with log.open("w") as out:
            self.process = subprocess.Popen(
                [str(word) for word in command],
                stdin=subprocess.DEVNULL,
                stdout=out,
                stderr=subprocess.STDOUT,
                env={**os.environ, **(env or {})},
                cwd=cwd,
                start_new_session=True,
            )

    def __enter__(self) -> "Server":
        return self

    def __exit__(self, *_: object) -> None:
        self.signal(signal.SIGTERM)
        with contextlib.suppress(subprocess.TimeoutExpired):
            self.process.wait(STOP_WITHIN_S)
        self.signal(signal.SIGKILL)
        self.process.wait()

    def signal(self, number: int) -> None:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(self.process.pid, number)

    def wait_until(self, url: str, body: object = None, within_s: float = 120, every_s: float = 0.05) -> float:
        """Seconds from the start to the first answer of 200."""
        while time.perf_counter() - self.started < within_s:
            if self.process.poll() is not None:
                break
            try:
                ask(url, body, timeout_s=10)
                return time.perf_counter() - self.started
            except (OSError, Failed):
                time.sleep(every_s)
        ended = self.process.poll()
        state = f"ended with {ended}" if ended is not None else f"is not ready after {within_s} s"
        raise Failed(f"`{Path(self.process.args[0]).name}` {state}: {last_lines(self.log.read_text(errors='replace'))}")

    def pids(self) -> list[int]:
        """The server's process and all that it started."""
        ours = []
        for folder in Path("/proc").iterdir():
            if folder.name.isdigit():
                fields = stat_fields(int(folder.name))
                if fields and int(fields[3]) == self.process.pid:
                    ours.append(int(folder.name))
        return ours

    def cpu_s(self) -> float:
        stats = [stat_fields(pid) for pid in self.pids()]
        return sum((int(fields[11]) + int(fields[12])) / TICKS for fields in stats if fields)

    def peak_mb(self) -> float:
        return sum(high_water_mb(pid) for pid in self.pids())

    def resident_mb(self) -> float:
        return sum(status_mb(pid, "VmRSS") for pid in self.pids())


def stat_fields(pid: int) -> list[str] | None:
    """Fields of /proc/PID/stat from the third, `state`, on; the name before them may hold anything."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    except OSError:
        return None


def high_water_mb(pid: int) -> float:
    return status_mb(pid, "VmHWM")


def status_mb(pid: int, name: str) -> float:
    try:
        for line in Path(f"/proc/{pid}/status").read_text().splitlines():
            if line.startswith(name + ":"):
                return int(line.split()[1]) / 1024
    except OSError:
        pass
    return 0.0


def ask(url: str, body: object = None, timeout_s: float = 60) -> object:
    """The JSON of an answer; POST where there is a body."""
    data = None if body is None else json.dumps(body).encode()
    request = urllib.request.Request(url, data, {"Content-Type": "application/json"})
    try:
        with urllib.request.urlopen(request, timeout=timeout_s) as answer:
            text = answer.read()
    except urllib.error.HTTPError as error:
        raise Failed(f"{url} answered {error.code}: {error.read().decode(errors='replace')[:500]}") from error
    try:
        return json.loads(text) if text.strip() else None
    except ValueError:
        return text.decode(errors="replace")


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]
