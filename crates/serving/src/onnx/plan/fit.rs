//! Whether a model and a service go together, and if not, what each says.

use std::fmt;

use schema::signature::{Signature, TensorSpec};
use schema::{Dtype, ServiceColumn};

use super::{Column, Element, Input, InputPlan, width};

/// Why a model cannot be fed by a service: what the one takes, what the other gives.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Misfit {
    /// What the model takes: "`features`: FP32[N, 7]".
    pub takes: String,
    /// The service's name, where the caller has added it.
    pub service: Option<String>,
    /// What the service gives: "3 features (a, b, c)".
    pub gives: String,
    hint: String,
}

impl Misfit {
    fn new(takes: impl fmt::Display, gives: String, hint: &str) -> Self {
        Self { takes: takes.to_string(), service: None, gives, hint: hint.to_owned() }
    }

    /// Names the service, for the message.
    #[must_use]
    pub fn of_service(mut self, name: impl fmt::Display) -> Self {
        self.service = Some(name.to_string());
        self
    }

    /// What to do about it.
    pub fn hint(&self) -> &str {
        &self.hint
    }
}

impl fmt::Display for Misfit {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "model takes {}, ", self.takes)?;
        match &self.service {
            Some(name) => write!(f, "service `{name}` gives {}", self.gives),
            None => write!(f, "the service gives {}", self.gives),
        }
    }
}

impl std::error::Error for Misfit {}

impl InputPlan {
    /// How a model of this signature is fed by these columns.
    ///
    /// A model with one two-dimensional input takes them all in it. Otherwise each input takes the column of its name,
    /// and each column must be taken.
    ///
    /// # Errors
    /// [`Misfit`] says what the model takes and what the service gives.
    pub fn fit(signature: &Signature, columns: &[ServiceColumn]) -> Result<Self, Misfit> {
        if signature.inputs.is_empty() {
            return Err(Misfit::new("no inputs", gives(columns), "export the model with its features as inputs"));
        }
        let mut rows_max = None;
        for input in &signature.inputs {
            if batch(input, columns)? == Some(1) {
                rows_max = Some(1);
            }
        }
        let inputs = match signature.inputs.as_slice() {
            [input] if is_matrix(input, columns) => vec![matrix(input, columns)?],
            inputs => per_column(inputs, columns)?,
        };
        let columns = columns.iter().map(|c| Column { name: c.name.to_string(), dtype: c.dtype }).collect();
        Ok(Self { columns, inputs, rows_max })
    }
}

/// The batch dimension where it is fixed; only 1 is of use.
fn batch(input: &TensorSpec, columns: &[ServiceColumn]) -> Result<Option<i64>, Misfit> {
    match input.shape.first() {
        None => Err(Misfit::new(
            said(input),
            gives(columns),
            "export the model with a first dimension that counts rows: [N, features], or [N, 1] per feature",
        )),
        Some(n) if *n < 0 => Ok(None),
        Some(1) => Ok(Some(1)),
        Some(n) => Err(Misfit::new(
            format_args!("{} in batches of exactly {n}", said(input)),
            format!("{} for any number of rows", gives(columns)),
            "export the model with a free first dimension (`dynamic_axes` in PyTorch, `None` in skl2onnx)",
        )),
    }
}

/// Whether a lone input takes all columns, rather than the one column of its name.
fn is_matrix(input: &TensorSpec, columns: &[ServiceColumn]) -> bool {
    let named = matches!(columns, [column] if column.name.as_str() == input.name && !column.dtype.is_list());
    input.shape.len() == 2 && !(named && input.shape[1] <= 1)
}

/// Numbers in a row of all columns.
fn total_width(columns: &[ServiceColumn]) -> usize {
    columns.iter().map(|column| width(column.dtype)).sum()
}

fn matrix(input: &TensorSpec, columns: &[ServiceColumn]) -> Result<Input, Misfit> {
    let misfit = |gives: String, hint: &str| Err(Misfit::new(said(input), gives, hint));
    let element = Element::parse(&input.datatype);
    let Some(element @ (Element::Fp32 | Element::Fp64 | Element::Int64)) = element else {
        return misfit(
            gives(columns),
            "a model that takes all features in one input takes them as FP32, FP64 or INT64; export others with one \
             input per feature",
        );
    };
    // A free second dimension takes any number.
    let total = total_width(columns);
    if input.shape[1] >= 0 && usize::try_from(input.shape[1]) != Ok(total) {
        return misfit(
            gives(columns),
            "train the model on this service's features, or choose the service it was trained on",
        );
    }
    if let Some(column) = columns.iter().find(|column| !element.takes(column.dtype)) {
        return misfit(gives_one(column), advice(element, column.dtype));
    }
    Ok(Input { name: input.name.as_str().into(), element, columns: 0..columns.len(), width: Some(total) })
}

fn per_column(inputs: &[TensorSpec], columns: &[ServiceColumn]) -> Result<Vec<Input>, Misfit> {
    let fitted = inputs.iter().map(|input| {
        let misfit = |gives: String, hint: &str| Err(Misfit::new(said(input), gives, hint));
        let named = |column: &ServiceColumn| column.name.as_str() == input.name;
        let Some((at, column)) = columns.iter().enumerate().find(|(_, column)| named(column)) else {
            return misfit(
                format!("no feature of that name: {}", gives(columns)),
                "name the model's inputs as the service names its features, or give it one input [N, features]",
            );
        };
        let second = input.shape.get(1).copied();
        if let Dtype::FixedList(_, n) = column.dtype {
            if input.shape.len() != 2 || second.is_some_and(|dim| dim >= 0 && dim != i64::from(n)) {
                return misfit(
                    format!("{n} values a row as `{}`", column.name),
                    "the input of a fixed list of k values has shape [N, k]",
                );
            }
        } else if input.shape.len() > 2 || second.is_some_and(|dim| dim > 1 || dim == 0) {
            return misfit(
                format!("one value a row as `{}`", column.name),
                "one input per feature has shape [N] or [N, 1], and [N, k] where the feature is a fixed list of k values",
            );
        }
        match Element::parse(&input.datatype) {
            None => misfit(gives_one(column), "features are fed as FP32, FP64, INT32, INT64, BOOL or BYTES"),
            Some(element) if !element.takes(column.dtype) => misfit(gives_one(column), advice(element, column.dtype)),
            Some(element) => {
                let (name, width) = (input.name.as_str().into(), second.map(|_| width(column.dtype)));
                Ok(Input { name, element, columns: at..at + 1, width })
            }
        }
    });
    let fitted = fitted.collect::<Result<Vec<_>, _>>()?;
    let unused = columns.iter().find(|column| inputs.iter().all(|input| input.name != column.name.as_str()));
    match unused {
        None => Ok(fitted),
        Some(column) => Err(Misfit::new(
            inputs.iter().map(said).collect::<Vec<_>>().join(", "),
            format!("`{}` as well", column.name),
            "leave the feature out of the service, or export the model with an input of its name",
        )),
    }
}

fn advice(element: Element, dtype: Dtype) -> &'static str {
    match (element, dtype) {
        (_, Dtype::List(_)) => {
            "a model takes lists of one length: declare it as list<float32, N>, or take numbers from it in the view's query"
        }
        (_, Dtype::FixedList(item, _)) if !Dtype::from(item).is_numeric() => {
            "only lists of numbers are fed to a model: leave it out of the service"
        }
        (_, Dtype::Decimal { .. }) => {
            "cast it to float64 in a computed feature, where its rounding is seen: cast(price as double)"
        }
        (_, Dtype::Duration) => "make it a number of seconds in a computed feature: date_part('epoch', it)",
        (_, Dtype::Json) => "take the numbers out of it in the view's query, and declare each as a feature",
        (_, Dtype::Date | Dtype::Timestamp) => {
            "make it a number in a computed feature, such as the days since it, which means the same in every model"
        }
        (Element::Bytes, _) => "declare the feature as a string, or export the model with a numeric input",
        (_, Dtype::String | Dtype::Bytes) => {
            "encode it as a number in a computed feature, or export the model with a BYTES input of its name"
        }
        (Element::Bool, _) => "compare it in a computed feature, or export the model with a numeric input",
        (_, Dtype::Float32 | Dtype::Float64) => {
            "a float is never cut to an integer: round it in a computed feature, or export the model with a float input"
        }
        _ => "not every value fits: cast it in a computed feature, or export the model with a wider input",
    }
}

/// "`features`: FP32[N, 7]".
fn said(input: &TensorSpec) -> String {
    let text = input.to_string();
    format!("`{}`{}", input.name, text.strip_prefix(input.name.as_str()).unwrap_or_default())
}

/// "3 features (a, b, c)"; with lists, how many numbers they are together.
fn gives(columns: &[ServiceColumn]) -> String {
    const SHOWN: usize = 12;
    let mut names: Vec<&str> = columns.iter().take(SHOWN).map(|column| column.name.as_str()).collect();
    if columns.len() > SHOWN {
        names.push("…");
    }
    let s = if columns.len() == 1 { "" } else { "s" };
    let together = match total_width(columns) {
        total if total == columns.len() => String::new(),
        total => format!(" of {total} values together"),
    };
    format!("{} feature{s} ({}){together}", columns.len(), names.join(", "))
}

fn gives_one(column: &ServiceColumn) -> String {
    format!("`{}` as {}", column.name, column.dtype)
}
