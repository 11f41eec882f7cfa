"""`on-demand`: ten expressions of an on-demand view on one row, without the request around them.

There is a goal and no peer.
"""

import json
import math
import subprocess

from ..failure import Different, Failed
from ..machine import Machine, last_lines
from ..table import Goal, Line, Sample

A, B, N, HOURS = 1.5, 0.5, 4, 2.0
# What the ten are for that row, in the order of bench/parts/src/ten.yaml.
WANTED = [A + B, A / B, A * 2, A > B, A, N * 2 + 1, math.sqrt(abs(A - B)), HOURS, True, math.log(1 + A * A)]


def measure(machine: Machine) -> list[Line]:
    command = [machine.parts_program(), "on-demand", machine.sizes.pairs + 1]
    done = subprocess.run([str(word) for word in command], capture_output=True, text=True, check=False)
    if done.returncode != 0:
        raise Failed(f"`parts on-demand` ended with {done.returncode}: {last_lines(done.stdout + done.stderr)}")
    answer = json.loads(done.stdout)
    if answer["values"] != WANTED:
        raise Different(f"the expressions are {answer['values']}; they should be {WANTED}")
    # The first batch warms caches and allocator.
    samples = [Sample(ns / 1_000) for ns in answer["ns"][1:]]
    notes = ["the mean of 10,000 evaluations, one thread, no request around them"]
    return [Line("on-demand", "10 expressions, one row", "us", "", None, samples, Goal(at_most=20), notes)]
