//! One SQL expression, compiled once against a row type and evaluated on record batches.

use std::fmt;
use std::sync::{Arc, LazyLock};

use arrow::array::{ArrayRef, RecordBatch};
use arrow::datatypes::{Schema, SchemaRef};
use datafusion::common::tree_node::{Transformed, TreeNode, TreeNodeRecursion};
use datafusion::common::{DFSchema, DataFusionError};
use datafusion::logical_expr::simplify::SimplifyContext;
use datafusion::logical_expr::{Expr, Volatility};
use datafusion::optimizer::simplify_expressions::ExprSimplifier;
use datafusion::physical_expr::PhysicalExpr;
use datafusion::physical_expr::expressions::{BinaryExpr, Column};
use datafusion::physical_expr::utils::collect_columns;
use datafusion::prelude::SessionContext;
use schema::Dtype;

use crate::{cast, depth};

/// Functions and planner; it holds no tables and reads no clock.
static PLANNER: LazyLock<SessionContext> = LazyLock::new(SessionContext::new);

/// Why an expression was refused.
#[derive(Debug, thiserror::Error)]
pub enum ExprError {
    /// It does not parse, or names what is not there, or mixes types.
    #[error("expression `{expr}`: {why}")]
    Invalid {
        /// The expression.
        expr: String,
        /// The planner's reason.
        why: String,
    },
    /// It calls something whose answer changes from call to call.
    #[error("expression `{expr}` calls `{function}`, which gives another answer each time")]
    Volatile {
        /// The expression.
        expr: String,
        /// The function.
        function: String,
    },
    /// It asks for more than the row that it is computed of.
    #[error("expression `{expr}` has {what}, and an expression sees one row")]
    ManyRows {
        /// The expression.
        expr: String,
        /// What is of many rows.
        what: String,
    },
    /// Its value has another type than declared.
    #[error("expression `{expr}` is {found}, declared {declared}")]
    Type {
        /// The expression.
        expr: String,
        /// The type of its value.
        found: String,
        /// The declared type.
        declared: Dtype,
    },
    /// It failed on a row.
    #[error("evaluating {of}: {why}")]
    Evaluate {
        /// What failed.
        of: Box<Evaluated>,
        /// The engine's reason.
        why: String,
    },
}

/// An expression, and where it fails.
#[derive(Debug)]
pub struct Evaluated {
    /// The expression.
    pub expr: String,
    /// The feature that it is of.
    pub feature: Option<String>,
    /// The first row on which it fails, among those that were evaluated.
    pub row: Option<usize>,
}

impl fmt::Display for Evaluated {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "expression `{}`", self.expr)?;
        if let Some(name) = &self.feature {
            write!(f, " of feature `{name}`")?;
        }
        match self.row {
            Some(row) => write!(f, " in row {row}"),
            None => Ok(()),
        }
    }
}

impl ExprError {
    /// The failure of something that is no expression of a feature.
    pub(crate) fn of_rows(what: &str, why: impl ToString) -> Self {
        let of = Evaluated { expr: what.to_owned(), feature: None, row: None };
        Self::Evaluate { of: Box::new(of), why: why.to_string() }
    }

    /// The row on which an expression fails.
    pub fn row(&self) -> Option<usize> {
        match self {
            Self::Evaluate { of, .. } => of.row,
            Self::Invalid { .. } | Self::Volatile { .. } | Self::ManyRows { .. } | Self::Type { .. } => None,
        }
    }

    /// With the row as somebody else counts it, or without.
    #[must_use]
    pub fn in_row(mut self, as_counted: impl Fn(usize) -> Option<usize>) -> Self {
        if let Self::Evaluate { of, .. } = &mut self {
            of.row = of.row.and_then(as_counted);
        }
        self
    }
}

/// A compiled expression.
#[derive(Debug, Clone)]
pub struct CompiledExpr {
    text: String,
    /// What its value is called.
    feature: Option<String>,
    dtype: Dtype,
    physical: Arc<dyn PhysicalExpr>,
}

impl CompiledExpr {
    /// Compiles `text` over rows of `input`; its value must be exactly of `dtype` or widen to it.
    ///
    /// # Errors
    /// [`ExprError`] if it does not parse, names unknown columns, calls a function that is not immutable, is of more than
    /// one row, or has another type.
    pub fn compile(text: &str, input: &SchemaRef, dtype: Dtype) -> Result<Self, ExprError> {
        let invalid = |why: DataFusionError| ExprError::Invalid { expr: text.to_owned(), why: plain(&why) };
        depth::check(text).map_err(|why| invalid(DataFusionError::Plan(why)))?;
        let columns = DFSchema::try_from(Schema::clone(input)).map_err(invalid)?;
        let logical = PLANNER.parse_sql_expr(text, &columns).map_err(invalid)?;
        only_of_one_row(text, &logical)?;
        // Some functions, `coalesce` among them, exist only until they are simplified into others.
        let context = SimplifyContext::builder().with_schema(Arc::new(columns.clone())).build();
        let simplifier = ExprSimplifier::new(context);
        let logical =
            simplifier.coerce(logical, &columns).and_then(|expr| simplifier.simplify(expr)).map_err(invalid)?;
        let physical = PLANNER.create_physical_expr(logical, &columns).and_then(checked).map_err(invalid)?;
        let found = physical.data_type(input).map_err(invalid)?;
        if !cast::conforms(&found, dtype) {
            return Err(ExprError::Type { expr: text.to_owned(), found: cast::describe(&found), declared: dtype });
        }
        Ok(Self { text: text.to_owned(), feature: None, dtype, physical })
    }

    /// As the expression of a feature, which its errors name.
    #[must_use]
    pub fn of_feature(self, name: &str) -> Self {
        Self { feature: Some(name.to_owned()), ..self }
    }

    /// The columns of its input that it reads, by place, in order.
    pub fn reads(&self) -> Vec<usize> {
        let mut places: Vec<usize> = collect_columns(&self.physical).iter().map(Column::index).collect();
        places.sort_unstable();
        places
    }

    /// The value for every row of `batch`, whose schema is the one it was compiled for.
    ///
    /// # Errors
    /// [`ExprError::Evaluate`], for instance where integers are divided by zero or become too large for their type.
    pub fn evaluate(&self, batch: &RecordBatch) -> Result<ArrayRef, ExprError> {
        self.value(batch).map_err(|why| {
            let (expr, feature) = (self.text.clone(), self.feature.clone());
            ExprError::Evaluate { of: Box::new(Evaluated { expr, feature, row: self.first_failing(batch) }), why }
        })
    }

    fn value(&self, batch: &RecordBatch) -> Result<ArrayRef, String> {
        let value = self.physical.evaluate(batch).and_then(|value| value.into_array(batch.num_rows()));
        let value = value.map_err(|why| plain(&why))?;
        cast::conform(&value, self.dtype, None).map_err(|why| why.to_string())
    }

    /// The row up to which the rows of a batch that fails do not.
    fn first_failing(&self, batch: &RecordBatch) -> Option<usize> {
        let (mut passing, mut failing) = (0, batch.num_rows());
        while failing > passing + 1 {
            let half = passing.midpoint(failing);
            match self.value(&batch.slice(0, half)) {
                Ok(_) => passing = half,
                Err(_) => failing = half,
            }
        }
        failing.checked_sub(1)
    }
}

/// Arithmetic that fails where an integer is too large, instead of going on with another number.
fn checked(physical: Arc<dyn PhysicalExpr>) -> Result<Arc<dyn PhysicalExpr>, DataFusionError> {
    let checked = physical.transform(|node| {
        let Some(binary) = node.downcast_ref::<BinaryExpr>() else { return Ok(Transformed::no(node)) };
        let (left, right) = (Arc::clone(binary.left()), Arc::clone(binary.right()));
        let checked = BinaryExpr::new(left, *binary.op(), right).with_fail_on_overflow(true);
        Ok(Transformed::yes(Arc::new(checked) as Arc<dyn PhysicalExpr>))
    });
    Ok(checked?.data)
}

/// The first function of an expression that may give another answer each time.
///
/// # Errors
/// The engine's, if the expression cannot be walked.
pub fn volatile_call(logical: &Expr) -> Result<Option<String>, DataFusionError> {
    let mut offender = None;
    logical.apply(|node| {
        if let Expr::ScalarFunction(call) = node
            && call.func.signature().volatility != Volatility::Immutable
        {
            offender = Some(call.func.name().to_owned());
            return Ok(TreeNodeRecursion::Stop);
        }
        Ok(TreeNodeRecursion::Continue)
    })?;
    Ok(offender)
}

/// That an expression is a function of one row and of nothing else.
fn only_of_one_row(text: &str, logical: &Expr) -> Result<(), ExprError> {
    let invalid = |why: DataFusionError| ExprError::Invalid { expr: text.to_owned(), why: plain(&why) };
    if let Some(function) = volatile_call(logical).map_err(invalid)? {
        return Err(ExprError::Volatile { expr: text.to_owned(), function });
    }
    let mut offender = None;
    let walked = logical.apply(|node| {
        offender = match node {
            Expr::AggregateFunction(call) => Some(format!("the aggregate `{}`", call.func.name())),
            Expr::WindowFunction(call) => Some(format!("the window function `{}`", call.fun.name())),
            Expr::ScalarSubquery(_) | Expr::InSubquery(_) | Expr::Exists(_) => Some("a query".to_owned()),
            _ => return Ok(TreeNodeRecursion::Continue),
        };
        Ok(TreeNodeRecursion::Stop)
    });
    walked.map_err(invalid)?;
    match offender {
        Some(what) => Err(ExprError::ManyRows { expr: text.to_owned(), what }),
        None => Ok(()),
    }
}

/// The engine's message without its prefixes and backtraces.
pub fn plain(error: &DataFusionError) -> String {
    let text = error.strip_backtrace();
    let mut text = text.as_str();
    for prefix in ["Error during planning: ", "SQL error: ", "Schema error: ", "Arrow error: "] {
        text = text.strip_prefix(prefix).unwrap_or(text);
    }
    let text = text.trim().trim_end_matches('.');
    // The engine says which of its settings to change, which nobody can here.
    let own = |line| if str::starts_with(line, "Column names are case sensitive.") { QUOTES } else { line };
    text.lines().map(own).collect::<Vec<_>>().join("\n")
}

const QUOTES: &str = "Names with capital letters need double quotes.";

#[cfg(test)]
mod tests {
    use arrow::array::{AsArray, Float64Array, Int64Array, TimestampNanosecondArray};
    use arrow::datatypes::{DataType, Field, Float64Type};
    use schema::dtype::timestamp_type;

    use super::*;

    fn input() -> SchemaRef {
        Arc::new(Schema::new(vec![
            Field::new("a", DataType::Int64, true),
            Field::new("b", DataType::Float64, true),
            Field::new("last_order_at", timestamp_type(), true),
            Field::new("request_time", timestamp_type(), true),
        ]))
    }

    fn batch() -> RecordBatch {
        let time = |nanos: Option<i64>| Arc::new(TimestampNanosecondArray::from(vec![nanos]).with_timezone("UTC"));
        let a = Arc::new(Int64Array::from(vec![4]));
        let b = Arc::new(Float64Array::from(vec![0.5]));
        let day = 86_400_000_000_000;
        RecordBatch::try_new(input(), vec![a, b, time(Some(day)), time(Some(3 * day + day / 2))]).unwrap()
    }

    fn compile(text: &str) -> Result<CompiledExpr, ExprError> {
        CompiledExpr::compile(text, &input(), Dtype::Float64)
    }

    #[test]
    fn days_between_two_times() {
        let text = "(date_part('epoch', request_time) - date_part('epoch', last_order_at)) / 86400.0";
        let days = compile(text).unwrap().evaluate(&batch()).unwrap();
        assert_eq!(days.as_primitive::<Float64Type>().value(0).to_bits(), 2.5_f64.to_bits());
    }

    #[test]
    fn functions_that_only_exist_until_simplified_work() {
        for text in ["coalesce(b, 0.0) * 2.0", "nullif(b, 0.5)", "case when a > 3 then b else 0.0 end", "abs(b)"] {
            assert!(compile(text).unwrap().evaluate(&batch()).is_ok(), "{text}");
        }
    }

    #[test]
    fn lists_and_patterns_are_worked_on_row_by_row() {
        let item = || Arc::new(Field::new_list_field(DataType::Float64, true));
        let fields = vec![
            Field::new("v", DataType::List(item()), true),
            Field::new("w", DataType::FixedSizeList(item(), 2), true),
            Field::new("mail", DataType::Utf8, true),
        ];
        let list = |rows: Vec<Option<Vec<Option<f64>>>>| {
            Arc::new(arrow::array::ListArray::from_iter_primitive::<Float64Type, _, _>(rows)) as ArrayRef
        };
        let v = list(vec![Some(vec![Some(3.0), Some(4.0)]), Some(vec![]), None]);
        let w = vec![Some(vec![Some(0.0), Some(0.0)]), Some(vec![Some(1.0), Some(2.0)]), None];
        let w = arrow::array::FixedSizeListArray::from_iter_primitive::<Float64Type, _, _>(w, 2);
        let mail = arrow::array::StringArray::from(vec![Some("ann@shop.example"), Some("none"), None]);
        let input = Arc::new(Schema::new(fields));
        let batch = RecordBatch::try_new(Arc::clone(&input), vec![v, Arc::new(w), Arc::new(mail)]).unwrap();
        let floats = |text: &str| -> Vec<Option<f64>> {
            let whole = CompiledExpr::compile(text, &input, Dtype::Float64).unwrap();
            let row = |at| whole.evaluate(&batch.slice(at, 1)).unwrap();
            let all = whole.evaluate(&batch).unwrap();
            let all: Vec<_> = all.as_primitive::<Float64Type>().iter().collect();
            let each: Vec<_> =
                (0..3).flat_map(|at| row(at).as_primitive::<Float64Type>().iter().collect::<Vec<_>>()).collect();
            assert_eq!(all, each, "{text}");
            all
        };
        assert_eq!(floats("v[1]"), [Some(3.0), None, None]);
        assert_eq!(floats("w[2]"), [Some(0.0), Some(2.0), None]);
        assert_eq!(floats("cast(array_length(v) as double)"), [Some(2.0), Some(0.0), None]);
        assert_eq!(floats("array_max(w)"), [Some(0.0), Some(2.0), None]);
        assert_eq!(floats("case when array_has(v, 4.0) then 1.0 else 0.0 end"), [Some(1.0), Some(0.0), Some(0.0)]);
        let pattern = "cast(regexp_like(mail, '@shop[.]') as double)";
        assert_eq!(floats(pattern), [Some(1.0), Some(0.0), None]);
        assert_eq!(floats("array_distance([v[1], v[2]], [0.0, 0.0])"), [Some(5.0), None, None]);
    }

    #[test]
    fn integers_that_become_too_large_are_errors() {
        let largest = |text: &str| {
            let all = batch();
            let columns = all.columns().iter().enumerate().map(|(at, column)| match at {
                0 => Arc::new(Int64Array::from(vec![i64::MAX])) as ArrayRef,
                _ => ArrayRef::clone(column),
            });
            let batch = RecordBatch::try_new(input(), columns.collect::<Vec<_>>()).unwrap();
            CompiledExpr::compile(text, &input(), Dtype::Int64).unwrap().evaluate(&batch)
        };
        for text in ["a + 1", "a * 2", "-2 - a", "case when b > 0 then a + a else 0 end"] {
            let why = largest(text).unwrap_err().to_string();
            assert!(why.to_lowercase().contains("overflow"), "{text}: {why}");
        }
        for text in ["a - 1", "a / 2", "case when b > 9 then a + a else 0 end"] {
            assert!(largest(text).is_ok(), "{text}");
        }
    }

    #[test]
    fn what_changes_from_call_to_call_is_refused() {
        for text in ["random()", "date_part('epoch', now())"] {
            assert!(matches!(compile(text), Err(ExprError::Volatile { .. })), "{text}");
        }
    }

    #[test]
    fn what_is_of_many_rows_is_refused_for_that() {
        for (text, what) in [
            ("sum(b)", "the aggregate `sum`"),
            ("1.0 + max(b)", "the aggregate `max`"),
            ("row_number() over (order by a)", "the window function `row_number`"),
            ("(select 1.0)", "a query"),
            ("case when a in (select 1) then b end", "a query"),
            ("case when exists (select 1) then b end", "a query"),
        ] {
            let why = compile(text).unwrap_err().to_string();
            assert_eq!(why, format!("expression `{text}` has {what}, and an expression sees one row"));
        }
    }

    #[test]
    fn a_name_with_capitals_is_to_be_quoted() {
        let input = Arc::new(Schema::new(vec![Field::new("Foo", DataType::Float64, true)]));
        let why = CompiledExpr::compile("Foo", &input, Dtype::Float64).unwrap_err().to_string();
        assert!(why.contains("Names with capital letters need double quotes."), "{why}");
        assert!(!why.contains("datafusion") && why.contains("Valid fields are \"Foo\""), "{why}");
        assert!(CompiledExpr::compile("\"Foo\"", &input, Dtype::Float64).is_ok());
    }

    #[test]
    fn mistakes_say_what_they_are() {
        assert!(compile("c + 1").unwrap_err().to_string().contains('c'));
        assert!(matches!(compile("a >"), Err(ExprError::Invalid { .. })));
        assert!(matches!(compile("a"), Err(ExprError::Type { declared: Dtype::Float64, .. })));
    }
}
