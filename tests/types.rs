//! Every type, any bits: what a source holds comes out of history, the online store and the answer as it went in.
//!
//! Columns of every dtype are written to Parquet, read as history, packed into an online store, read back and compared
//! bit for bit; then the JSON of the answer is read back, as far as JSON can tell values apart.

use std::sync::Arc;
use std::time::Duration;

use arrow::array::{
    Array, ArrayRef, BinaryArray, BooleanArray, Date32Array, Decimal128Array, DurationNanosecondArray,
    FixedSizeListArray, Float32Array, Float64Array, Int8Array, Int16Array, Int32Array, Int64Array, ListArray,
    RecordBatch, StringArray, TimestampNanosecondArray, UInt8Array, UInt16Array, UInt32Array, UInt64Array,
};
use arrow::buffer::{NullBuffer, OffsetBuffer};
use featurestore::materialize::Materializer;
use featurestore::offline::OfflineStore;
use featurestore::online::testing::{TestRedis, unique_project};
use featurestore::online::{EmbeddedStore, MemoryStore, OnlineReader, OnlineStore, RedisStore};
use featurestore::retrieve::{EntityRows, retrieve};
use featurestore::training::features_at;
use featurestore::{CompiledService, FeatureRows};
use parquet::arrow::ArrowWriter;
use plumb::http::native::columns::Features;
use proptest::prelude::*;
use proptest::test_runner::{Config, TestRunner};
use schema::definitions::File;
use schema::dtype::item_field;
use schema::json::canonical;
use schema::{AppliedDefinitions, Definitions, Dtype, Scalar, Timestamp, Value};
use serde_json::value::RawValue;

/// Cases of every dtype.
const CASES: u32 = 24;

/// Bits that a value is made of.
pub(crate) type Bits = u128;
/// A row: null, or bits; a list takes all of them, a scalar the first.
pub(crate) type Cell = Option<Vec<Option<Bits>>>;

/// Any bits, edges of floats and integers more often.
pub(crate) fn bits() -> impl Strategy<Value = Bits> {
    let doubles = [f64::NAN, -0.0, f64::INFINITY, f64::NEG_INFINITY, 0.1, f64::MIN_POSITIVE].map(f64::to_bits);
    let singles = [f32::NAN, -0.0, f32::INFINITY, 0.1].map(f32::to_bits);
    let payloads = [0x7ff0_0000_dead_beef_u64, 0x7fa0_0001, u64::MAX, 1 << 63, (1 << 53) + 1, 1 << 31, 0];
    let edges: Vec<Bits> = doubles.into_iter().chain(payloads).chain(singles.map(u64::from)).map(Bits::from).collect();
    prop_oneof![proptest::sample::select(edges), any::<Bits>(), 0..9_u128]
}

/// A row of any dtype, null now and then, and so are the values of a list.
pub(crate) fn cell(dtype: Dtype) -> impl Strategy<Value = Cell> {
    let lengths = match dtype {
        Dtype::List(_) => 0..5,
        Dtype::FixedList(_, n) => n as usize..n as usize + 1,
        _ => 1..2,
    };
    let value = match dtype.is_list() {
        true => proptest::option::weighted(0.8, bits()).boxed(),
        false => bits().prop_map(Some).boxed(),
    };
    proptest::option::weighted(0.8, proptest::collection::vec(value, lengths))
}

/// The column of some rows.
#[expect(
    clippy::cast_possible_truncation,
    clippy::cast_possible_wrap,
    reason = "a value takes as many of the bits as it has"
)]
fn scalars(item: Scalar, bits: &[Option<Bits>]) -> ArrayRef {
    macro_rules! each {
        ($array:ty, $of:expr) => {{
            let of = $of;
            Arc::new(bits.iter().map(|bits| bits.map(&of)).collect::<$array>())
        }};
    }
    match item {
        Scalar::Bool => each!(BooleanArray, |b: Bits| b % 2 == 1),
        Scalar::Int8 => each!(Int8Array, |b: Bits| b as i8),
        Scalar::Int16 => each!(Int16Array, |b: Bits| b as i16),
        Scalar::Int32 => each!(Int32Array, |b: Bits| b as i32),
        Scalar::Int64 => each!(Int64Array, |b: Bits| b as i64),
        Scalar::Uint8 => each!(UInt8Array, |b: Bits| b as u8),
        Scalar::Uint16 => each!(UInt16Array, |b: Bits| b as u16),
        Scalar::Uint32 => each!(UInt32Array, |b: Bits| b as u32),
        Scalar::Uint64 => each!(UInt64Array, |b: Bits| b as u64),
        Scalar::Float32 => each!(Float32Array, |b: Bits| f32::from_bits(b as u32)),
        Scalar::Float64 => each!(Float64Array, |b: Bits| f64::from_bits(b as u64)),
        Scalar::String => each!(StringArray, |b: Bits| match b % 4 {
            0 => String::new(),
            1 => "naïve 𝄞\u{0}\"\\".to_owned(),
            _ => format!("{b:x}"),
        }),
        Scalar::Bytes => each!(BinaryArray, |b: Bits| b.to_le_bytes()[..(b % 17) as usize].to_vec()),
        Scalar::Date => each!(Date32Array, |b: Bits| b as i32),
        Scalar::Timestamp => {
            let times: TimestampNanosecondArray = bits.iter().map(|bits| bits.map(|b| b as i64)).collect();
            Arc::new(times.with_timezone("UTC"))
        }
        Scalar::Duration => each!(DurationNanosecondArray, |b: Bits| b as i64),
        Scalar::Decimal { precision, scale } => {
            let limit = 10_i128.pow(precision.into());
            let decimals: Decimal128Array = bits.iter().map(|bits| bits.map(|b| b as i128 % limit)).collect();
            Arc::new(decimals.with_precision_and_scale(precision, scale as i8).unwrap())
        }
        Scalar::Json => each!(StringArray, |b: Bits| match b % 5 {
            0 => "{}".to_owned(),
            1 => "[]".to_owned(),
            2 => b.to_string(),
            3 => format!("{{\"a\":[null,true,\"{b:x}\"],\"é\":1.5e300}}"),
            _ => "null".to_owned(),
        }),
    }
}

/// A column of any dtype.
pub(crate) fn column(dtype: Dtype, cells: &[Cell]) -> ArrayRef {
    let nulls: NullBuffer = cells.iter().map(Option::is_some).collect();
    let nulls = Some(nulls).filter(|nulls| nulls.null_count() > 0);
    match dtype {
        Dtype::List(item) => {
            let values: Vec<Option<Bits>> = cells.iter().flatten().flatten().copied().collect();
            let offsets = OffsetBuffer::from_lengths(cells.iter().map(|cell| cell.as_ref().map_or(0, Vec::len)));
            Arc::new(ListArray::new(item_field(item), offsets, scalars(item, &values), nulls))
        }
        Dtype::FixedList(item, n) => {
            let missing = vec![None; n as usize];
            let values: Vec<Option<Bits>> =
                cells.iter().flat_map(|cell| cell.as_ref().unwrap_or(&missing)).copied().collect();
            let n = i32::try_from(n).unwrap();
            Arc::new(FixedSizeListArray::new(item_field(item), n, scalars(item, &values), nulls))
        }
        scalar => {
            let values: Vec<Option<Bits>> = cells.iter().map(|cell| cell.as_ref().and_then(|cell| cell[0])).collect();
            scalars(scalar.item(), &values)
        }
    }
}

fn definitions(dtype: Dtype) -> AppliedDefinitions {
    let text = format!(
        "kind: entity\nname: e\njoin_key: k\ntype: int64\n---\n\
         kind: source\nname: rows\npath: rows.parquet\nevent_time: ts\n---\n\
         kind: feature_view\nname: f\nentity: e\nsource: rows\nfeatures:\n- {{name: x, type: \"{dtype}\"}}\n---\n\
         kind: feature_service\nname: s\nfeatures: ['f:x']\n"
    );
    let declared = Definitions::read(&[File { path: "p.yaml".to_owned(), text }]).unwrap();
    AppliedDefinitions::default().after(&declared)
}

/// The same column from history and from an online store.
async fn both_ways(
    dtype: Dtype,
    x: &ArrayRef,
    store: &Arc<dyn OnlineStore>,
) -> (FeatureRows, FeatureRows, CompiledService) {
    let folder = tempfile::tempdir().unwrap();
    let keys: ArrayRef = Arc::new(Int64Array::from_iter_values(0..i64::try_from(x.len()).unwrap()));
    let times: ArrayRef = Arc::new(TimestampNanosecondArray::from(vec![1; x.len()]).with_timezone("UTC"));
    let rows = [("k", Arc::clone(&keys), true), ("ts", times, true), ("x", Arc::clone(x), true)];
    let batch = RecordBatch::try_from_iter_with_nullable(rows).unwrap();
    let file = std::fs::File::create(folder.path().join("rows.parquet")).unwrap();
    let mut writer = ArrowWriter::try_new(file, batch.schema(), None).unwrap();
    writer.write(&batch).unwrap();
    writer.close().unwrap();

    let definitions = definitions(dtype);
    let compiled = CompiledService::new(definitions.current_service("s").unwrap(), &definitions).unwrap();
    let view = definitions.current_view("f").unwrap();
    let offline = OfflineStore::new(folder.path(), folder.path());
    let at = Timestamp::from_nanos(2);
    let history = offline.history(view).await.unwrap();
    Materializer::new(view, &history, store.as_ref(), at).run(true, &|_| {}).await.unwrap();
    let entities = EntityRows { n: x.len(), columns: [("k".to_owned(), Arc::clone(&keys))].into() };
    let online = retrieve(&OnlineReader::new(Arc::clone(store)), &compiled, &entities, at).await.unwrap();
    let spine = vec![Some(at); x.len()];
    let (there, _) = features_at(&offline, &compiled, &entities, &spine).await.unwrap();
    (there, online, compiled)
}

#[derive(serde::Deserialize)]
struct Answer {
    x: AnswerColumn,
}

#[derive(serde::Deserialize)]
struct AnswerColumn {
    values: Vec<Box<RawValue>>,
}

/// What a client makes of the JSON of a value.
fn read_json(json: &RawValue, item: Scalar) -> Value {
    if item == Scalar::Json {
        // JSON's null and the null of a feature are told apart by the status.
        return Value::String(canonical(json.get()).unwrap());
    }
    match serde_json::from_str::<serde_json::Value>(json.get()).unwrap() {
        serde_json::Value::Null => Value::Null,
        serde_json::Value::Bool(v) => Value::Bool(v),
        serde_json::Value::Number(v) if matches!(item, Scalar::Float32 | Scalar::Float64) => {
            Value::Float(v.as_f64().unwrap())
        }
        serde_json::Value::Number(v) => {
            let value = v.as_i64().map_or_else(|| Value::Uint(v.as_u64().unwrap()), Value::Int);
            value.canonical(item.into()).unwrap()
        }
        serde_json::Value::String(text) => match (item, text.as_str()) {
            (Scalar::Float32 | Scalar::Float64, "NaN") => Value::Float(f64::NAN),
            (Scalar::Float32 | Scalar::Float64, "Infinity") => Value::Float(f64::INFINITY),
            (Scalar::Float32 | Scalar::Float64, "-Infinity") => Value::Float(f64::NEG_INFINITY),
            (Scalar::Bytes, hex) => {
                let byte = |i: usize| u8::from_str_radix(&hex[i..i + 2], 16).unwrap();
                Value::Bytes((0..hex.len()).step_by(2).map(byte).collect())
            }
            _ => Value::String(text).canonical(item.into()).unwrap(),
        },
        other => panic!("{other} for {item}"),
    }
}

/// What JSON keeps of a value: NaN has no payload there.
fn without_payload(value: Value) -> Value {
    match value {
        Value::Float(v) if v.is_nan() => Value::Float(f64::NAN),
        Value::List(values) => Value::List(values.into_iter().map(without_payload).collect()),
        other => other,
    }
}

fn json_holds(x: &ArrayRef, dtype: Dtype, rows: &FeatureRows, compiled: &CompiledService) -> Result<(), TestCaseError> {
    let answer = serde_json::to_string(&Features(compiled, rows)).unwrap();
    let answer: Answer = serde_json::from_str(&answer).unwrap();
    prop_assert_eq!(answer.x.values.len(), x.len());
    for (row, json) in answer.x.values.iter().enumerate() {
        let item = dtype.item();
        let null = json.get() == "null" && x.is_null(row);
        let found = match dtype {
            _ if null => Value::Null,
            Dtype::List(_) | Dtype::FixedList(_, _) => {
                let values: Vec<Box<RawValue>> = serde_json::from_str(json.get()).unwrap();
                Value::List(values.iter().map(|value| read_json(value, item)).collect())
            }
            _ => read_json(json, item),
        };
        let want = Value::at(x, row);
        // Inside a list JSON cannot tell a null from the JSON value null.
        let same_null = |value: Value| match value {
            Value::List(values) if item == Scalar::Json => {
                let null = Value::String("null".to_owned());
                Value::List(values.into_iter().map(|v| if v == Value::Null { null.clone() } else { v }).collect())
            }
            other => other,
        };
        prop_assert_eq!(same_null(without_payload(found)), same_null(without_payload(want)), "{}", json);
    }
    Ok(())
}

fn law(store: impl Fn() -> Arc<dyn OnlineStore>) {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    for dtype in Dtype::all() {
        let mut runner = TestRunner::new(Config { cases: CASES, failure_persistence: None, ..Config::default() });
        let result = runner.run(&proptest::collection::vec(cell(dtype), 1..12), |cells| {
            let x = column(dtype, &cells);
            let store = store();
            let (there, online, compiled) = runtime.block_on(both_ways(dtype, &x, &store));
            prop_assert_eq!(there.columns[0].to_data(), x.to_data());
            prop_assert_eq!(online.columns[0].to_data(), x.to_data());
            prop_assert_eq!(&there.statuses, &online.statuses);
            json_holds(&x, dtype, &online, &compiled)
        });
        if let Err(why) = result {
            panic!("{dtype}: {why}");
        }
    }
}

#[test]
fn every_type_comes_through_memory_as_it_went_in() {
    law(|| Arc::new(MemoryStore::default()));
}

#[test]
fn every_type_comes_through_the_embedded_store_as_it_went_in() {
    let folder = tempfile::tempdir().unwrap();
    let next = std::cell::Cell::new(0);
    law(|| {
        next.set(next.get() + 1);
        Arc::new(EmbeddedStore::open(&folder.path().join(next.get().to_string())).unwrap())
    });
}

#[test]
fn every_type_comes_through_redis_as_it_went_in() {
    let redis = TestRedis::start();
    // Connections live where they were made.
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build().unwrap();
    law(|| {
        let (url, project) = (redis.url().to_owned(), unique_project());
        let connecting = async move { RedisStore::connect(&url, &project, Duration::from_secs(20)).await };
        let store = std::thread::scope(|s| s.spawn(|| runtime.block_on(connecting)).join().unwrap());
        Arc::new(store.unwrap())
    });
}
