//! The edge cases of point-in-time semantics, by number (section 6 of the reference), and a brute-force oracle.

mod oracle;
mod table;

use expect_test::{Expect, expect};
use table::{Setup, built, join, join_two};

/// t0 is noon of 2024-01-01; times are written as differences to it.
#[track_caller]
fn check(setup: Setup<'_>, want: Expect) {
    want.assert_eq(&join(&setup));
}

const TTL: &str = "ttl: 1h";

fn one_key<'a>(view: &'a str, rows: &'a str, spine: &'a str) -> Setup<'a> {
    Setup { source: "created_time: created", view, rows, spine }
}

#[test]
fn c01_an_event_at_the_very_instant_counts() {
    check(
        one_key("", "k:int | ts:time | created:time | v:float\n 1 | +0s | - | 1", "k:int | event_time:time\n 1 | +0s"),
        expect!["1 1.0 PRESENT"],
    );
}

#[test]
fn c01_strictly_before_when_the_view_says_so() {
    let rows = "k:int | ts:time | created:time | v:float\n 1 | +0s | - | 2\n 1 | -1ns | - | 1";
    check(one_key("strict_before: true", rows, "k:int | event_time:time\n 1 | +0s"), expect!["1 1.0 PRESENT"]);
}

#[test]
fn c02_the_ttl_is_inclusive() {
    check(
        one_key(
            TTL,
            "k:int | ts:time | created:time | v:float\n 1 | -3600s | - | 1",
            "k:int | event_time:time\n 1 | +0s",
        ),
        expect!["1 1.0 PRESENT"],
    );
}

#[test]
fn c03_a_microsecond_past_the_ttl_is_too_old() {
    check(
        one_key(
            TTL,
            "k:int | ts:time | created:time | v:float\n 1 | -3600000001us | - | 1",
            "k:int | event_time:time\n 1 | +0s",
        ),
        expect!["1 null OUTSIDE_MAX_AGE"],
    );
}

#[test]
fn c04_c05_the_future_and_strangers_are_not_found() {
    let rows = "k:int | ts:time | created:time | v:float\n 1 | +1s | - | 1";
    check(
        one_key("", rows, "k:int | event_time:time\n 1 | +0s\n 2 | +0s"),
        expect![[r#"
        1 null NOT_FOUND
        2 null NOT_FOUND"#]],
    );
}

#[test]
fn c06_the_later_created_wins_a_tie() {
    let rows = "k:int | ts:time | created:time | v:float\n 1 | -1s | -1s | 2\n 1 | -1s | -2s | 1";
    check(one_key("", rows, "k:int | event_time:time\n 1 | +0s"), expect!["1 2.0 PRESENT"]);
}

#[test]
fn c07_c30_the_last_row_wins_a_whole_tie() {
    let rows = "k:int | ts:time | created:time | v:float\n 1 | -1s | -1s | 1\n 1 | -1s | -1s | 2";
    check(one_key("", rows, "k:int | event_time:time\n 1 | +0s"), expect!["1 2.0 PRESENT"]);
    let plain = Setup {
        source: "",
        view: "",
        rows: "k:int | ts:time | v:float\n 1 | -1s | 1\n 1 | -1s | 2\n 1 | -1s | 3",
        spine: "k:int | event_time:time\n 1 | +0s",
    };
    check(plain, expect!["1 3.0 PRESENT"]);
}

#[test]
fn c07_a_sequence_that_does_not_decide_is_an_error() {
    let setup = Setup {
        source: "",
        view: "sequence: n",
        rows: "k:int | ts:time | n:int | v:float\n 1 | -1s | 5 | 1\n 1 | -1s | 5 | 2",
        spine: "k:int | event_time:time\n 1 | +0s",
    };
    check(
        setup,
        expect![
            "error: feature view `f` has two rows of k=1 with event time 2024-01-01T11:59:59Z, sequence 5 that say different things: row 0 of `rows.parquet` and row 1 of `rows.parquet`"
        ],
    );
}

#[test]
fn c07_a_tie_is_an_error_where_the_view_says_so() {
    let rows = "k:int | ts:time | created:time | v:float\n 1 | -1s | -1s | 1\n 2 | -1s | -1s | 1\n 1 | -1s | -1s | 2";
    check(
        one_key("ties: error", rows, "k:int | event_time:time\n 1 | +0s"),
        expect![
            "error: feature view `f` has two rows of k=1 with event time 2024-01-01T11:59:59Z, created time 2024-01-01T11:59:59Z that say different things: row 0 of `rows.parquet` and row 2 of `rows.parquet`"
        ],
    );
    // It would decide no answer.
    check(one_key("ties: error", rows, "k:int | event_time:time\n 2 | +0s"), expect!["2 1.0 PRESENT"]);
    check(one_key("ties: error", rows, "k:int | event_time:time\n 1 | -2s"), expect!["1 null NOT_FOUND"]);
    let newer = format!("{rows}\n 1 | -1s | +0s | 3");
    check(one_key("ties: error", &newer, "k:int | event_time:time\n 1 | +0s"), expect!["1 3.0 PRESENT"]);
}

#[test]
fn c07_a_row_that_is_there_twice_is_no_tie() {
    let rows = "k:int | ts:time | created:time | v:float\n 1 | -1s | - | -\n 1 | -1s | - | -\n 2 | -1s | - | 1\n 2 | -1s | - | 1";
    check(
        one_key("ties: error", rows, "k:int | event_time:time\n 1 | +0s\n 2 | +0s"),
        expect![[r#"
            1 null NULL_VALUE
            2 1.0 PRESENT"#]],
    );
    let setup = Setup {
        source: "",
        view: "sequence: n",
        rows: "k:int | ts:time | n:int | v:float\n 1 | -1s | 5 | 1\n 1 | -1s | 5 | 1",
        spine: "k:int | event_time:time\n 1 | +0s",
    };
    check(setup, expect!["1 1.0 PRESENT"]);
}

#[test]
fn c08_a_missing_created_time_is_oldest() {
    let rows = "k:int | ts:time | created:time | v:float\n 1 | -1s | -1s | 1\n 1 | -1s | - | 2";
    check(one_key("", rows, "k:int | event_time:time\n 1 | +0s"), expect!["1 1.0 PRESENT"]);
}

#[test]
fn c09_a_row_without_event_time_never_matches() {
    let rows = "k:int | ts:time | created:time | v:float\n 1 | - | - | 1";
    check(one_key("", rows, "k:int | event_time:time\n 1 | +0s"), expect!["1 null NOT_FOUND"]);
}

#[test]
fn c10_duplicate_spine_rows_all_stay() {
    let rows = "k:int | ts:time | created:time | v:float\n 1 | -1s | - | 1";
    let spine = "k:int | event_time:time | label:int\n 1 | +0s | 7\n 1 | +0s | 8\n 1 | +0s | 9";
    check(
        one_key("", rows, spine),
        expect![[r#"
        1 7 1.0 PRESENT
        1 8 1.0 PRESENT
        1 9 1.0 PRESENT"#]],
    );
}

#[test]
fn c11_c12_a_late_backfill_does_not_leak() {
    let rows = "k:int | ts:time | created:time | v:float\n 1 | -10s | -10s | 1\n 1 | -5s | +5s | 9";
    let spine = "k:int | event_time:time\n 1 | +0s\n 1 | +5s";
    check(
        one_key("", rows, spine),
        expect![[r#"
        1 1.0 PRESENT
        1 9.0 PRESENT"#]],
    );
    check(
        one_key("known: event", rows, spine),
        expect![[r#"
        1 9.0 PRESENT
        1 9.0 PRESENT"#]],
    );
}

#[test]
fn c13_null_is_a_fact() {
    let rows = "k:int | ts:time | created:time | v:float\n 1 | -10s | - | 1\n 1 | -5s | - | -";
    check(one_key("", rows, "k:int | event_time:time\n 1 | +0s"), expect!["1 null NULL_VALUE"]);
}

#[test]
fn c14_c28_null_keys_and_times_match_nothing_and_stay() {
    let rows = "k:int | ts:time | created:time | v:float\n 1 | -5s | - | 1\n - | -5s | - | 2";
    check(
        one_key("", rows, "k:int | event_time:time\n - | +0s\n 1 | -\n 1 | +0s"),
        expect![[r#"
        null null NOT_FOUND
        1 null NOT_FOUND
        1 1.0 PRESENT"#]],
    );
}

#[test]
fn c15_c16_c21_zones_naive_times_and_texts() {
    let rows = "k:int | ts:time | created:time | v:float\n 1 | +0s | - | 1";
    for kind in ["newyork", "naive", "text"] {
        let spine = format!("k:int | event_time:{kind}\n 1 | +0s\n 1 | -1s");
        check(
            one_key("", rows, &spine),
            expect![[r#"
            1 1.0 PRESENT
            1 null NOT_FOUND"#]],
        );
    }
}

#[test]
fn c15_the_spine_keeps_its_zone() {
    let rows = "k:int | ts:time | created:time | v:float\n 1 | +0s | - | 1";
    let set = built(&one_key("", rows, "k:int | event_time:newyork\n 1 | +0s"));
    let zoned =
        arrow::datatypes::DataType::Timestamp(arrow::datatypes::TimeUnit::Microsecond, Some("America/New_York".into()));
    assert_eq!(set.rows.schema().field(1).data_type(), &zoned);
}

#[test]
fn c09_c16_c28_what_is_odd_is_said_once() {
    let rows = "k:int | ts:time | created:time | v:float\n 1 | +0s | - | 1\n 1 | - | - | 2\n - | +0s | - | 3";
    let set = built(&one_key("", rows, "k:int | event_time:naive\n 1 | +0s\n 1 | -\n 1 | -"));
    expect![[r#"
        times of `spine` carry no zone and were read as UTC
        2 rows of `spine` have no time: their features are null
        2 rows of feature view `f@v1` have no key or no event time: they match nothing"#]]
    .assert_eq(&set.report.warnings.join("\n"));
    let view = &set.report.views[0];
    assert_eq!((view.n_scanned, view.n_rejected), (3, 2));
}

#[test]
fn c09_a_query_may_yield_rows_without_key_or_time() {
    let rows = "k:int | ts:time | v:float\n 1 | +0s | 1\n 1 | - | 2\n - | +0s | 3";
    let view = "sql: SELECT k, ts, v FROM rows\nevent_time: ts";
    let set = built(&Setup { source: "", view, rows, spine: "k:int | event_time:time\n 1 | +0s" });
    let view = &set.report.views[0];
    assert_eq!((view.n_scanned, view.n_rejected), (3, 2));
}

#[test]
fn c17_naive_feature_times_are_read_in_the_sources_zone() {
    let rows = "k:int | ts:naive | v:float\n 1 | +0s | 1";
    let spine = "k:int | event_time:time\n 1 | +0s\n 1 | +18000s";
    check(
        Setup { source: "", view: "", rows, spine },
        expect![[r#"
        1 1.0 PRESENT
        1 1.0 PRESENT"#]],
    );
    check(
        Setup { source: "timezone: America/New_York", view: "", rows, spine },
        expect![[r#"
        1 null NOT_FOUND
        1 1.0 PRESENT"#]],
    );
}

#[test]
fn c18_the_input_order_is_kept() {
    let rows = "k:int | ts:time | created:time | v:float\n 1 | -1s | - | 1\n 2 | -1s | - | 2\n 3 | -1s | - | 3";
    check(
        one_key("", rows, "k:int | event_time:time\n 3 | +0s\n 1 | +0s\n 2 | +0s"),
        expect![[r#"
        3 3.0 PRESENT
        1 1.0 PRESENT
        2 2.0 PRESENT"#]],
    );
}

#[test]
fn c19_composite_keys_never_collide() {
    let rows = "a:str | b:str | ts:time | v:float\n 1 | 11 | -1s | 1\n 11 | 1 | -1s | 2\n 1 | 23 | -1s | 3\n 12 | 3 | -1s | 4\n x, | y | -1s | 5";
    let spine = "a:str | b:str | event_time:time\n 11 | 1 | +0s\n 1 | 11 | +0s\n 12 | 3 | +0s\n 1 | 23 | +0s\n x | ,y | +0s\n x, | y | +0s";
    check(
        Setup { source: "", view: "", rows, spine },
        expect![[r#"
        11 1 2.0 PRESENT
        1 11 1.0 PRESENT
        12 3 4.0 PRESENT
        1 23 3.0 PRESENT
        x ,y null NOT_FOUND
        x, y 5.0 PRESENT"#]],
    );
}

#[test]
fn c20_a_nanosecond_later_is_the_future() {
    let rows = "k:int | ts:time | created:time | v:float\n 1 | +1ns | - | 1";
    check(
        one_key("", rows, "k:int | event_time:time\n 1 | +0s\n 1 | +1ns"),
        expect![[r#"
        1 null NOT_FOUND
        1 1.0 PRESENT"#]],
    );
}

#[test]
fn c22_field_mapping_reaches_keys_times_and_values() {
    let setup = Setup {
        source: "field_mapping: {kk: k, tt: ts, vv: v}",
        view: "",
        rows: "kk:int | tt:time | vv:float\n 1 | -1s | 1",
        spine: "k:int | event_time:time\n 1 | +0s",
    };
    check(setup, expect!["1 1.0 PRESENT"]);
}

#[test]
fn c23_a_feature_may_not_take_a_columns_name() {
    let rows = "k:int | ts:time | created:time | v:float\n 1 | -1s | - | 1";
    check(
        one_key("", rows, "k:int | event_time:time | v:float\n 1 | +0s | 3"),
        expect!["error: spine `spine`: column `v` has the name of a feature of service `s` (of feature view `f`)"],
    );
}

#[test]
fn c24_two_views_of_one_key_do_not_mix() {
    let f = "k:int | ts:time | v:float\n 1 | -1s | 1\n 2 | -9s | 2\n 1 | +1s | 3";
    let g = "k:int | ts:time | w:float\n 2 | -1s | 20\n 1 | -9s | 10\n 2 | -2s | 30";
    let spine = "k:int | event_time:time\n 2 | +0s\n 1 | +0s\n 1 | -5s\n 3 | +0s";
    expect![[r#"
        2: 2.0 20.0
        1: 1.0 10.0
        1: null 10.0
        3: null null"#]]
    .assert_eq(&join_two(f, g, spine));
}

#[test]
fn c25_narrow_keys_join_wide_ones() {
    let rows = "k:int | ts:time | created:time | v:float\n 1 | -1s | - | 1";
    check(one_key("", rows, "k:int32 | event_time:time\n 1 | +0s"), expect!["1 1.0 PRESENT"]);
}

#[test]
fn c26_a_text_is_no_number() {
    let rows = "k:int | ts:time | created:time | v:float\n 1 | -1s | - | 1";
    check(
        one_key("", rows, "k:str | event_time:time\n 1 | +0s"),
        expect!["error: spine `spine`: column `k` is string, but the join key of entity `e` is int64"],
    );
}

#[test]
fn c27_an_empty_spine_has_all_columns() {
    let rows = "k:int | ts:time | created:time | v:float\n 1 | -1s | - | 1";
    check(one_key("", rows, "k:int | event_time:time"), expect!["(no rows) k event_time v"]);
}

#[test]
fn c29_an_older_fresh_row_is_not_fallen_back_to() {
    let rows = "k:int | ts:time | created:time | v:float\n 1 | -7200s | - | 1\n 1 | -3601s | - | 2";
    check(one_key(TTL, rows, "k:int | event_time:time\n 1 | +0s"), expect!["1 null OUTSIDE_MAX_AGE"]);
}

#[test]
fn c31_without_ttl_a_row_stays_good() {
    let rows = "k:int | ts:time | created:time | v:float\n 1 | -900000000s | - | 1";
    check(one_key("", rows, "k:int | event_time:time\n 1 | +0s"), expect!["1 1.0 PRESENT"]);
}

#[test]
fn a_tombstone_hides_older_rows_until_a_newer_one() {
    let setup = Setup {
        source: "deleted: gone",
        view: "",
        rows: "k:int | ts:time | gone:bool | v:float\n 1 | -10s | - | 1\n 1 | -5s | true | -\n 1 | -2s | false | 3\n 1 | -7s | false | 2",
        spine: "k:int | event_time:time\n 1 | -6s\n 1 | -5s\n 1 | -3s\n 1 | +0s",
    };
    check(
        setup,
        expect![[r#"
        1 2.0 PRESENT
        1 null NOT_FOUND
        1 null NOT_FOUND
        1 3.0 PRESENT"#]],
    );
}

#[test]
fn nan_and_infinities_are_values() {
    let rows = "k:int | ts:time | created:time | v:float\n 1 | -1s | - | NaN\n 2 | -1s | - | -inf\n 3 | -1s | - | -0.0";
    check(
        one_key("", rows, "k:int | event_time:time\n 1 | +0s\n 2 | +0s\n 3 | +0s"),
        expect![[r#"
        1 NaN PRESENT
        2 -inf PRESENT
        3 -0.0 PRESENT"#]],
    );
}
