//! What the training script computed, apart from plumb: features by pandas, answers by ONNX Runtime in Python.

use schema::ErrorKind;
use serde_json::Value as Json;

use crate::failure::Failure;

const GOLDEN: [&str; 2] = [
    include_str!("../../../../../models/repeat_purchase_v1.golden.json"),
    include_str!("../../../../../models/repeat_purchase_v2.golden.json"),
];

/// The golden predictions of one version.
#[derive(Debug)]
pub(super) struct Golden {
    rows: Vec<(Json, Json)>,
    tolerance: f64,
}

fn wrong(what: String) -> Failure {
    Failure::new(ErrorKind::CheckFailed, what)
}

impl Golden {
    pub(super) fn of(version: u32) -> Result<Self, Failure> {
        let text = GOLDEN.get(version as usize - 1).copied().unwrap_or_default();
        let json: Json = serde_json::from_str(text).map_err(|why| wrong(format!("the golden file: {why}")))?;
        let list = |key: &str| json["predictions"][key].as_array().cloned().unwrap_or_default();
        let rows: Vec<_> = list("inputs").into_iter().zip(list("outputs")).collect();
        if rows.is_empty() {
            return Err(wrong("the golden file holds no predictions".to_owned()));
        }
        Ok(Self { rows, tolerance: json["tolerance"].as_f64().unwrap_or(0.0) })
    }

    pub(super) fn users(&self) -> Vec<Json> {
        self.rows.iter().map(|(input, _)| input["user_id"].clone()).collect()
    }

    /// The largest difference of a probability; an error if it is beyond the tolerance, or a label or a present feature
    /// is another.
    pub(super) fn compare(&self, answer: &Json) -> Result<f64, Failure> {
        let mut worst: f64 = 0.0;
        for (row, (input, output)) in self.rows.iter().enumerate() {
            let user = &input["user_id"];
            let label = &answer["outputs"]["label"][row];
            if *label != output["label"] {
                return Err(wrong(format!("user {user}: label {label}, the training script says {}", output["label"])));
            }
            for class in 0..2 {
                let got = answer["outputs"]["probabilities"][row][class].as_f64().unwrap_or(f64::NAN);
                let want = output["probabilities"][class].as_f64().unwrap_or(f64::NAN);
                let difference = (got - want).abs();
                if difference.is_nan() || difference > self.tolerance {
                    return Err(wrong(format!("user {user}: probability {got}, the training script says {want}")));
                }
                worst = worst.max(difference);
            }
            for (name, feature) in answer["features"].as_object().into_iter().flatten() {
                let (got, want) = (&feature["values"][row], &input["features"][name]);
                // A user outside the TTL has null features here, and filled ones there: no orders at all.
                let outside = input["features"]["total_orders"] == 0;
                let equal = if outside { got.is_null() } else { got.as_f64() == want.as_f64() };
                if !equal {
                    return Err(wrong(format!("user {user}: {name} is {got}, pandas says {want}")));
                }
            }
        }
        Ok(worst)
    }

    /// An active user's answer in words.
    pub(super) fn describe(&self, answer: &Json) -> String {
        let active = |(input, _): &(Json, Json)| input["features"]["total_orders"].as_i64() > Some(0);
        let row = self.rows.iter().position(active).unwrap_or_default();
        let chance = answer["outputs"]["probabilities"][row][1].as_f64().unwrap_or(f64::NAN);
        format!("user {} buys again with {:.1} %", self.rows[row].0["user_id"], chance * 100.0)
    }
}
