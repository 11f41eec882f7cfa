"""What is measured with: programs, environments, sizes; and what the table says about them."""

import datetime
import os
import platform
import shutil
import subprocess
import sys
import time
from dataclasses import dataclass, field, replace
from pathlib import Path

from .failure import Failed, Missing

# Somebody else works here: ratios of pairs survive that, their parts do not.
LOAD_MAX = 0.5
ROOT = Path(__file__).resolve().parents[2]


@dataclass(frozen=True)
class Sizes:
    """How much is measured. All of one run share them."""

    pairs: int = 5
    load_s: int = 5
    warm_up_s: int = 2
    feature_rows: int = 10_000_000
    spine_rows: int = 1_000_000
    entities: int = 100_000
    online_keys: int = 10_000
    materialize_rows: int = 200_000
    registry_versions: int = 10_000

    @classmethod
    def quick(cls) -> "Sizes":
        return cls(
            pairs=3,
            load_s=1,
            warm_up_s=1,
            feature_rows=200_000,
            spine_rows=20_000,
            entities=2_000,
            online_keys=1_000,
            materialize_rows=5_000,
            registry_versions=300,
        )

    def with_pairs(self, pairs: int) -> "Sizes":
        return replace(self, pairs=pairs)


@dataclass
class Machine:
    """This run. `versions` collects what took part, `left_out` what could not."""

    scratch: Path
    sizes: Sizes
    plumb: Path
    bare: Path | None
    parts: Path | None
    redis_url: str | None
    versions: dict[str, str] = field(default_factory=dict)
    left_out: list[tuple[str, str]] = field(default_factory=list)
    load_before: float = field(default_factory=lambda: os.getloadavg()[0])

    @classmethod
    def from_environment(cls, scratch: Path, sizes: Sizes) -> "Machine":
        plumb = program("PLUMB_BIN")
        if plumb is None:
            raise Missing("PLUMB_BIN does not name the plumb binary; start this by `cargo xtask bench`")
        programs = plumb, program("BARE_BIN"), program("PARTS_BIN")
        machine = cls(scratch, sizes, *programs, os.environ.get("PLUMB_TEST_REDIS"))
        version = subprocess.run([plumb, "--version"], capture_output=True, text=True, check=True).stdout.split()[-1]
        # The folder that cargo put it into tells the profile.
        machine.versions["plumb"] = f"{version} ({plumb.parent.name} build)"
        return machine

    @property
    def cache(self) -> Path:
        """Data that takes long to make: kept between runs, safe to delete."""
        folder = ROOT / ".cache" / "bench"
        folder.mkdir(parents=True, exist_ok=True)
        return folder

    def folder(self, name: str) -> Path:
        """A new folder of this run."""
        folder = self.scratch / name
        folder.mkdir()
        return folder

    def leave_out(self, row: str, peer: str, why: Exception) -> None:
        """The row goes on without a peer; the table will say so."""
        self.left_out.append((row, f"{peer} is left out: {why}"))
        print(f"{row}: {peer} is left out: {why}", file=sys.stderr)

    def peer_python(self, peer: str) -> Path:
        variable = f"BENCH_PY_{peer.upper()}"
        python = program(variable)
        if python is None:
            raise Missing(f"{variable} names no python: bench/requirements-{peer}.txt could not be installed")
        return python

    def bare_program(self) -> Path:
        if self.bare is None:
            raise Missing("BARE_BIN does not name the bare handlers; start this by `cargo xtask bench`")
        return self.bare

    def parts_program(self) -> Path:
        if self.parts is None:
            raise Missing("PARTS_BIN does not name the program of parts; start this by `cargo xtask bench`")
        return self.parts

    def package_version(self, python: Path | str, package: str) -> str:
        """The version of an installed package, noted for the table."""
        code = f"import importlib.metadata as m; print(m.version({package!r}))"
        done = subprocess.run([python, "-c", code], capture_output=True, text=True, check=True)
        self.versions[package] = done.stdout.strip()
        return self.versions[package]

    def about(self, quick: bool) -> dict[str, object]:
        """What the table is headed and followed by."""
        warnings = []
        if self.load_before > LOAD_MAX:
            warnings.append(f"the machine was busy (load average {self.load_before:.1f}) when this began")
        if quick:
            warnings.append("QUICK: small data and short loads; these are not the figures")
        if self.plumb.parent.name != "release":
            warnings.append(f"plumb is a {self.plumb.parent.name} build; these are not the figures")
        return {
            "date": datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds"),
            "machine": hardware(),
            "load_average_before": round(self.load_before, 2),
            "reference_ms": reference_ms(),
            "commit": commit(),
            "pairs": self.sizes.pairs,
            "versions": {"python": platform.python_version(), **self.versions},
            "warnings": warnings,
        }


def reference_ms(rounds: int = 5) -> float:
    """Milliseconds of a loop that is always the same, the best of some: absolute figures of two runs are to be compared by it."""

    def loop() -> float:
        began, total = time.perf_counter(), 0
        for i in range(1_000_000):
            total += i * i & 7
        return (time.perf_counter() - began) * 1e3

    return round(min(loop() for _ in range(rounds)), 1)


def program(variable: str) -> Path | None:
    # Absolute but not resolved: a virtual environment's python is a link that must be called by its own name.
    path = os.environ.get(variable)
    return Path(os.path.abspath(path)) if path and Path(path).is_file() else None


def installed(name: str, package: str) -> Path:
    """A program of Debian's, installed through apt where it is missing and we may."""
    found = shutil.which(name)
    if found is None and os.geteuid() == 0 and shutil.which("apt-get"):
        print(f"{name} is missing: installing {package} through apt", file=sys.stderr)
        quiet = {"stdout": subprocess.DEVNULL, "env": {**os.environ, "DEBIAN_FRONTEND": "noninteractive"}}
        apt = ["apt-get", "-o", "DPkg::Lock::Timeout=120"]
        for command in (["update", "-qq"], ["install", "-y", "-qq", "--no-install-recommends", package]):
            subprocess.run([*apt, *command], check=False, **quiet)
        found = shutil.which(name)
    if found is None:
        raise Missing(f"`{name}` is missing; install it, on Debian by `apt-get install {package}`")
    return Path(found)


def python_job(script: str, *args: object, python: Path | str = sys.executable, cwd: Path | None = None) -> str:
    """Runs a script of `bench/` in a process of its own and returns what it printed."""
    command = [str(python), str(ROOT / "bench" / script), *map(str, args)]
    done = subprocess.run(command, capture_output=True, text=True, check=False, cwd=cwd)
    if done.returncode != 0:
        raise Failed(f"{script} {args[0] if args else ''}: {last_lines(done.stderr)}")
    return done.stdout


def last_lines(text: str, n: int = 8) -> str:
    return "\n    ".join(["", *text.strip().splitlines()[-n:]])


def hardware() -> str:
    system = f"{platform.system()} {platform.release()}"
    return f"{len(os.sched_getaffinity(0))} cores of {cpu_name()}, {memory_gb():.0f} GB, {system}"


def cpu_name() -> str:
    for line in Path("/proc/cpuinfo").read_text().splitlines():
        if line.startswith("model name"):
            return line.split(":", 1)[1].strip()
    return platform.machine()


def memory_gb() -> float:
    return os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 1e9


def commit() -> str | None:
    git = ["git", "-C", str(ROOT), "describe", "--always", "--dirty"]
    done = subprocess.run(git, capture_output=True, text=True, check=False)
    return done.stdout.strip() or None
