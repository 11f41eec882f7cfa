use std::sync::Arc;

use arrow::array::{ArrayRef, Float64Array};
use schema::definitions::File;
use schema::{AppliedDefinitions, Definitions};

use super::*;

fn compiled() -> CompiledService {
    let text = "{kind: entity, name: user, join_key: k, type: int64}\n---\n\
                {kind: source, name: rows, path: rows.parquet, event_time: ts}\n---\n\
                {kind: feature_view, name: f, entity: user, source: rows, features: [{name: v, type: float64}]}\n---\n\
                {kind: feature_service, name: s, features: [f:v]}\n";
    let declared = Definitions::read(&[File { path: "p.yaml".to_owned(), text: text.to_owned() }]).unwrap();
    let applied = AppliedDefinitions::default().after(&declared);
    CompiledService::new(applied.current_service("s").unwrap(), &applied).unwrap()
}

/// What one side says of a row.
type Said = (Option<f64>, Status);

const NOT_THERE: Said = (None, Status::NotFound);
const OLD: Said = (None, Status::OutsideMaxAge);
const AWAY: Said = (None, Status::Unavailable);

fn is(v: f64) -> Said {
    (Some(v), Status::Present)
}

fn side(said: impl Iterator<Item = Said>) -> FeatureRows {
    let (values, statuses): (Vec<Option<f64>>, Statuses) = said.unzip();
    let event_times =
        vec![statuses.iter().map(|s| (*s == Status::Present).then_some(Timestamp::from_nanos(1))).collect()];
    FeatureRows {
        columns: vec![Arc::new(Float64Array::from(values)) as ArrayRef],
        statuses: vec![statuses],
        event_times,
    }
}

/// Compares rows of (offline, online).
fn compared(rows: &[(Said, Said)]) -> FeatureComparison {
    let (offline, online) = (side(rows.iter().map(|row| row.0)), side(rows.iter().map(|row| row.1)));
    compare(&compiled(), &offline, &online, |row| row.to_string()).remove(0)
}

#[test]
fn a_row_is_counted_as_one_thing() {
    for (offline, online, counts) in [
        (is(1.0), is(1.0), "equal"),
        (is(f64::NAN), is(f64::NAN), "equal"),
        (NOT_THERE, NOT_THERE, "equal"),
        (is(1.0), is(2.0), "mismatched"),
        (is(0.0), is(-0.0), "mismatched"),
        (OLD, NOT_THERE, "mismatched"),
        (is(1.0), NOT_THERE, "missing"),
        (is(1.0), OLD, "missing"),
        (NOT_THERE, is(1.0), "extra"),
        (OLD, is(1.0), "extra"),
        (is(1.0), AWAY, "unavailable"),
    ] {
        let found = compared(&[(offline, online)]);
        let of = |name: &str| usize::from(name == counts);
        assert_eq!(
            [found.equal, found.mismatched, found.missing, found.extra, found.unavailable],
            ["equal", "mismatched", "missing", "extra", "unavailable"].map(of),
            "{offline:?} {online:?}"
        );
        assert_eq!(found.compared, 1 - of("unavailable"));
        assert_eq!(found.is_equal(), counts == "equal" || counts == "unavailable");
    }
}

#[test]
fn smape_is_from_zero_to_two_for_every_pair_of_numbers() {
    for (a, b, want) in [
        (0.0, 0.0, 0.0),
        (0.0, -0.0, 0.0),
        (3.0, 1.0, 1.0),
        (-3.0, -1.0, 1.0),
        (-1.0, 1.0, 2.0),
        (0.0, 5.0, 2.0),
        (f64::MAX, -f64::MAX, 2.0),
        (f64::MAX, f64::MAX / 3.0, 1.0),
        (f64::INFINITY, 1.0, 2.0),
        (f64::INFINITY, f64::NEG_INFINITY, 2.0),
        (f64::INFINITY, f64::INFINITY, 0.0),
        (5e-324, 0.0, 2.0),
    ] {
        for (a, b) in [(a, b), (b, a)] {
            let smape = compared(&[(is(a), is(b))]).smape;
            assert!((smape - want).abs() < 1e-12, "{a} {b}: {smape}, not {want}");
        }
    }
}

#[test]
fn smape_is_the_mean_over_rows_with_two_numbers() {
    let apart = (is(-1.0), is(1.0));
    let same = (is(4.0), is(4.0));
    let none = [(NOT_THERE, NOT_THERE), (is(1.0), OLD), (is(f64::NAN), is(1.0)), (is(1.0), AWAY)];
    let parts: [&[(Said, Said)]; 4] = [&[apart, none[0], none[1], none[2], none[3]], &[], &none, &[same, same, same]];
    let mut total = Vec::new();
    for part in parts {
        accumulate(&compiled(), &mut total, vec![compared(part)]);
    }
    // In blocks as at once.
    assert!((total[0].smape - 0.5).abs() < 1e-12, "{}", total[0].smape);
    let at_once = compared(&parts.concat()).smape;
    assert!((at_once - 0.5).abs() < 1e-12, "{at_once}");
    assert_eq!((total[0].compared, total[0].missing, total[0].unavailable), (10, 2, 2));
    assert_eq!(total[0].examples.len(), EXAMPLES_MAX);
}

/// A service of stored, computed and on-demand features, each made of the one before; `left_out` is not in the service.
fn chain(left_out: &str) -> CompiledService {
    let listed = ["f:stored", "f:other", "f:computed", "o:first", "o:second"].iter().filter(|name| **name != left_out);
    let listed = listed.map(|name| format!("'{name}'")).collect::<Vec<_>>().join(", ");
    let text = format!(
        "{{kind: entity, name: user, join_key: k, type: int64}}\n---\n\
         {{kind: source, name: rows, path: rows.parquet, event_time: ts}}\n---\n\
         {{kind: feature_view, name: f, entity: user, source: rows,\n\
         features: [{{name: stored, type: float64}}, {{name: other, type: float64}}],\n\
         computed: [{{name: computed, type: float64, expr: stored + 1.0}}]}}\n---\n\
         {{kind: on_demand_view, name: o, inputs: ['f:computed', 'f:other'],\n\
         features: [{{name: first, type: float64, expr: computed * 2.0}}, {{name: second, type: float64, expr: other * 2.0}}]}}\n---\n\
         {{kind: feature_service, name: s, features: [{listed}]}}\n"
    );
    let declared = Definitions::read(&[File { path: "p.yaml".to_owned(), text }]).unwrap();
    let applied = AppliedDefinitions::default().after(&declared);
    CompiledService::new(applied.current_service("s").unwrap(), &applied).unwrap()
}

#[test]
fn a_difference_is_traced_to_the_first_transform_that_makes_one() {
    let stored = ("f:stored", Step::Stored, &[][..]);
    for (left_out, differ, of, want) in [
        ("", &["stored", "computed", "first"][..], "stored", stored),
        ("", &["stored", "computed", "first"], "first", stored),
        ("", &["computed", "first"], "first", ("f:computed", Step::Computed, &[])),
        ("", &["first"], "first", ("o:first", Step::OnDemand, &[])),
        // Another input of the same view differs, and is not what it is made of.
        ("", &["stored", "computed", "second"], "second", ("o:second", Step::OnDemand, &[])),
        ("f:stored", &["computed", "first"], "first", ("f:computed", Step::Computed, &["f:stored"])),
        ("f:computed", &["first"], "first", ("o:first", Step::OnDemand, &["f:computed"])),
    ] {
        let compiled = chain(left_out);
        let feature = |column: &schema::ServiceColumn| {
            let mismatched = usize::from(differ.contains(&column.name.as_str()));
            let (feature, equal) = (column.name.to_string(), 1 - mismatched);
            FeatureComparison { feature, compared: 1, equal, mismatched, ..FeatureComparison::default() }
        };
        let mut features: Vec<FeatureComparison> = compiled.service.columns.iter().map(feature).collect();
        first::find(&compiled, &mut features);
        let found = features.iter().find(|found| found.feature == of).unwrap().first_failing.clone().unwrap();
        let not_compared = want.2.iter().map(|name| (*name).to_owned()).collect();
        let want = FirstFailing { feature: want.0.to_owned(), step: want.1, not_compared };
        assert_eq!(found, want, "without `{left_out}`, of {differ:?}, `{of}`");
        let sound = features.iter().filter(|found| !differ.contains(&found.feature.as_str()));
        assert!(sound.clone().count() > 0 && sound.clone().all(|found| found.first_failing.is_none()));
    }
}
