"""Plumb projects of one entity, one view of floats, and a service of all of them."""

import json
import subprocess
from pathlib import Path

from .failure import Failed
from .machine import Machine, last_lines

VIEW = "stats"
SERVICE = "bench_v1"

DEFINITIONS = """\
kind: entity
name: item
join_key: k
type: int64
---
kind: source
name: rows
path: {source}
event_time: event_time
---
kind: feature_view
name: {view}
entity: item
source: rows
features:
{features}
---
kind: feature_service
name: {service}
features:
{references}
fill: {{{fill}}}
"""


def make(machine: Machine, folder: Path, source: Path, n_features: int, online: str) -> Path:
    """Writes and applies a project that reads `source`."""
    names = [f"f{i}" for i in range(n_features)]
    # Its own path for the file, so that the project is like a user's; the bytes are shared.
    (folder / "data").mkdir()
    (folder / "data" / "rows.parquet").symlink_to(source)
    (folder / "plumb.yaml").write_text(f"project: bench\nonline: {online}\n")
    text = DEFINITIONS.format(
        source="data/rows.parquet",
        view=VIEW,
        service=SERVICE,
        features="\n".join(f"  - {{name: {name}, type: float64}}" for name in names),
        references="\n".join(f"  - {VIEW}:{name}" for name in names),
        fill=", ".join(f"{name}: 0.0" for name in names),
    )
    (folder / "definitions.yaml").write_text(text)
    plumb(machine, folder, "apply", "--yes")
    return folder


def plumb(machine: Machine, project: Path, *args: object) -> dict[str, object]:
    """Runs a command of plumb that is not measured, and returns its answer."""
    command = [str(machine.plumb), "--project", str(project), "--output", "json", *map(str, args)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode != 0:
        said = last_lines(done.stdout + done.stderr)
        raise Failed(f"`plumb {' '.join(map(str, args))}` ended with {done.returncode}: {said}")
    return json.loads(done.stdout)
