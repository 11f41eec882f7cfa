"""`/get-online-features` token by token: what the SDK would hide."""

from __future__ import annotations

import json

import kinds_data
import pyarrow as pa
import pytest
import requests
from feast import FeatureStore
from plumb import HERE, Project, Server, feature_store

EPOCH = "1970-01-01T00:00:00Z"
HALF_HOUR_AGO = "2026-11-22T17:30:00Z"


def columns(answer: dict) -> dict[str, dict]:
    return dict(zip(answer["metadata"]["feature_names"], answer["results"], strict=True))


def ask(server, **body) -> dict:
    response = server.ask(body)
    assert response.status_code == 200, response.text
    return columns(response.json())


# By card, the tokens of each type: card 1 an ordinary value, 2 the extremes, 3 null, 4 what JSON lacks.
TOKENS = {
    "f_bool": "[true,false,null,true]",
    "f_int8": "[1,-128,null,1]",
    "f_int16": "[1,-32768,null,1]",
    "f_int32": "[1,-2147483648,null,1]",
    "f_int64": "[7,9007199254740993,null,-9223372036854775808]",
    "f_uint8": "[1,255,null,1]",
    "f_uint16": "[1,65535,null,1]",
    "f_uint32": "[1,4294967295,null,1]",
    "f_uint64": "[1,null,null,9223372036854775807]",
    "f_float32": '[0.10000000149011612,1.0,null,"NaN"]',
    "f_float64": '[1.0,5e-324,null,"Infinity"]',
    "f_string": '["text","é \\"\\n",null,"NaN"]',
    "f_bytes": '["YWJj","//4=",null,""]',
    "f_date": "[1795305600,-86400,null,0]",
    "f_timestamp": "[1795370399,-86400,null,1795370400]",
    "f_floats": "[[1.0,2.5],null,null,null]",
    "f_ints": "[[1,9007199254740993],null,null,[-1]]",
    "f_texts": '[["a",""],null,null,["NaN"]]',
    "f_blobs": '[["YWJj","/w=="],null,null,[""]]',
    "f_times": "[[1795370400,1795370399],null,null,null]",
    "f_vector": "[[0.5,0.10000000149011612],[1.0,-1.0],null,null]",
    "f_json": '["{\\"a\\":[1,{}]}","[]",null,"\\"text\\""]',
    "f_decimal": '["12.50","-99999999.99",null,"0.00"]',
    "f_duration": '["PT5400S","-PT0.5S",null,"PT0S"]',
}


@pytest.mark.parametrize("feature", TOKENS)
def test_values_have_their_tokens(kinds, feature):
    response = kinds.ask({"entities": {"card_id": [1, 2, 3, 4]}, "features": [f"kinds:{feature}"]})
    assert response.status_code == 200, response.text
    assert f'"values":{TOKENS[feature]},' in response.text
    statuses = columns(response.json())[feature]["statuses"]
    told = ["INVALID" if (feature, card) in kinds_data.UNREADABLE else "PRESENT" for card in [1, 2, 3, 4]]
    assert statuses == [*told[:2], "NULL_VALUE", told[3]]


def test_what_json_lacks_may_be_invalid(tmp_path):
    project = Project(HERE / "kinds", tmp_path / "kinds")
    kinds_data.write(project.folder / "data")
    project.edit("plumb.yaml", "project: kinds", "project: kinds\nfeast_answers: {non_finite: invalid}")
    project.run("apply", "--yes")
    project.run("materialize", "kinds")
    server = Server(project)
    try:
        answer = ask(server, entities={"card_id": [2, 4]}, features=["kinds:f_float32", "kinds:f_float64", "kinds:f_string"])
        assert (answer["f_float32"]["values"], answer["f_float32"]["statuses"]) == ([1.0, None], ["PRESENT", "INVALID"])
        assert (answer["f_float64"]["values"], answer["f_float64"]["statuses"]) == ([5e-324, None], ["PRESENT", "INVALID"])
        assert answer["f_string"]["values"] == ['é "\n', "NaN"]
        # The value is there for who reads it in its own type.
        body = {"entities": {"card_id": [4]}, "features": ["kinds:f_float64"]}
        accept = {"Accept": "application/vnd.apache.arrow.stream"}
        typed = requests.post(f"{server.http}/get-online-features", json=body, headers=accept, timeout=10)
        table = pa.ipc.open_stream(typed.content).read_all()
        assert (table["f_float64"].to_pylist(), table["f_float64__status"].to_pylist()) == ([float("inf")], ["PRESENT"])
        sdk = FeatureStore(feature_store(tmp_path / "repo", "any", server, remote=False))
        frame = sdk.get_online_features(["kinds:f_float64"], [{"card_id": 2}, {"card_id": 4}]).to_df()
        assert str(frame["f_float64"].dtype) == "float64"
    finally:
        server.stop()


def test_the_sdk_survives_every_value(kinds_store):
    features = [f"kinds:{feature}" for feature in TOKENS]
    answer = kinds_store.get_online_features(features, [{"card_id": card} for card in [1, 2, 3, 4, 5]]).to_dict()
    for feature, tokens in TOKENS.items():
        assert answer[feature] == [*json.loads(tokens), None], feature


def test_integers_beyond_doubles_reach_the_sdk_exactly(kinds_store):
    answer = kinds_store.get_online_features(["kinds:f_int64"], [{"card_id": card} for card in [2, 4]]).to_dict()
    assert answer["f_int64"] == [2**53 + 1, -(2**63)]


def test_the_answer_has_feasts_shape(kinds):
    body = {
        "entities": {"card_id": [1, 9, None]},
        "features": ["kinds:f_float64", "kinds:f_int64"],
        "include_feature_view_version_metadata": True,
    }
    answer = kinds.ask(body).json()
    assert list(answer) == ["results", "metadata"]
    assert [list(result) for result in answer["results"]] == [["values", "statuses", "event_timestamps"]] * 3
    assert answer["results"] == [
        {"values": [1, 9, None], "statuses": ["PRESENT", "PRESENT", "NULL_VALUE"], "event_timestamps": [EPOCH] * 3},
        {
            "values": [1.0, None, None],
            "statuses": ["PRESENT", "NOT_FOUND", "NOT_FOUND"],
            "event_timestamps": [HALF_HOUR_AGO, EPOCH, EPOCH],
        },
        {
            "values": [7, None, None],
            "statuses": ["PRESENT", "NOT_FOUND", "NOT_FOUND"],
            "event_timestamps": [HALF_HOUR_AGO, EPOCH, EPOCH],
        },
    ]
    token = answer["metadata"].pop("replay_token")
    assert token.startswith("pl1."), token
    assert answer["metadata"] == {
        "feature_names": ["card_id", "f_float64", "f_int64"],
        "feature_view_metadata": [{"name": "kinds", "version": 1}],
        "feature_types": ["INT64", "DOUBLE", "INT64"],
        "freshness_ms": [None, 1_800_000, 1_800_000],
    }


def test_features_come_in_the_order_asked(kinds):
    names = ["f_string", "f_bool", "f_int64", "f_bytes"]
    assert list(ask(kinds, entities={"card_id": [1]}, features=[f"kinds:{n}" for n in names])) == ["card_id", *names]
    names.reverse()
    assert list(ask(kinds, entities={"card_id": [1]}, features=[f"kinds:{n}" for n in names])) == ["card_id", *names]


def test_join_keys_come_in_the_order_of_the_request(kinds):
    trip = {"features": ["trip_stats:n_trips"]}
    assert list(ask(kinds, entities={"origin": ["a"], "destination": ["b"]}, **trip)) == ["origin", "destination", "n_trips"]
    answer = ask(kinds, entities={"destination": ["b", "a", "b"], "origin": ["a", "b", "b"]}, **trip)
    assert list(answer) == ["destination", "origin", "n_trips"]
    assert answer["n_trips"]["values"] == [3, 5, None]
    assert answer["n_trips"]["event_timestamps"] == ["2026-11-22T17:00:00Z", "2026-11-22T17:59:59.000000001Z", EPOCH]


def test_an_incomplete_composite_key_is_refused(kinds):
    response = kinds.ask({"entities": {"origin": ["a"]}, "features": ["trip_stats:n_trips"]})
    assert response.status_code == 422
    assert "lacks join key `destination`" in json.loads(response.json())["message"]


def test_part_of_a_composite_key_that_is_null_finds_nothing(kinds):
    answer = ask(kinds, entities={"origin": ["a"], "destination": [None]}, features=["trip_stats:n_trips"])
    assert answer["n_trips"]["statuses"] == ["NOT_FOUND"]


def test_two_entities_in_one_request(kinds):
    answer = ask(
        kinds,
        entities={"card_id": [1, 1], "origin": ["a", "b"], "destination": ["b", "a"]},
        features=["trip_stats:n_trips", "kinds:f_int64"],
    )
    assert list(answer) == ["card_id", "origin", "destination", "n_trips", "f_int64"]
    assert (answer["n_trips"]["values"], answer["f_int64"]["values"]) == ([3, 5], [7, 7])


def test_the_entitys_name_stands_for_its_join_key(kinds):
    answer = ask(kinds, entities={"card": [1]}, features=["kinds:f_int64"])
    assert (list(answer), answer["f_int64"]["values"]) == (["card_id", "f_int64"], [7])


def test_unknown_columns_are_left_out(kinds):
    answer = ask(kinds, entities={"amount": [1.5], "card_id": [1]}, features=["kinds:f_int64"])
    assert list(answer) == ["card_id", "f_int64"]


def test_a_time_as_a_join_key_is_epoch_seconds(kinds):
    answer = ask(kinds, entities={"opened_at": [1767225600, 0]}, features=["day_stats:n_opened"])
    assert answer["opened_at"]["values"] == [1767225600, 0]
    assert answer["n_opened"]["values"] == [4, None]


def test_whole_floats_are_taken_for_integers(kinds):
    assert ask(kinds, entities={"card_id": [1.0]}, features=["kinds:f_int64"])["f_int64"]["values"] == [7]


def test_versions_side_by_side(kinds):
    body = {
        "entities": {"card_id": [1, 3, 4]},
        "features": ["limits@v1:f_int64", "limits@V2:f_int64", "limits@latest:f_int64"],
        "full_feature_names": True,
        "include_feature_view_version_metadata": True,
    }
    answer = kinds.ask(body).json()
    found = columns(answer)
    assert list(found) == ["card_id", "limits@v1__f_int64", "limits@v2__f_int64", "limits__f_int64"]
    assert found["limits@v1__f_int64"]["statuses"] == ["PRESENT", "OUTSIDE_MAX_AGE", "OUTSIDE_MAX_AGE"]
    assert found["limits@v2__f_int64"]["statuses"] == ["PRESENT", "NULL_VALUE", "OUTSIDE_MAX_AGE"]
    assert found["limits__f_int64"] == found["limits@v2__f_int64"]
    assert found["limits@v1__f_int64"]["values"] == [7, None, None]
    assert answer["metadata"]["feature_view_metadata"] == [
        {"name": "limits", "version": 1},
        {"name": "limits", "version": 2},
    ]


def test_a_service_wins_over_features_and_has_its_own_names_and_order(kinds):
    body = {"entities": {"card_id": [1]}, "feature_service": "mixed_v1", "features": ["nope:x"]}
    assert list(ask(kinds, **body)) == ["card_id", "f_float64", "limit", "f_string"]
    full = ask(kinds, **body, full_feature_names=True)
    assert list(full) == ["card_id", "kinds__f_float64", "limits__f_int64", "kinds__f_string"]


def test_a_service_that_uses_a_view_twice(kinds):
    entities = {"origin_id": ["a", "b"], "destination_id": ["b", "x"]}
    answer = ask(kinds, entities=entities, feature_service="routes")
    assert list(answer) == ["origin_id", "destination_id", "origin_population", "destination_population"]
    full = kinds.ask(
        {
            "entities": entities,
            "feature_service": "routes",
            "full_feature_names": True,
            "include_feature_view_version_metadata": True,
        }
    ).json()
    found = columns(full)
    assert list(found) == ["origin_id", "destination_id", "origin__population", "destination__population"]
    assert (found["origin__population"]["values"], found["destination__population"]["values"]) == ([100, 200], [200, None])
    assert full["metadata"]["feature_view_metadata"] == [{"name": "city_stats", "version": 1}]


def test_a_service_by_its_version(kinds):
    body = {"entities": {"card_id": [1, 3]}, "full_feature_names": True}
    old = ask(kinds, **body, feature_service="mixed_v1@v1")
    assert list(old) == ["card_id", "kinds__f_float64", "limits@v1__f_int64", "kinds__f_string"]
    assert old["limits@v1__f_int64"]["statuses"] == ["PRESENT", "OUTSIDE_MAX_AGE"]
    now = ask(kinds, **body, feature_service="mixed_v1@v2")
    assert now == ask(kinds, **body, feature_service="mixed_v1") == ask(kinds, **body, feature_service="mixed_v1@latest")
    assert now["limits__f_int64"]["statuses"] == ["PRESENT", "NULL_VALUE"]


def test_where_no_view_is_read_none_is_named(kinds):
    body = {"entities": {"amount": [3.0]}, "features": ["sums:doubled"], "include_feature_view_version_metadata": True}
    answer = kinds.ask(body).json()
    assert columns(answer)["doubled"]["values"] == [6.0]
    assert "feature_view_metadata" not in answer["metadata"]


def test_a_service_with_an_on_demand_view(kinds):
    body = {"entities": {"card_id": [1], "amount": [3.0]}, "feature_service": "baskets"}
    assert {name: column["values"] for name, column in ask(kinds, **body).items()} == {
        "card_id": [1],
        "amount": [3.0],
        "ratio": [3.0],
        "f_int64": [7],
    }
    assert list(ask(kinds, **body, full_feature_names=True)) == ["card_id", "amount", "basket__ratio", "kinds__f_int64"]
    versions = kinds.ask({**body, "include_feature_view_version_metadata": True}).json()["metadata"]
    assert versions["feature_view_metadata"] == [{"name": "kinds", "version": 1}]
    without = kinds.ask({**body, "entities": {"card_id": [1]}})
    assert json.loads(without.json())["class"] == "RequestDataNotFoundInEntityRowsException"


def test_a_view_without_an_entity(kinds):
    alone = ask(kinds, entities={}, features=["totals:last_trips"])
    assert (list(alone), alone["last_trips"]["values"], alone["last_trips"]["statuses"]) == (["last_trips"], [5], ["PRESENT"])
    # Anything says how many rows there are; the key itself is not told, even where it is sent.
    rows = ask(kinds, entities={"whatever": [1, 2]}, features=["totals:last_trips"])
    assert (list(rows), rows["last_trips"]["values"]) == (["last_trips"], [5, 5])
    sent = ask(kinds, entities={"__dummy_id": ["", ""]}, features=["totals:last_trips"])
    assert sent == rows
    beside = ask(kinds, entities={"card_id": [1, 9]}, features=["totals:last_trips", "kinds:f_int64"])
    assert {name: column["values"] for name, column in beside.items()} == {
        "card_id": [1, 9],
        "last_trips": [5, 5],
        "f_int64": [7, None],
    }
    native = requests.post(f"{kinds.http}/v1/features", json={"features": ["totals:last_trips"], "entities": {}}, timeout=10)
    assert native.json()["features"]["last_trips"]["values"] == [5], native.text


def test_an_empty_service_name_is_none(kinds):
    body = {"entities": {"card_id": [1]}, "feature_service": "", "features": ["kinds:f_int64"]}
    assert list(ask(kinds, **body)) == ["card_id", "f_int64"]


def test_no_rows_is_an_answer(kinds):
    answer = ask(kinds, entities={"card_id": []}, features=["kinds:f_int64"])
    assert answer == {"card_id": {"values": [], "statuses": []}, "f_int64": {"values": [], "statuses": []}}


def test_an_arrow_stream_has_every_value_in_its_type(kinds):
    body = {"entities": {"card_id": [1, 2, 3, 4, 9]}, "features": [f"kinds:{name}" for name in kinds_data.COLUMNS]}
    accept = {"Accept": "application/vnd.apache.arrow.stream"}
    response = requests.post(f"{kinds.http}/get-online-features", json=body, headers=accept, timeout=10)
    assert response.headers["content-type"] == accept["Accept"]
    table = pa.ipc.open_stream(response.content).read_all()
    for name, (kind, values) in kinds_data.COLUMNS.items():
        assert table.schema.field(name).type == kind
        want = pa.array([*values, None], kind)
        assert repr(table[name].to_pylist()) == repr(want.to_pylist()), name
        assert table[f"{name}__status"].to_pylist() == ["PRESENT", "PRESENT", "NULL_VALUE", "PRESENT", "NOT_FOUND"]
    times = [kinds_data.NOW - age for age in kinds_data.AGES]
    assert [time and time.to_pydatetime() for time in table["f_int64__ts"].to_pylist()] == [*times, None]
    about = dict(table.schema.metadata)
    assert about.pop(b"replay_token").startswith(b"pl1.")
    assert about == {b"as_of": b"2026-11-22T18:00:00Z", b"views": b"kinds@v1"}


CARD = {"card_id": [1]}


@pytest.mark.parametrize(
    ("body", "status", "raised", "words"),
    [
        ({"entities": CARD, "features": ["nope:x"]}, 404, "FeatureViewNotFoundException", "Feature view nope"),
        ({"entities": CARD, "features": ["kinds:x"]}, 404, "FeastObjectNotFoundException", "Feature x"),
        ({"entities": CARD, "features": ["kinds@v7:x"]}, 404, "FeatureViewVersionNotFound", "Version 7"),
        ({"entities": CARD, "feature_service": "nope"}, 404, "FeatureServiceNotFoundException", "Feature service nope"),
        ({"entities": CARD, "features": ["kinds:f_int64", "limits:f_int64"]}, 422, "FeatureNameCollisionError", "f_int64"),
        (
            {"entities": CARD, "features": ["kinds:f_int64"] * 2, "full_feature_names": True},
            422,
            "FeatureNameCollisionError",
            "kinds__f_int64",
        ),
        ({"entities": {"card_id": [1], "x": [1, 2]}, "features": ["kinds:f_int64"]}, 422, "FeastError", "values"),
        ({"entities": {"card_id": ["1"]}, "features": ["kinds:f_int64"]}, 422, "FeastError", "int64"),
        ({"entities": {"card_id": [2**63]}, "features": ["kinds:f_int64"]}, 422, "FeastError", "int64"),
        ({"entities": {"card_id": [[1]]}, "features": ["kinds:f_int64"]}, 422, "FeastError", "a list"),
        ({"entities": {}, "features": ["kinds:f_int64"]}, 422, "FeastError", "card_id"),
        ({"entities": {"card_id": [1] * 10_001}, "features": ["kinds:f_int64"]}, 422, "FeastError", "10000"),
        ({"entities": CARD}, 422, "FeastError", "No features specified"),
        ({"entities": CARD, "features": ["kinds"]}, 422, "FeastError", "view:feature"),
        ("[" * 3_000_000, 413, "FeastError", "larger than 2 MB"),
    ],
)
def test_errors_are_json_in_a_json_string(kinds, body, status, raised, words):
    response = kinds.ask(body)
    assert response.status_code == status, response.text
    assert response.headers["content-type"] == "application/json"
    detail = json.loads(response.json())
    assert (detail["module"], detail["class"]) == ("feast.errors", raised)
    assert words in detail["message"]


ABSENT = ["/search", "/retrieve-online-documents", "/v1/vector_stores", "/v1/vector_stores/1/search", "/chat", "/push/x"]


@pytest.mark.parametrize("path", ABSENT)
def test_routes_that_are_not_there_say_so_in_the_words_that_the_client_knows(kinds, path):
    response = requests.post(kinds.http + path, json={}, timeout=10)
    assert (response.status_code, response.json()) == (404, {"detail": "Not Found"})


def test_another_method_is_refused(kinds):
    response = requests.get(f"{kinds.http}/get-online-features", timeout=10)
    assert (response.status_code, response.json()) == (405, {"detail": "Method Not Allowed"})


def test_health(kinds):
    response = requests.get(f"{kinds.http}/health", timeout=10)
    assert (response.status_code, response.text) == (200, "OK")
