//! Bodies that are not quite of the shape: read as leniently as Feast's server does, or refused in the form that it uses,
//! a list with an object per mistake: what kind, where, in words, and the input.

use serde_json::{Map, Number, Value, json};

use super::request::Wire;

/// Reads a body, or says all that is wrong with it.
pub(super) fn read(body: &[u8]) -> Result<Wire, Vec<Value>> {
    if body.is_empty() {
        return Err(vec![wrong("missing", json!(["body"]), "Field required", &Value::Null)]);
    }
    let value: Value = serde_json::from_slice(body).map_err(|why| vec![not_json(body, &why)])?;
    let Value::Object(mut object) = value else {
        let message = "Input should be a valid dictionary or object to extract fields from";
        return Err(vec![wrong("model_attributes_type", json!(["body"]), message, &value)]);
    };
    let mut mistakes = Vec::new();
    let entities = entities(&mut object, &mut mistakes);
    let feature_service = service(object.get("feature_service"), &mut mistakes);
    let features = features(object.get("features"), &mut mistakes);
    let mut flag = |name| flag(object.get(name), name, &mut mistakes);
    let full_feature_names = flag("full_feature_names");
    let include_feature_view_version_metadata = flag("include_feature_view_version_metadata");
    if !mistakes.is_empty() {
        return Err(mistakes);
    }
    Ok(Wire { entities, feature_service, features, full_feature_names, include_feature_view_version_metadata })
}

fn wrong(kind: &str, at: Value, message: &str, input: &Value) -> Value {
    json!({ "type": kind, "loc": at, "msg": message, "input": input })
}

fn not_json(body: &[u8], why: &serde_json::Error) -> Value {
    let lines: usize = body.split_inclusive(|b| *b == b'\n').take(why.line().saturating_sub(1)).map(<[u8]>::len).sum();
    let at = lines + why.column().saturating_sub(1);
    let mut mistake = wrong("json_invalid", json!(["body", at]), "JSON decode error", &json!({}));
    mistake["ctx"] = json!({ "error": why.to_string() });
    mistake
}

fn entities(object: &mut Map<String, Value>, mistakes: &mut Vec<Value>) -> Map<String, Value> {
    match object.remove("entities") {
        Some(Value::Object(entities)) => {
            for (key, values) in &entities {
                if !values.is_array() {
                    let at = json!(["body", "entities", key]);
                    mistakes.push(wrong("list_type", at, "Input should be a valid list", values));
                }
            }
            entities
        }
        Some(other) => {
            let at = json!(["body", "entities"]);
            mistakes.push(wrong("dict_type", at, "Input should be a valid dictionary", &other));
            Map::new()
        }
        None => {
            let whole = Value::Object(object.clone());
            mistakes.push(wrong("missing", json!(["body", "entities"]), "Field required", &whole));
            Map::new()
        }
    }
}

fn service(value: Option<&Value>, mistakes: &mut Vec<Value>) -> Option<String> {
    match value {
        None | Some(Value::Null) => None,
        Some(Value::String(name)) => Some(name.clone()),
        Some(other) => {
            let at = json!(["body", "feature_service"]);
            mistakes.push(wrong("string_type", at, "Input should be a valid string", other));
            None
        }
    }
}

fn features(value: Option<&Value>, mistakes: &mut Vec<Value>) -> Vec<String> {
    let mut features = Vec::new();
    match value {
        None => {}
        Some(Value::Array(values)) => {
            for (i, value) in values.iter().enumerate() {
                match value {
                    Value::String(reference) => features.push(reference.clone()),
                    other => {
                        let at = json!(["body", "features", i]);
                        mistakes.push(wrong("string_type", at, "Input should be a valid string", other));
                    }
                }
            }
        }
        Some(other) => {
            let at = json!(["body", "features"]);
            mistakes.push(wrong("list_type", at, "Input should be a valid list", other));
        }
    }
    features
}

/// A truth value, or one of the numbers and words that are taken for one.
fn flag(value: Option<&Value>, name: &str, mistakes: &mut Vec<Value>) -> bool {
    let Some(value) = value else { return false };
    let read = match value {
        Value::Bool(flag) => Some(*flag),
        Value::Number(number) if number.as_f64() == Some(1.0) => Some(true),
        Value::Number(number) if number.as_f64() == Some(0.0) => Some(false),
        Value::String(text) => match text.to_ascii_lowercase().as_str() {
            "1" | "true" | "t" | "yes" | "y" | "on" => Some(true),
            "0" | "false" | "f" | "no" | "n" | "off" => Some(false),
            _ => None,
        },
        _ => None,
    };
    read.unwrap_or_else(|| {
        let at = json!(["body", name]);
        mistakes.push(match value {
            Value::Number(number) if !is_whole(number) => {
                wrong("bool_type", at, "Input should be a valid boolean", value)
            }
            Value::Number(_) | Value::String(_) => {
                let message = "Input should be a valid boolean, unable to interpret input";
                wrong("bool_parsing", at, message, value)
            }
            _ => wrong("bool_type", at, "Input should be a valid boolean", value),
        });
        false
    })
}

/// Whether a number is an integer, written as one or not.
fn is_whole(number: &Number) -> bool {
    const INTEGERS_END: f64 = 9_223_372_036_854_775_808.0;
    let whole = |v: f64| v.fract() == 0.0 && v.abs() < INTEGERS_END;
    !number.is_f64() || number.as_f64().is_some_and(whole)
}

#[cfg(test)]
mod tests {
    use expect_test::{Expect, expect};

    use super::*;

    #[track_caller]
    fn check(body: &str, want: &Expect) {
        let told = match read(body.as_bytes()) {
            Ok(wire) => format!("{wire:?}"),
            Err(mistakes) => mistakes.iter().map(|mistake| mistake.to_string() + "\n").collect(),
        };
        want.assert_eq(told.trim_end());
    }

    #[test]
    fn every_mistake_is_told_with_its_place() {
        check("", &expect![[r#"{"type":"missing","loc":["body"],"msg":"Field required","input":null}"#]]);
        check(
            "{",
            &expect![[
                r#"{"type":"json_invalid","loc":["body",0],"msg":"JSON decode error","input":{},"ctx":{"error":"EOF while parsing an object at line 1 column 1"}}"#
            ]],
        );
        check(
            "[]",
            &expect![[
                r#"{"type":"model_attributes_type","loc":["body"],"msg":"Input should be a valid dictionary or object to extract fields from","input":[]}"#
            ]],
        );
        check("{}", &expect![[r#"{"type":"missing","loc":["body","entities"],"msg":"Field required","input":{}}"#]]);
        check(
            r#"{"entities": []}"#,
            &expect![[
                r#"{"type":"dict_type","loc":["body","entities"],"msg":"Input should be a valid dictionary","input":[]}"#
            ]],
        );
        check(
            r#"{"entities": {"k": 1, "l": [1], "m": "x"}}"#,
            &expect![[r#"
            {"type":"list_type","loc":["body","entities","k"],"msg":"Input should be a valid list","input":1}
            {"type":"list_type","loc":["body","entities","m"],"msg":"Input should be a valid list","input":"x"}"#]],
        );
        check(
            r#"{"entities": {}, "feature_service": 1, "features": ["a", 1, null], "full_feature_names": "maybe",
                "include_feature_view_version_metadata": null}"#,
            &expect![[r#"
                {"type":"string_type","loc":["body","feature_service"],"msg":"Input should be a valid string","input":1}
                {"type":"string_type","loc":["body","features",1],"msg":"Input should be a valid string","input":1}
                {"type":"string_type","loc":["body","features",2],"msg":"Input should be a valid string","input":null}
                {"type":"bool_parsing","loc":["body","full_feature_names"],"msg":"Input should be a valid boolean, unable to interpret input","input":"maybe"}
                {"type":"bool_type","loc":["body","include_feature_view_version_metadata"],"msg":"Input should be a valid boolean","input":null}"#]],
        );
        check(
            r#"{"features": null, "full_feature_names": 2}"#,
            &expect![[r#"
            {"type":"missing","loc":["body","entities"],"msg":"Field required","input":{"features":null,"full_feature_names":2}}
            {"type":"list_type","loc":["body","features"],"msg":"Input should be a valid list","input":null}
            {"type":"bool_parsing","loc":["body","full_feature_names"],"msg":"Input should be a valid boolean, unable to interpret input","input":2}"#]],
        );
    }

    #[test]
    fn what_feast_takes_is_taken() {
        check(
            r#"{"entities": {"k": [1]}, "feature_service": null, "full_feature_names": "Yes",
                "include_feature_view_version_metadata": 0.0, "unknown": 1}"#,
            &expect![[
                r#"Wire { entities: {"k": Array [Number(1)]}, feature_service: None, features: [], full_feature_names: true, include_feature_view_version_metadata: false }"#
            ]],
        );
    }
}
