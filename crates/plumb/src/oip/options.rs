//! Parameters: what is asked of a request and of each output besides the tensors, in the form of either transport.

use std::borrow::Cow;
use std::time::Duration;

use super::Refusal;

/// A parameter's value. Clients send numbers in whichever type they have.
#[derive(Debug, Clone, PartialEq)]
#[expect(missing_docs, reason = "the variants are their types")]
pub enum Value<'a> {
    Bool(bool),
    Int(i64),
    Uint(u64),
    Float(f64),
    Text(Cow<'a, str>),
}

/// What is asked of a request.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Options {
    /// From 1, the highest; 0 is the default.
    pub priority: u64,
    /// How long it may wait.
    pub timeout: Option<Duration>,
    /// Whether outputs that say nothing of it are raw.
    pub is_binary: bool,
    /// Whether a stream is to say which answer is the last.
    pub final_response: bool,
}

/// What is asked of an output.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Output {
    /// Its name.
    pub name: String,
    /// Whether it is raw, if it says.
    pub is_binary: Option<bool>,
    /// How many of its classes are wanted, in place of all of its values.
    pub classes: Option<usize>,
}

/// What is asked of an input.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Input {
    /// How many bytes of the tail are its elements.
    pub binary_size: Option<usize>,
}

const SHARED_MEMORY: &str = "shared memory is not supported: send the tensor in the request";

/// The parameter that streams of Triton may have though its name is reserved.
const FINAL_RESPONSE: &str = "triton_enable_empty_final_response";

impl Options {
    /// Reads the parameters of a request. Those that nobody knows are the client's own.
    ///
    /// # Errors
    /// One that is known has a value of another type, or has a name that Triton keeps for itself.
    pub fn read<'a>(parameters: impl IntoIterator<Item = (&'a str, Value<'a>)>) -> Result<Self, Refusal> {
        let mut options = Self::default();
        for (key, value) in parameters {
            match key {
                "priority" => options.priority = value.unsigned(key)?,
                // Nothing is the default of nothing.
                "timeout" => {
                    let us = Some(value.unsigned(key)?).filter(|us| *us > 0);
                    options.timeout = us.map(Duration::from_micros);
                }
                "binary_data_output" => options.is_binary = value.truth(key)?,
                FINAL_RESPONSE => options.final_response = value.truth(key)?,
                reserved if reserved.starts_with("triton_") => {
                    return Err(Refusal::invalid(format!(
                        "parameter keys starting with 'triton_' are reserved for Triton usage, got '{reserved}'"
                    )));
                }
                _ => {}
            }
        }
        Ok(options)
    }
}

impl Output {
    /// Reads the parameters of the output `name`.
    ///
    /// # Errors
    /// As [`Options::read`]; or it is to go to shared memory.
    pub fn read<'a>(name: String, parameters: impl IntoIterator<Item = (&'a str, Value<'a>)>) -> Result<Self, Refusal> {
        let mut output = Self { name, ..Self::default() };
        for (key, value) in parameters {
            match key {
                "binary_data" => output.is_binary = Some(value.truth(key)?),
                "classification" => {
                    let classes = usize::try_from(value.unsigned(key)?).unwrap_or(usize::MAX);
                    output.classes = Some(classes).filter(|classes| *classes > 0);
                }
                key if key.starts_with("shared_memory") => return Err(Refusal::invalid(SHARED_MEMORY)),
                _ => {}
            }
        }
        Ok(output)
    }
}

impl Input {
    /// Reads the parameters of an input.
    ///
    /// # Errors
    /// As [`Output::read`].
    pub fn read<'a>(parameters: impl IntoIterator<Item = (&'a str, Value<'a>)>) -> Result<Self, Refusal> {
        let mut input = Self::default();
        for (key, value) in parameters {
            match key {
                "binary_data_size" => {
                    input.binary_size = Some(usize::try_from(value.unsigned(key)?).unwrap_or(usize::MAX));
                }
                key if key.starts_with("shared_memory") => return Err(Refusal::invalid(SHARED_MEMORY)),
                _ => {}
            }
        }
        Ok(input)
    }
}

impl Value<'_> {
    fn truth(&self, key: &str) -> Result<bool, Refusal> {
        match self {
            Self::Bool(truth) => Ok(*truth),
            other => Err(other.is_not(key, "true or false")),
        }
    }

    fn unsigned(&self, key: &str) -> Result<u64, Refusal> {
        const EXACT: f64 = 9_007_199_254_740_992.0;
        let number = match self {
            Self::Uint(number) => Some(*number),
            Self::Int(number) => u64::try_from(*number).ok(),
            #[expect(
                clippy::cast_possible_truncation,
                clippy::cast_sign_loss,
                reason = "it is a whole number up to 2^53"
            )]
            Self::Float(number) if (0.0..=EXACT).contains(number) && number.trunc().total_cmp(number).is_eq() => {
                Some(*number as u64)
            }
            Self::Text(text) => text.parse().ok(),
            Self::Float(_) | Self::Bool(_) => None,
        };
        number.ok_or_else(|| self.is_not(key, "a whole number from 0"))
    }

    fn is_not(&self, key: &str, what: &str) -> Refusal {
        Refusal::invalid(format!("parameter '{key}' is {self:?}, expected {what}"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_read_from_any_type_that_has_them() {
        for value in [Value::Int(7), Value::Uint(7), Value::Float(7.0), Value::Text("7".into())] {
            let options = Options::read([("priority", value.clone()), ("timeout", value)]).unwrap();
            assert_eq!((options.priority, options.timeout), (7, Some(Duration::from_micros(7))));
        }
        for value in
            [Value::Int(-1), Value::Float(0.5), Value::Float(1e300), Value::Text("x".into()), Value::Bool(true)]
        {
            let why = Options::read([("timeout", value)]).unwrap_err().message;
            assert!(why.starts_with("parameter 'timeout' is "), "{why}");
        }
        assert_eq!(Options::read([("timeout", Value::Int(0))]).unwrap().timeout, None);
    }

    #[test]
    fn names_of_triton_are_its_own_and_others_the_clients() {
        assert!(Options::read([("triton_x", Value::Int(1))]).is_err());
        assert!(Options::read([(FINAL_RESPONSE, Value::Bool(true))]).unwrap().final_response);
        assert_eq!(
            Options::read([("mine", Value::Text("x".into())), ("sequence_id", Value::Int(3))]),
            Ok(Options::default())
        );
    }

    #[test]
    fn outputs_and_inputs_say_how_they_are_sent() {
        let output =
            Output::read("y".to_owned(), [("classification", Value::Int(2)), ("binary_data", Value::Bool(false))]);
        assert_eq!(output, Ok(Output { name: "y".to_owned(), is_binary: Some(false), classes: Some(2) }));
        assert_eq!(Output::read("y".to_owned(), [("classification", Value::Int(0))]).unwrap().classes, None);
        assert!(Output::read("y".to_owned(), [("shared_memory_region", Value::Text("r".into()))]).is_err());
        assert_eq!(Input::read([("binary_data_size", Value::Uint(8))]).unwrap().binary_size, Some(8));
        assert!(Input::read([("binary_data_size", Value::Int(-1))]).is_err());
    }
}
