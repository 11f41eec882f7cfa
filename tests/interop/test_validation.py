"""Bodies of another shape are refused word for word as Feast's own server refuses them: its model is the oracle."""

from __future__ import annotations

import json

import pytest
from feast.feature_server import GetOnlineFeaturesRequest
from pydantic import ValidationError

CARD = {"card_id": [1]}
BODIES = [
    {},
    [],
    1,
    "text",
    {"entities": None},
    {"entities": []},
    {"entities": {"card_id": 1}},
    {"entities": {"card_id": None, "x": {}, "y": "z"}},
    {"features": "x"},
    {"entities": CARD, "features": None},
    {"entities": CARD, "features": {"a": 1}},
    {"entities": CARD, "features": ["kinds:f_int64", 1, None, []]},
    {"entities": CARD, "feature_service": 1},
    {"entities": CARD, "feature_service": ["x"]},
    {"entities": 1, "feature_service": 1, "features": 1, "full_feature_names": 7, "include_feature_view_version_metadata": []},
    *(
        {"entities": CARD, "features": ["kinds:f_int64"], "full_feature_names": flag}
        for flag in [True, False, 0, 1, 0.0, 1.0, 2, -1, 0.5, 2.0, 1e30, "true", "FALSE", "on", "Off", "y", "N", "1", "", "x", None, {}]
    ),
]


@pytest.mark.parametrize("body", BODIES, ids=json.dumps)
def test_shapes_are_judged_as_by_feast(kinds, body):
    response = kinds.ask(json.dumps(body))
    try:
        GetOnlineFeaturesRequest.model_validate(body)
    except ValidationError as wrong:
        wanted = [
            {"type": e["type"], "loc": ["body", *e["loc"]], "msg": e["msg"], "input": e["input"]} for e in wrong.errors()
        ]
        # FastAPI reads a body as attributes too, and names that mistake after it.
        if wanted[0]["type"] == "model_type":
            wanted[0]["type"] = "model_attributes_type"
            wanted[0]["msg"] = "Input should be a valid dictionary or object to extract fields from"
        assert response.status_code == 422
        assert response.json() == {"detail": wanted}
    else:
        assert response.status_code == 200, response.text


@pytest.mark.parametrize("text", ["{", "nope", '{"a": NaN}', '{"entities": {"card_id": [1]},}', b"\xff"])
def test_what_is_no_json_is_refused_with_its_place(kinds, text):
    response = kinds.ask(text)
    assert response.status_code == 422
    [wrong] = response.json()["detail"]
    assert wrong["type"] == "json_invalid"
    assert wrong["loc"][0] == "body" and isinstance(wrong["loc"][1], int)
    assert (wrong["msg"], wrong["input"]) == ("JSON decode error", {})


def test_no_body_is_a_missing_body(kinds):
    response = kinds.ask("")
    assert (response.status_code, response.json()) == (
        422,
        {"detail": [{"type": "missing", "loc": ["body"], "msg": "Field required", "input": None}]},
    )
