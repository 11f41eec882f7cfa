//! The join trap (natural transformations, section 4): migrating views and joining them equals joining and migrating, for
//! random rows, entities without rows among them, and random migrations. With what happens when the two defaults are one.

use std::sync::Arc;

use arrow::array::{Array, Int64Array};
use proptest::prelude::*;
use proptest::strategy::ValueTree;
use proptest::test_runner::TestRunner;
use schema::definitions::Service;
use schema::migration::{FeatureSchema, Field, MigrationStep};
use schema::yaml::Place;
use schema::{Dtype, Fingerprint, ServiceColumn, Value, ViewId};

use super::*;

/// A view of the older service: a field, what is added to it, and for each entity its row, if it has one.
#[derive(Debug, Clone)]
struct View {
    name: &'static str,
    default: i64,
    when_missing: Option<i64>,
    rows: Vec<Option<Option<i64>>>,
}

const ENTITIES: usize = 5;

fn views() -> impl Strategy<Value = (View, View)> {
    let row = prop_oneof![Just(None), Just(Some(None)), (-9_i64..9).prop_map(|v| Some(Some(v)))];
    let rows = proptest::collection::vec(row, ENTITIES);
    let view =
        move |name| {
            (-9_i64..9, proptest::option::of(-9_i64..9), rows.clone())
                .prop_map(move |(default, when_missing, rows)| View { name, default, when_missing, rows })
        };
    (view("a"), view("b"))
}

fn service(views: &[&View]) -> FeatureService {
    let definition = Service {
        name: "s".parse().unwrap(),
        views: Vec::new(),
        features: Vec::new(),
        fill: BTreeMap::new(),
        migrate_from: BTreeMap::new(),
        description: None,
        owner: None,
        tags: BTreeMap::new(),
        place: Place::default(),
    };
    let column = |view: &&View| ServiceColumn {
        name: format!("{}_x", view.name).parse().unwrap(),
        view: ViewId { name: view.name.parse().unwrap(), version: 1 },
        alias: None,
        feature: "x".parse().unwrap(),
        dtype: Dtype::Int64,
        fill: None,
    };
    FeatureService {
        name: definition.name.clone(),
        version: 1,
        fingerprint: Fingerprint::of_bytes(b""),
        columns: views.iter().map(column).collect(),
        definition,
        uses: Vec::new(),
        on_demand: Vec::new(),
    }
}

/// A field is added to each view, and its own is renamed.
fn migration(views: &[&View]) -> Migration {
    let schema = service(views).schema().unwrap();
    let steps: Vec<MigrationStep> = views
        .iter()
        .flat_map(|view| {
            let name = |end: &str| format!("{}_{end}", view.name).parse().unwrap();
            let when_missing = view.when_missing.map_or(Value::Null, Value::Int);
            let (dtype, default) = (Some(Dtype::Int64), Value::Int(view.default));
            [
                MigrationStep::Add { name: name("new"), dtype, default, when_missing, restore: false },
                MigrationStep::Rename { from: name("x"), to: name("y") },
            ]
        })
        .collect();
    let of = |name: &schema::FeatureName| name.as_str().split('_').next().map(str::to_owned);
    Migration::from_steps(&schema, &steps).unwrap().in_views(of)
}

/// What a service of these views has for all entities: the join.
fn joined(views: &[&View]) -> (Vec<ArrayRef>, Vec<Statuses>) {
    let column = |view: &&View| Arc::new(view.rows.iter().map(|row| row.flatten()).collect::<Int64Array>()) as ArrayRef;
    let status = |row: &Option<Option<i64>>| match row {
        None => Status::NotFound,
        Some(None) => Status::NullValue,
        Some(Some(_)) => Status::Present,
    };
    let statuses = views.iter().map(|view| view.rows.iter().map(status).collect());
    (views.iter().map(column).collect(), statuses.collect())
}

type Cells = BTreeMap<String, Vec<(Value, Status)>>;

fn cells(schema: &FeatureSchema, found: &Migrated) -> Cells {
    let cell = |i: usize| {
        let value = |row| (Value::at(&found.columns[i], row), found.statuses[i][row]);
        (0..found.columns[i].len()).map(value).collect()
    };
    let named = |(i, field): (usize, &Field)| (field.name.to_string(), cell(i));
    schema.fields().iter().enumerate().map(named).collect()
}

fn by(views: &[&View], migrate: Migrate) -> Cells {
    let (migration, (columns, statuses)) = (migration(views), joined(views));
    cells(migration.target(), &migrate(&service(views), &columns, &statuses, &migration).unwrap())
}

type Migrate = fn(&FeatureService, &[ArrayRef], &[Statuses], &Migration) -> Result<Migrated, MigrationError>;

/// Join and migrate, against migrate each view and join: both by key, so the join of columns is their union.
fn commutes((a, b): &(View, View), whole: Migrate, apart: Migrate) -> bool {
    let mut separately = by(&[a], apart);
    separately.extend(by(&[b], apart));
    by(&[a, b], whole) == separately
}

/// Broken: a row of which any part is missing counts as missing, as with one flag for the whole joined row.
fn one_flag(
    older: &FeatureService,
    columns: &[ArrayRef],
    statuses: &[Statuses],
    migration: &Migration,
) -> Result<Migrated, MigrationError> {
    let lost = |row: usize| statuses.iter().any(|column| column[row] == Status::NotFound);
    let n = statuses.first().map_or(0, Statuses::len);
    let all =
        vec![(0..n).map(|row| if lost(row) { Status::NotFound } else { Status::Present }).collect(); columns.len()];
    migrate(older, columns, &all, migration)
}

/// Broken: joined first, a field that is added has its default in every row; migrated first, it has none where no row is.
fn one_default(
    _older: &FeatureService,
    columns: &[ArrayRef],
    statuses: &[Statuses],
    migration: &Migration,
) -> Result<Migrated, MigrationError> {
    let n = statuses.first().map_or(0, Statuses::len);
    let columns = migration.apply(columns, &Presence::by_view(n, &BTreeMap::new()))?;
    let statuses = columns.iter().map(|column| {
        let status = |row| if column.is_null(row) { Status::NullValue } else { Status::Present };
        (0..n).map(status).collect()
    });
    Ok(Migrated { statuses: statuses.collect(), columns })
}

proptest! {
    #[test]
    fn migrating_views_separately_equals_migrating_the_join(views in views()) {
        prop_assert!(commutes(&views, migrate, migrate), "{:?} {:?}", by(&[&views.0, &views.1], migrate), views);
    }
}

/// Negative control: each of these is caught within a few random cases.
#[test]
fn one_flag_or_one_default_for_both_is_caught() {
    let mut runner = TestRunner::deterministic();
    let cases: Vec<(View, View)> = (0..64).map(|_| views().new_tree(&mut runner).unwrap().current()).collect();
    assert!(cases.iter().all(|case| commutes(case, migrate, migrate)));
    assert!(!cases.iter().all(|case| commutes(case, one_flag, one_flag)));
    assert!(!cases.iter().all(|case| commutes(case, one_default, migrate)));
}

/// Whatever it is given, a missing row stays missing, and so does one that is too old; what is unknown is not made up.
#[test]
fn a_filled_value_of_a_missing_row_has_the_rows_status() {
    let view = View { name: "a", default: 0, when_missing: Some(-1), rows: Vec::new() };
    let statuses = [Statuses::from_slice(&[
        Status::Present,
        Status::NullValue,
        Status::NotFound,
        Status::OutsideMaxAge,
        Status::Unavailable,
    ])];
    let column: ArrayRef = Arc::new(Int64Array::from(vec![Some(5), None, None, None, None]));
    let found = migrate(&service(&[&view]), &[column], &statuses, &migration(&[&view])).unwrap();
    let at = |name: &str, row: usize| cells(migration(&[&view]).target(), &found)[name][row].clone();
    assert_eq!(at("a_y", 0), (Value::Int(5), Status::Present));
    let new: Vec<(Value, Status)> = (0..5).map(|row| at("a_new", row)).collect();
    let want = [
        (Value::Int(0), Status::Present),
        (Value::Int(0), Status::Present),
        (Value::Int(-1), Status::NotFound),
        (Value::Int(-1), Status::OutsideMaxAge),
        (Value::Null, Status::Unavailable),
    ];
    assert_eq!(new, want);
}

/// A view that the older service did not read was not joined: its rows did not exist, so they have the default.
#[test]
fn fields_of_a_view_that_was_not_read_have_their_default() {
    let view = View { name: "a", default: 3, when_missing: Some(-1), rows: vec![None; 1] };
    let migration = migration(&[&view]).in_views(|_| None);
    let schema = service(&[&view]).schema().unwrap();
    let elsewhere = Migration::from_steps(
        &schema,
        &[MigrationStep::Add {
            name: "b_new".parse().unwrap(),
            dtype: Some(Dtype::Int64),
            default: Value::Int(3),
            when_missing: Value::Int(-1),
            restore: false,
        }],
    );
    let elsewhere = elsewhere.unwrap().in_views(|_| Some("b".to_owned()));
    let (columns, statuses) = joined(&[&view]);
    let found = migrate(&service(&[&view]), &columns, &statuses, &elsewhere).unwrap();
    assert_eq!(Value::at(&found.columns[1], 0), Value::Int(3));
    // Negative control: of its own view, whose row is missing, it is the other constant.
    let found = migrate(&service(&[&view]), &columns, &statuses, &migration).unwrap();
    assert_eq!(Value::at(&found.columns[1], 0), Value::Int(-1));
}
