//! Any sequence of appends, deletes, compactions, vacuums, overwrites and restores, against a list in memory.

use proptest::prelude::*;

use super::*;

#[derive(Debug, Clone)]
enum Step {
    Append(u8),
    AppendTwice(u8),
    DeleteKeys(Vec<i64>),
    DeleteTimes(i64, i64),
    Compact(u64),
    Vacuum,
    Checkpoint,
    Overwrite(u8),
    Restore(u64),
}

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        4 => (0..5_u8).prop_map(Step::Append),
        1 => (1..3_u8).prop_map(Step::AppendTwice),
        2 => proptest::collection::vec(0..30_i64, 1..4).prop_map(Step::DeleteKeys),
        1 => (0..30_i64, 0..5_i64).prop_map(|(from, n)| Step::DeleteTimes(from, from + n)),
        2 => prop_oneof![Just(u64::MAX), Just(6_000), Just(1)].prop_map(Step::Compact),
        1 => Just(Step::Vacuum),
        1 => Just(Step::Checkpoint),
        1 => (0..3_u8).prop_map(Step::Overwrite),
        1 => (0..20_u64).prop_map(Step::Restore),
    ]
}

/// What the table should be.
#[derive(Default)]
struct Model {
    rows: Vec<(i64, Row)>,
    next: i64,
    /// Rows of each version; versions before `oldest` may be gone.
    versions: Vec<Vec<(i64, Row)>>,
    oldest: usize,
}

impl Model {
    fn append(&mut self, rows: &[Row]) {
        for row in rows {
            self.rows.push((self.next, row.clone()));
            self.next += 1;
        }
        self.versions.push(self.rows.clone());
    }
}

fn run(steps: &[Step]) -> Result<(), TestCaseError> {
    let fixture = Fixture::new();
    let table = &fixture.table;
    let mut model = Model { versions: vec![Vec::new()], ..Model::default() };
    for (i, step) in steps.iter().enumerate() {
        let first = i64::try_from(i).unwrap() % 30;
        let before = table.state(None).unwrap();
        let data = |n: u8| rows(first..first + i64::from(n));
        match step {
            Step::Append(n) => {
                table.add(&data(*n)).unwrap();
                model.append(&data(*n));
            }
            Step::AppendTwice(n) => {
                let key = IdempotencyKey { app: format!("test.{i}"), number: 1 };
                for again in [false, true] {
                    let appender = table.appender(Some(key.clone()), &silent).unwrap();
                    prop_assert_eq!(appender.is_none(), again);
                    if let Some(mut appender) = appender {
                        appender.push(&arrays(&data(*n))).unwrap();
                        appender.commit(json!({})).unwrap();
                    }
                }
                model.append(&data(*n));
            }
            Step::DeleteKeys(users) => {
                let lease = table.lease(&silent).unwrap();
                let done = table.delete_keys(keys(users), &lease).unwrap();
                let n = model.rows.len();
                model.rows.retain(|(_, row)| !users.contains(&row.0));
                prop_assert_eq!(done.n_rows, (n - model.rows.len()) as u64);
                if done.n_rows > 0 {
                    model.versions.push(model.rows.clone());
                }
            }
            Step::DeleteTimes(from, to) => {
                let lease = table.lease(&silent).unwrap();
                let time = |user: &i64| Some(Timestamp::from_nanos(row(*user).1));
                let times = Some(TimeRange { column: "at".to_owned(), from: time(from), to: time(to) });
                let done = table.delete(&Selected { keys: None, times }, &lease).unwrap();
                model.rows.retain(|(_, row)| !(from..to).contains(&&row.0));
                if done.n_rows > 0 {
                    model.versions.push(model.rows.clone());
                }
            }
            Step::Compact(target) => {
                let lease = table.lease(&silent).unwrap();
                let done = table.compact(*target, &lease).unwrap();
                let after = table.state(None).unwrap();
                prop_assert_eq!(after.arrivals, before.arrivals, "a compaction is no change of the rows");
                prop_assert_eq!(after.n_rows, before.n_rows);
                if done.n_files_before > 0 {
                    model.versions.push(model.rows.clone());
                }
            }
            Step::Vacuum => {
                let lease = table.lease(&silent).unwrap();
                table.vacuum(Duration::ZERO, false, &lease, &silent).unwrap();
                prop_assert_eq!(table.n_files_on_disk(), before.n_files);
                model.oldest = model.versions.len() - 1;
            }
            Step::Checkpoint => table.write_checkpoint(&table.log.load(None).unwrap()).unwrap(),
            Step::Overwrite(n) => {
                let lease = table.lease(&silent).unwrap();
                let mut appender = table.appender(None, &silent).unwrap().unwrap();
                appender.push(&arrays(&data(*n))).unwrap();
                appender.replace(&lease).unwrap();
                model.rows.clear();
                model.append(&data(*n));
            }
            Step::Restore(version) => {
                let lease = table.lease(&silent).unwrap();
                let to = usize::try_from(*version).unwrap().clamp(model.oldest, model.versions.len() - 1);
                table.restore(to as u64, &lease).unwrap();
                model.rows = model.versions[to].clone();
                model.versions.push(model.rows.clone());
            }
        }
        let version = table.state(None).unwrap().version;
        prop_assert_eq!(version, model.versions.len() as u64 - 1, "after {:?}", step);
        prop_assert_eq!(&table.rows(None).unwrap(), &sorted(&model.rows), "after {:?}", step);
        let arrivals = table.state(None).unwrap().arrivals.unwrap();
        prop_assert_eq!(arrivals.next, u64::try_from(model.next).unwrap(), "numbers are not given twice");
    }
    for (version, rows) in model.versions.iter().enumerate().skip(model.oldest) {
        prop_assert_eq!(&table.rows(Some(version as u64)).unwrap(), &sorted(rows), "version {}", version);
    }
    Ok(())
}

fn sorted(rows: &[(i64, Row)]) -> Vec<(i64, Row)> {
    let mut rows = rows.to_vec();
    rows.sort();
    rows
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(24))]
    #[test]
    fn whatever_is_done_to_a_table_it_is_what_a_list_would_be(steps in proptest::collection::vec(step(), 1..14)) {
        run(&steps)?;
    }
}
