#!/usr/bin/env python3
"""Trains the demo's two models on the training sets that plumb builds, and writes them here with golden answers.

    pip install -r models/requirements.txt
    python models/train.py --plumb target/release/plumb --project examples/repeat_purchase

For each service: `plumb` joins the training set, scikit-learn fits, skl2onnx converts, and onnxruntime runs the written
file to get the golden answers. The features of the golden predictions are computed from orders.parquet by pandas alone,
so that a server which agrees with them agrees with something other than itself.
"""

import argparse
import json
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import onnx
import onnxruntime
import pandas as pd
import pyarrow.parquet as pq
import sklearn
from skl2onnx import convert_sklearn
from skl2onnx.common.data_types import FloatTensorType
from sklearn.base import ClassifierMixin
from sklearn.ensemble import GradientBoostingClassifier
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import log_loss, roc_auc_score
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

LABEL = "bought_again"
SPINE_COLUMNS = ["user_id", "event_time", LABEL]
HOLD_OUT_MONTHS = 2
N_FOLDS = 5

# What the project's definitions say; the golden predictions are computed from these without asking plumb.
TTL = pd.Timedelta(days=365)
PREDICTIONS_AT = pd.Timestamp("1998-07-01", tz="UTC")

TOLERANCE = 1e-6
SIZE_MAX = 200_000
OPSETS = {"": 18, "ai.onnx.ml": 3}
IR_VERSION = 10


@dataclass(frozen=True)
class Recipe:
    """One model: the service it eats, how it is fitted, and how that is said in the file."""

    service: str
    features: list[str]
    summary: str
    estimator: Callable[[], ClassifierMixin]


RECIPES = [
    Recipe(
        service="repeat_purchase_v1",
        features=["total_orders", "avg_order_value", "days_since_last_order"],
        summary="StandardScaler and LogisticRegression",
        estimator=lambda: make_pipeline(StandardScaler(), LogisticRegression(random_state=0)),
    ),
    Recipe(
        service="repeat_purchase_v2",
        features=["total_orders", "avg_order_value", "days_since_last_order", "total_cds"],
        summary="GradientBoostingClassifier, 60 trees of depth 3",
        estimator=lambda: GradientBoostingClassifier(n_estimators=60, max_depth=3, random_state=0),
    ),
]


@dataclass(frozen=True)
class TrainingSet:
    """What `plumb training-set build` gave: one row per spine row, features filled as the model sees them."""

    rows: pd.DataFrame
    features: list[str]
    fill: dict[str, float]
    service_fingerprint: str


@dataclass(frozen=True)
class Quality:
    auc: float
    log_loss: float


def main() -> None:
    here = Path(__file__).resolve().parent
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--plumb", type=Path, required=True, help="the plumb binary")
    parser.add_argument("--project", type=Path, default=here.parent / "examples" / "repeat_purchase")
    parser.add_argument("--out", type=Path, default=here, help="where the models are written")
    args = parser.parse_args()

    with tempfile.TemporaryDirectory() as scratch:
        project = Path(scratch) / args.project.resolve().name
        shutil.copytree(args.project, project, ignore=shutil.ignore_patterns(".*"))
        plumb = args.plumb.resolve()
        run_plumb(plumb, project, "apply", "--yes")

        orders = pd.read_parquet(project / "data" / "orders.parquet")
        v1, v2 = (
            train(recipe, build_training_set(plumb, project, recipe), orders, args.out) for recipe in RECIPES
        )

    if v2.auc < v1.auc or v2.log_loss > v1.log_loss:
        sys.exit(f"the second model is worse than the first on the held-out months: {v2}, {v1}")


# === plumb ===


def run_plumb(plumb: Path, project: Path, *words: str) -> dict:
    command = [str(plumb), *words, "--project", str(project), "--output", "json"]
    done = subprocess.run(command, check=False, cwd=project, stdout=subprocess.PIPE, text=True)
    if done.returncode != 0:
        sys.exit(f"`plumb {' '.join(words)}` ended with status {done.returncode}\n{done.stdout}")
    return json.loads(done.stdout)


def build_training_set(plumb: Path, project: Path, recipe: Recipe) -> TrainingSet:
    file = project / f"train_{recipe.service}.parquet"
    started = time.monotonic()
    answer = run_plumb(
        plumb, project, "training-set", "build", "--service", recipe.service,
        "--spine", "spine.sql", "--filled", "--out", str(file),
    )  # fmt: skip
    table = pq.read_table(file)
    took = time.monotonic() - started

    expected = SPINE_COLUMNS + recipe.features
    if table.column_names != expected:
        sys.exit(f"{recipe.service}: the training set has columns {table.column_names}, expected {expected}")
    inside = (table.schema.metadata or {}).get(b"plumb.service_fingerprint", b"").decode()
    if inside != answer["service_fingerprint"]:
        sys.exit(f"{recipe.service}: the file says fingerprint {inside!r}, plumb says {answer['service_fingerprint']!r}")

    rows = table.to_pandas()
    rows["event_time"] = pd.to_datetime(rows["event_time"], utc=True)
    if nulls := int(rows.isna().sum().sum()):
        sys.exit(f"{recipe.service}: the filled training set has {nulls} nulls")
    print(f"{recipe.service}: {len(rows):,} rows in {took:.1f} s, {rows[LABEL].mean():.1%} bought again")
    return TrainingSet(
        rows=rows,
        features=recipe.features,
        fill={name: answer["fill"][name] for name in recipe.features},
        service_fingerprint=answer["service_fingerprint"],
    )


# === training ===


def train(recipe: Recipe, training_set: TrainingSet, orders: pd.DataFrame, out: Path) -> Quality:
    """Writes the model, fitted on all months, and its golden answers; returns its quality on the held-out months."""
    rows = training_set.rows
    quality = evaluate(recipe, rows)

    inputs = matrix(rows, recipe.features)
    estimator = recipe.estimator().fit(inputs, rows[LABEL])
    path = out / f"{recipe.service}.onnx"
    path.write_bytes(to_onnx(recipe, training_set, estimator, quality).SerializeToString(deterministic=True))
    size = path.stat().st_size
    if size >= SIZE_MAX:
        sys.exit(f"{path.name} has {size:,} bytes, which is not below {SIZE_MAX:,}")

    session = onnxruntime.InferenceSession(path, providers=["CPUExecutionProvider"])
    labels, probabilities = session.run(["label", "probabilities"], {"features": inputs})
    drift = np.abs(probabilities - estimator.predict_proba(inputs)).max()
    if drift > 1e-5:
        sys.exit(f"{path.name}: onnxruntime and scikit-learn differ by {drift:.2e}")

    golden = golden_answers(recipe, training_set, orders, session, probabilities[:, 1])
    path.with_suffix(".golden.json").write_text(json.dumps(golden, indent=1) + "\n")
    print(
        f"{recipe.service}: on the last {HOLD_OUT_MONTHS} months AUC {quality.auc:.4f}, log loss {quality.log_loss:.4f}; "
        f"{size:,} bytes, largest difference from scikit-learn {drift:.1e}, {int(labels.sum()):,} labels of 1"
    )
    return quality


def evaluate(recipe: Recipe, rows: pd.DataFrame) -> Quality:
    """Scores the last months, each user by a fit on the earlier months of other users.

    Labels of the months before reach into the held-out ones, so a user's own earlier rows would tell part of the answer.
    """
    held_out_from = rows["event_time"].drop_duplicates().nlargest(HOLD_OUT_MONTHS).min()
    earlier = rows[rows["event_time"] < held_out_from]
    held_out = rows[rows["event_time"] >= held_out_from]
    scores = np.empty(len(held_out))
    for fold in range(N_FOLDS):
        others = earlier[earlier["user_id"] % N_FOLDS != fold]
        asked = (held_out["user_id"] % N_FOLDS == fold).to_numpy()
        estimator = recipe.estimator().fit(matrix(others, recipe.features), others[LABEL])
        scores[asked] = estimator.predict_proba(matrix(held_out[asked], recipe.features))[:, 1]
    return Quality(
        auc=float(roc_auc_score(held_out[LABEL], scores)),
        log_loss=float(log_loss(held_out[LABEL], scores)),
    )


def matrix(rows: pd.DataFrame, features: list[str]) -> np.ndarray:
    """`[n, features]` in float32, as the ONNX model takes them."""
    return np.ascontiguousarray(rows[features].to_numpy(dtype=np.float64).astype(np.float32))


def to_onnx(recipe: Recipe, training_set: TrainingSet, estimator: ClassifierMixin, quality: Quality) -> onnx.ModelProto:
    model = convert_sklearn(
        estimator,
        name=recipe.service,
        initial_types=[("features", FloatTensorType([None, len(recipe.features)]))],
        options={"zipmap": False},
        target_opset=OPSETS,
    )
    model.ir_version = IR_VERSION
    # The converter lists these in no fixed order, and some twice; now the same training set gives the same bytes.
    opsets = {opset.domain: opset.version for opset in model.opset_import}
    del model.opset_import[:]
    model.opset_import.extend(onnx.helper.make_opsetid(domain, opsets[domain]) for domain in sorted(opsets))
    names = [output.name for output in model.graph.output]
    if names != ["label", "probabilities"]:
        sys.exit(f"{recipe.service}: the converter named the outputs {names}")

    rows = training_set.rows
    first, last = iso(rows["event_time"].min()), iso(rows["event_time"].max())
    model.doc_string = (
        f"Will a user buy again within 90 days? {recipe.summary} (scikit-learn {sklearn.__version__}), fitted by "
        f"models/train.py on the {len(rows)} rows of the training set of {recipe.service}, {first} to {last}. "
        f"On the last {HOLD_OUT_MONTHS} months, of users and months it was not fitted on, the same recipe has "
        f"AUC {quality.auc:.4f} and log loss {quality.log_loss:.4f}."
    )
    onnx.helper.set_model_props(
        model,
        {
            "plumb.service": recipe.service,
            "plumb.service_fingerprint": training_set.service_fingerprint,
            "plumb.features": json.dumps(recipe.features),
            "plumb.trained_on": json.dumps({"rows": len(rows), "from": first, "to": last}),
        },
    )
    onnx.checker.check_model(model, full_check=True)
    return model


# === golden answers ===


def golden_answers(
    recipe: Recipe,
    training_set: TrainingSet,
    orders: pd.DataFrame,
    session: onnxruntime.InferenceSession,
    scores: np.ndarray,
) -> dict:
    """Rows of the training set, and predictions for real users at one time, each run alone through the written file."""
    joined = golden_rows(training_set, scores)
    predicted = features_from_orders(orders, golden_users(orders), training_set)
    return {
        "model": f"{recipe.service}.onnx",
        "service": recipe.service,
        "service_fingerprint": training_set.service_fingerprint,
        "tolerance": TOLERANCE,
        "inputs": golden_inputs(joined, recipe.features),
        "outputs": golden_outputs(session, joined, recipe.features),
        "predictions_at": iso(PREDICTIONS_AT),
        "predictions": {
            "inputs": golden_inputs(predicted, recipe.features),
            "outputs": golden_outputs(session, predicted, recipe.features),
        },
    }


def golden_rows(training_set: TrainingSet, scores: np.ndarray) -> pd.DataFrame:
    """20 rows spread evenly over the scores, lowest and highest included, and 5 whose features are all filled."""
    rows = training_set.rows
    filled = np.all([rows[name] == value for name, value in training_set.fill.items()], axis=0)
    by_score = np.argsort(scores, kind="stable")
    chosen = [*spread(by_score[~filled[by_score]], 20), *spread(np.flatnonzero(filled), 5)]
    return rows.iloc[sorted(chosen)]


def golden_users(orders: pd.DataFrame) -> list[int]:
    """12 users within the TTL and 8 outside, each from one end of the range of last orders to the other.

    The last orders nearest to the TTL's edge, on either side, are so among them.
    """
    last = orders[orders["ordered_at"] <= PREDICTIONS_AT].groupby("user_id")["ordered_at"].max()
    last = last.sort_values(kind="stable")
    inside = PREDICTIONS_AT - last <= TTL
    return sorted([*spread(last.index[inside], 12), *spread(last.index[~inside], 8)])


def features_from_orders(orders: pd.DataFrame, users: list[int], training_set: TrainingSet) -> pd.DataFrame:
    """The services' features at `PREDICTIONS_AT`, from the orders alone."""
    known = orders[orders["ordered_at"] <= PREDICTIONS_AT]
    rows = []
    for user in users:
        # The state is that of the last row in time order, and of rows of one day the one that arrived last.
        history = known[known["user_id"] == user].sort_values("ordered_at", kind="stable")
        age = PREDICTIONS_AT - history["ordered_at"].iloc[-1]
        if age <= TTL:
            features = {
                "total_orders": len(history),
                # cumsum adds in order; pandas' sum compensates and numpy's adds in pairs, which can differ in the last bit.
                "avg_order_value": float(np.cumsum(history["amount"].to_numpy())[-1]) / len(history),
                "days_since_last_order": age / pd.Timedelta(days=1),
                "total_cds": int(history["cds"].sum()),
            }
        else:
            features = training_set.fill
        rows.append({"user_id": user, "event_time": PREDICTIONS_AT} | features)
    dtypes = training_set.rows[training_set.features].dtypes.to_dict()
    return pd.DataFrame(rows)[["user_id", "event_time", *training_set.features]].astype(dtypes)


def golden_inputs(rows: pd.DataFrame, features: list[str]) -> list[dict]:
    return [
        {
            "user_id": int(row["user_id"]),
            "event_time": iso(row["event_time"]),
            "features": {name: row[name] for name in features},
        }
        for row in rows.to_dict("records")
    ]


def golden_outputs(session: onnxruntime.InferenceSession, rows: pd.DataFrame, features: list[str]) -> list[dict]:
    outputs = []
    for row in matrix(rows, features):
        label, probabilities = session.run(["label", "probabilities"], {"features": row[np.newaxis]})
        outputs.append({"label": int(label[0]), "probabilities": [float(p) for p in probabilities[0]]})
    return outputs


def spread(items: np.ndarray | pd.Index, n: int) -> list[int]:
    """`n` of the items (all of them, if fewer) at even distances, first and last included."""
    return [int(items[i]) for i in np.unique(np.linspace(0, len(items) - 1, n).round().astype(int))] if len(items) else []


def iso(time: pd.Timestamp) -> str:
    return time.strftime("%Y-%m-%dT%H:%M:%SZ")


if __name__ == "__main__":
    main()
