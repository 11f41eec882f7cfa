"""One line per comparison, and the table that they make."""

import statistics
from collections.abc import Callable
from dataclasses import asdict, dataclass, field


@dataclass(frozen=True)
class Sample:
    """One measurement. `cpu` is in seconds of the whole run, or of a thousand requests."""

    value: float
    peak_mb: float | None = None
    cpu: float | None = None
    more: dict[str, float] = field(default_factory=dict)


@dataclass(frozen=True)
class Goal:
    """What the ratio ours / peer's (or, without a peer, our value) should be."""

    at_least: float | None = None
    at_most: float | None = None

    def met(self, value: float) -> bool:
        return value >= self.at_least if self.at_least is not None else value <= self.at_most

    def __str__(self) -> str:
        return f">= {self.at_least:g}" if self.at_least is not None else f"<= {self.at_most:g}"


@dataclass(frozen=True)
class Line:
    """Pairs of measurements of one thing, taken in turn; `peer` is None where there is only a goal."""

    row: str
    work: str
    unit: str
    peer_name: str
    peer: list[Sample] | None
    ours: list[Sample]
    goal: Goal | None = None
    notes: list[str] = field(default_factory=list)

    def ratios(self) -> list[float]:
        """Ours to the peer's, pair by pair."""
        return [ours.value / peer.value for ours, peer in zip(self.ours, self.peer or [], strict=False)]

    def judged(self) -> float:
        return statistics.median(self.ratios() or [sample.value for sample in self.ours])

    def memory(self, goal: Goal) -> "Line":
        """The same runs by their peak memory."""
        peer, ours = ([Sample(sample.peak_mb) for sample in side] for side in (self.peer or [], self.ours))
        return Line(self.row, self.work, "MB", self.peer_name, peer, ours, goal)


HEADINGS = ["WORK", "UNIT", "PEER", "PEER'S", "OURS", "RATIO [MIN, MAX]", "GOAL", "", "P50 MS", "PEAK MB", "CPU S"]
LEFT = {0, 1, 2, 6, 7}


def render(lines: list[Line], failures: list[tuple[str, str]], about: dict[str, object]) -> str:
    rows = [HEADINGS, *(cells(line) for line in lines)]
    widths = [max(len(row[i]) for row in rows) for i in range(len(HEADINGS))]
    out = ["", *(f"*** {warning} ***" for warning in about["warnings"])]
    for row in rows:
        padded = (cell.ljust(widths[i]) if i in LEFT else cell.rjust(widths[i]) for i, cell in enumerate(row))
        out.append("  ".join(padded).rstrip())
    notes = {line.row: line.notes for line in lines if line.notes}
    out += ["", *(f"{row}: {'; '.join(said)}." for row, said in notes.items())]
    out += [f"{name}: NOT MEASURED, {why}" for name, why in failures]
    out += [
        f"Ratio: ours to the peer's, the median of {about['pairs']} pairs measured in turn."
        " P50, peak MB and CPU s: peer / ours; CPU s of servers is for 1,000 requests.",
        f"{about['machine']}; {about['date']}; commit {about['commit']}",
        f"A loop of a million steps in Python took {about['reference_ms']} ms: how fast the machine was.",
        ", ".join(f"{name} {version}" for name, version in about["versions"].items()),
    ]
    return "\n".join(out)


def cells(line: Line) -> list[str]:
    ratios = line.ratios()
    spread = f"{number(statistics.median(ratios))} [{number(min(ratios))}, {number(max(ratios))}]" if ratios else ""
    verdict = "" if line.goal is None else "met" if line.goal.met(line.judged()) else "MISSED"
    return [
        line.work,
        line.unit,
        line.peer_name,
        middle(line.peer or [], lambda sample: sample.value),
        middle(line.ours, lambda sample: sample.value),
        spread,
        str(line.goal or ""),
        verdict,
        both(line, lambda sample: sample.more.get("p50_ms")),
        both(line, lambda sample: sample.peak_mb),
        both(line, lambda sample: sample.cpu),
    ]


def both(line: Line, of: Callable[[Sample], float | None]) -> str:
    return " / ".join(side for side in (middle(line.peer or [], of), middle(line.ours, of)) if side)


def middle(samples: list[Sample], of: Callable[[Sample], float | None]) -> str:
    values = [value for value in map(of, samples) if value is not None]
    return number(statistics.median(values)) if values else ""


def number(value: float) -> str:
    """Three significant digits; whole from a hundred on."""
    return f"{value:,.0f}" if abs(value) >= 100 else f"{value:.3g}"


def as_json(lines: list[Line], failures: list[tuple[str, str]], about: dict[str, object]) -> dict[str, object]:
    def one(line: Line) -> dict[str, object]:
        met = None if line.goal is None else line.goal.met(line.judged())
        judged = {"ratios": line.ratios(), "judged": line.judged(), "goal": str(line.goal or ""), "met": met}
        return {**asdict(line), **judged}

    failed = [{"row": name, "why": why} for name, why in failures]
    return {"about": about, "lines": [one(line) for line in lines], "failures": failed}
