//! The ways in which rows are pushed and views are brought online, and what cannot travel by which of them.

use proptest::prelude::*;
use schema::{Dtype, Scalar};

use super::history::Push;
use super::rows::Row;
use super::shape::Shape;
use crate::types::{Bits, Cell};

/// How a push reaches the product.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Via {
    /// The function that all others call.
    Call,
    /// `POST /v1/views/{view}/push`: JSON.
    Http,
    /// `POST /push`, a frame as pandas makes it.
    FeastPush,
    /// `POST /write-to-online-store`, a frame as Feast's SDK makes it of protobuf values.
    FeastWrite,
    /// Arrow Flight's `DoPut`, as Feast's SDK writes to its offline store.
    Flight,
}

pub(super) const VIAS: [Via; 5] = [Via::Call, Via::Http, Via::FeastPush, Via::FeastWrite, Via::Flight];

/// How views are brought online.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum By {
    /// The function that all others call.
    Call,
    /// `plumb materialize --jobs 2`.
    Jobs,
    /// `POST /v1/materialize`.
    Http,
    /// `POST /materialize` of Feast.
    Feast,
}

pub(super) const BYS: [By; 4] = [By::Call, By::Jobs, By::Http, By::Feast];

/// What a way cannot carry bit for bit: such values are others in the rows that take it.
#[derive(Debug, Clone, Copy)]
enum Limit {
    /// JSON's text for NaN says nothing of its payload.
    OneNan,
    /// Python's writer of JSON, as Feast's client sets it, refuses NaN and the infinities.
    Finite,
    /// A feature that is JSON's null is one that is null.
    NoJsonNull,
    /// Numbers inside JSON are integers of 64 bits or floats.
    NumbersOf64Bits,
}

impl Limit {
    #[expect(clippy::cast_possible_truncation, reason = "a value takes as many of the bits as it has")]
    fn keep(self, bits: Bits, item: Scalar) -> Bits {
        let float = match item {
            Scalar::Float64 => f64::from_bits(bits as u64),
            Scalar::Float32 => f64::from(f32::from_bits(bits as u32)),
            _ => 0.0,
        };
        match (self, item) {
            (Self::OneNan, Scalar::Float64) if float.is_nan() => f64::NAN.to_bits().into(),
            (Self::OneNan, Scalar::Float32) if float.is_nan() => f32::NAN.to_bits().into(),
            (Self::Finite, _) if !float.is_finite() => bits & 0xff,
            // These are the bits of `null` and of numbers in `types::column`.
            (Self::NoJsonNull, Scalar::Json) if bits % 5 == 4 => bits - 4,
            (Self::NumbersOf64Bits, Scalar::Json) if bits % 5 == 2 => bits % 5_000,
            _ => bits,
        }
    }
}

impl Via {
    fn limits(self) -> &'static [Limit] {
        match self {
            Self::Call | Self::Flight => &[],
            Self::Http => &[Limit::OneNan, Limit::NoJsonNull, Limit::NumbersOf64Bits],
            Self::FeastPush | Self::FeastWrite => &[Limit::Finite, Limit::NoJsonNull, Limit::NumbersOf64Bits],
        }
    }

    /// Whether a push that goes this way may have an id: Feast's clients have none.
    fn has_ids(self) -> bool {
        matches!(self, Self::Call | Self::Http)
    }

    /// Whether rows go online that were to go there or not.
    fn goes_online(self, online: bool) -> bool {
        match self {
            Self::FeastWrite => true,
            Self::Flight => false,
            Self::Call | Self::Http | Self::FeastPush => online,
        }
    }

    /// Whether a view is brought online first that is not.
    pub(super) fn brings_online(self) -> bool {
        matches!(self, Self::FeastPush | Self::FeastWrite)
    }

    /// A cell as this way carries it.
    fn cell(self, cell: Cell, dtype: Dtype) -> Cell {
        let kept = |bits: Bits| self.limits().iter().fold(bits, |bits, limit| limit.keep(bits, dtype.item()));
        cell.map(|values| values.into_iter().map(|bits| bits.map(kept)).collect())
    }

    fn row(self, shape: &Shape, mut row: Row) -> Row {
        for (cell, (_, dtype)) in row.cells.iter_mut().zip(shape.features()) {
            *cell = self.cell(cell.take(), dtype);
        }
        row
    }

    /// Whether it carries these rows as they are.
    pub(super) fn carries(self, shape: &Shape, rows: &[Row]) -> bool {
        rows.iter().all(|row| self.row(shape, row.clone()) == *row)
    }

    /// A push that can go this way.
    pub(super) fn fit(self, shape: &Shape, push: Push) -> Push {
        Push {
            rows: push.rows.into_iter().map(|row| self.row(shape, row)).collect(),
            id: push.id.filter(|_| self.has_ids()),
            online: self.goes_online(push.online),
            via: self,
            ..push
        }
    }
}

pub(super) fn via() -> impl Strategy<Value = Via> {
    (0..VIAS.len()).prop_map(|at| VIAS[at])
}

pub(super) fn by() -> impl Strategy<Value = By> {
    prop_oneof![3 => Just(By::Call), 1 => Just(By::Jobs), 1 => Just(By::Http), 1 => Just(By::Feast)]
}
