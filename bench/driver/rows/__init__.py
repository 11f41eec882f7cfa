"""The rows by name: each measures and returns its lines of the table."""

from collections.abc import Callable

from ..machine import Machine
from ..table import Line
from . import features, isolation, materialize, on_demand, predict, ready, registry, training_set

ROWS: dict[str, Callable[[Machine], list[Line]]] = {
    "training-set": training_set.measure,
    "training-set-512mb": training_set.measure_limited,
    "features-1": features.measure_one,
    "features-100": features.measure_hundred,
    "on-demand": on_demand.measure,
    "predict": predict.measure,
    "predict-key": predict.measure_by_key,
    "isolation": isolation.measure,
    "ready": ready.measure,
    "materialize": materialize.measure,
    "registry": registry.measure,
}
