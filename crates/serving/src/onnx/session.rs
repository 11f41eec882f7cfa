//! One session: a model loaded, run on its owner's thread, its answers copied out.
//!
//! Invariant: nothing that a run gives back points into the session. Options are the same for inspection, for the checks
//! at load and for serving, so that what was checked is what answers, unless somebody chose others: those were checked against
//! these ([`crate::tuner`]).

use std::sync::Arc;
use std::time::Instant;

use arrow::array::ArrayRef;
use ort::logging::LogLevel;
use ort::session::Session;

use super::inspect;
use super::{InputPlan, OnnxError, Outputs, Rows, Runtime, SessionOptions, Tensor};
use crate::infer::statistics::Timings;

/// A loaded model. One owner at a time: a run needs it mutable.
#[derive(Debug)]
pub struct ModelSession {
    ort: Session,
    output_names: Vec<Arc<str>>,
}

/// What a run on tensors gave.
#[derive(Debug)]
pub struct Ran {
    /// The outputs that were asked for.
    pub outputs: Vec<Tensor>,
    /// How long its parts took.
    pub took: Timings,
}

impl ModelSession {
    /// `n_sessions` sessions of one model.
    pub(crate) fn load(
        runtime: &Runtime,
        bytes: &[u8],
        n_sessions: usize,
        options: &SessionOptions,
    ) -> Result<Vec<Self>, OnnxError> {
        let sessions = build(runtime, &inspect::servable(bytes)?, n_sessions, options)?;
        if let Some(session) = sessions.first() {
            inspect::signature(session)?;
        }
        Ok(sessions.into_iter().map(Self::new).collect())
    }

    fn new(ort: Session) -> Self {
        let output_names = ort.outputs().iter().map(|output| output.name().into()).collect();
        Self { ort, output_names }
    }

    /// Answers `rows` of `columns`, which are the plan's service columns after `fill`.
    ///
    /// # Errors
    /// Those of [`InputPlan::fill`]; [`OnnxError::Run`] if the runtime refuses or fails;
    /// [`OnnxError::OutputRows`] if an output does not have one entry a row.
    pub fn run<'r>(
        &mut self,
        plan: &InputPlan,
        columns: &[ArrayRef],
        rows: impl Into<Rows<'r>>,
    ) -> Result<Outputs, OnnxError> {
        let rows = rows.into();
        let n = rows.len();
        let inputs = plan.tensors(columns, rows)?;
        let all: Vec<usize> = (0..self.output_names.len()).collect();
        let Ran { outputs, .. } = self.infer(&inputs, &all, n)?;
        Outputs { columns: outputs }.of_rows(n)
    }

    /// Runs the model on `inputs`, which are in its order, and copies out the outputs of these numbers, in this order. Their
    /// shapes are what they are.
    ///
    /// # Errors
    /// [`OnnxError::Run`] if the runtime refuses or fails on these `rows` rows.
    pub fn infer(&mut self, inputs: &[Tensor], outputs: &[usize], rows: usize) -> Result<Ran, OnnxError> {
        let failed = |error: &ort::Error| OnnxError::run(rows, error);
        let started = Instant::now();
        let values = inputs.iter().map(Tensor::view).collect::<ort::Result<Vec<_>>>();
        let values = values.map_err(|error| failed(&error))?;
        let given = Instant::now();
        let answers = self.ort.run(values.as_slice()).map_err(|error| failed(&error))?;
        let answered = Instant::now();
        let names = outputs.iter().filter_map(|at| Some((*at, self.output_names.get(*at)?)));
        let outputs = names.map(|(at, name)| Tensor::copy(Arc::clone(name), &answers[at]));
        let outputs = outputs.collect::<ort::Result<Vec<_>>>().map_err(|error| failed(&error))?;
        let took = Timings { input: given - started, infer: answered - given, output: answered.elapsed() };
        Ok(Ran { outputs, took })
    }
}

/// Sessions as we serve them.
pub(crate) fn build(
    runtime: &Runtime,
    bytes: &[u8],
    n_sessions: usize,
    options: &SessionOptions,
) -> Result<Vec<Session>, OnnxError> {
    let sessions = || -> ort::Result<Vec<Session>> {
        let mut builder = options
            .apply(Session::builder(&runtime.environment)?)?
            .with_parallel_execution(false)?
            // A pattern is remembered per input shape, and every batch size is one.
            .with_memory_pattern(false)?
            .with_log_level(LogLevel::Warning)?;
        (0..n_sessions).map(|_| builder.commit_from_memory(bytes)).collect()
    };
    sessions().map_err(|error| OnnxError::unloadable(&error))
}

#[cfg(test)]
mod tests;
