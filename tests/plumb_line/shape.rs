//! What a history is a history of: the view's keys, features and rules, and the form of its source.

use std::fmt::Write as _;

use proptest::prelude::*;
use proptest::sample::{Index, select};
use schema::definitions::{File, Format};
use schema::{AppliedDefinitions, Definitions, Dtype, Scalar};

use crate::types::{Bits, bits};

/// How many people there are; one more is asked for who has no rows.
pub(super) const PEOPLE: usize = 4;
/// Features that computed and on-demand ones are made of.
pub(super) const CORE: [(&str, Dtype); 5] = [
    ("count", Dtype::Int64),
    ("amount", Dtype::Float64),
    ("name", Dtype::String),
    ("flag", Dtype::Bool),
    ("at", Dtype::Timestamp),
];

/// How the view reads its source.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Form {
    /// Its columns, in the order in which they arrived.
    InPlace,
    /// Its columns, in the order of a column.
    Sequence,
    /// A query, read through its snapshot.
    Query,
}

#[derive(Debug, Clone)]
pub(super) struct Shape {
    pub keys: Vec<Dtype>,
    /// The parts of each person's key, as bits.
    pub people: Vec<Vec<Bits>>,
    /// Beside [`CORE`].
    pub more: Vec<Dtype>,
    /// Whether there is a feature of JSON that the source holds as structs.
    pub profile: bool,
    pub ttl: Option<i64>,
    pub as_of: bool,
    pub strict: bool,
    pub form: Form,
    pub format: Format,
    /// Whether each arrival is a file of its own; one file is written anew otherwise.
    pub grows: bool,
    /// Whether the first file lacks the last column.
    pub widens: bool,
    /// Whether columns have other names in the files.
    pub mapped: bool,
    /// Whether the event time is written as local time of a zone.
    pub zoned: bool,
    /// Values that texts can hold: one NaN, and no null of JSON.
    pub plain: bool,
    /// The query of another view of the same source.
    pub other: Option<&'static str>,
}

/// Queries of the other view, which give other rows whenever the source changes.
const OTHERS: [&str; 3] = [
    "SELECT k0, ts, COUNT(*) AS n, MAX(amount) AS top FROM rows WHERE ts IS NOT NULL GROUP BY k0, ts",
    "SELECT k0, ts, COUNT(*) OVER (PARTITION BY k0 ORDER BY ts, _row) AS n, MAX(amount) OVER (PARTITION BY k0 ORDER BY \
     ts, _row) AS top FROM rows",
    "SELECT a.k0 AS k0, a.ts AS ts, COUNT(*) AS n, MAX(b.amount) AS top FROM rows a JOIN rows b ON a.k0 = b.k0 AND b.ts \
     <= a.ts GROUP BY a.k0, a.ts",
];

/// Every type, with the ends of decimals and lists of several lengths.
fn dtypes() -> impl Strategy<Value = Dtype> {
    let decimals = [(38, 0), (38, 38), (1, 1)].map(|(precision, scale)| Dtype::Decimal { precision, scale });
    let fixed = [(Scalar::Float32, 1), (Scalar::Json, 2), (Scalar::Float64, 17)].map(|(of, n)| Dtype::FixedList(of, n));
    select(Dtype::all().chain(decimals).chain(fixed).collect::<Vec<_>>())
}

fn keys() -> impl Strategy<Value = Vec<Dtype>> {
    let all: Vec<Dtype> = Dtype::all().filter(|dtype| dtype.is_key()).collect();
    let others = prop_oneof![
        3 => proptest::collection::vec(select(all.clone()), 1),
        2 => proptest::collection::vec(select(all), 2..4),
    ];
    prop_oneof![1 => Just(vec![Dtype::Int64]), 3 => others]
}

pub(super) fn shapes() -> impl Strategy<Value = Shape> {
    let formats = prop_oneof![
        5 => Just(Format::Parquet),
        1 => Just(Format::Csv),
        1 => Just(Format::JsonLines),
        3 => Just(Format::Delta),
    ];
    let forms = prop_oneof![3 => Just(Form::InPlace), 1 => Just(Form::Sequence), 2 => Just(Form::Query)];
    // Parts that several people share, and that would meet if keys were joined as texts.
    let part = prop_oneof![3 => 0..3_u128, 1 => bits()];
    let person = proptest::collection::vec(part, 3);
    (
        keys(),
        proptest::collection::vec(person, PEOPLE + 1),
        proptest::collection::vec(dtypes(), 0..6),
        (proptest::option::weighted(0.7, 1..12_i64), any::<bool>(), proptest::bool::weighted(0.2)),
        (formats, forms, proptest::bool::weighted(0.8), any::<bool>()),
        (proptest::bool::weighted(0.2), proptest::bool::weighted(0.2), any::<bool>(), any::<bool>()),
        proptest::option::weighted(0.25, any::<Index>()),
    )
        .prop_map(|(keys, people, more, rules, read, odd, other)| {
            let ((ttl, as_of, strict), (format, form, grows, widens)) = (rules, read);
            let (mapped, zoned, plain, profile) = odd;
            let text = matches!(format, Format::Csv | Format::JsonLines);
            let plain = plain || text;
            let more: Vec<Dtype> = more.into_iter().filter(|d| !plain || d.item() != Scalar::Json).collect();
            let files = format != Format::Delta && grows;
            Shape {
                people: people.into_iter().map(|parts| parts[..keys.len()].to_vec()).collect(),
                profile: profile && !plain && format == Format::Parquet,
                ttl,
                as_of,
                strict,
                form,
                format,
                grows,
                widens: widens && files && !more.is_empty(),
                mapped,
                zoned: zoned && format == Format::Parquet,
                plain,
                other: other.map(|at| *at.get(&OTHERS)),
                keys,
                more,
            }
        })
}

impl Shape {
    /// The features that rows hold, by name.
    pub(super) fn features(&self) -> Vec<(String, Dtype)> {
        let core = CORE.iter().map(|(name, dtype)| ((*name).to_owned(), *dtype));
        core.chain(self.more.iter().enumerate().map(|(i, dtype)| (format!("x{i}"), *dtype))).collect()
    }

    /// The columns of the source by their names in it: keys, times, marks, features.
    pub(super) fn columns(&self) -> Vec<(String, Dtype)> {
        let keys = self.keys.iter().enumerate().map(|(i, dtype)| (format!("k{i}"), *dtype));
        let places =
            [("ts", Dtype::Timestamp), ("created", Dtype::Timestamp), ("gone", Dtype::Bool), ("n", Dtype::Int64)];
        let places = places.map(|(name, dtype)| (name.to_owned(), dtype));
        keys.chain(places).chain(self.features()).collect()
    }

    /// What a column is called in the files.
    pub(super) fn in_file(&self, name: &str) -> String {
        if self.mapped { format!("their {name}").replace(' ', "_") } else { name.to_owned() }
    }

    /// Whether the other view has the same keys.
    pub(super) fn one_entity(&self) -> bool {
        self.keys.len() == 1
    }

    fn source(&self) -> String {
        let (path, format) = match self.format {
            Format::Parquet => ("rows", "parquet"),
            Format::Csv => ("rows", "csv"),
            Format::JsonLines => ("rows", "json_lines"),
            Format::Delta => ("tables/rows", "delta"),
        };
        let mut text = format!(
            "kind: source\nname: rows\npath: {path}\nformat: {format}\nevent_time: ts\ncreated_time: created\n\
             deleted: gone\n"
        );
        if self.zoned {
            text.push_str("timezone: America/New_York\n");
        }
        let columns = self.columns();
        if self.format != Format::Parquet {
            text.push_str("columns:\n");
            for (name, dtype) in &columns {
                writeln!(text, "- {{name: {}, type: \"{dtype}\"}}", self.in_file(name)).unwrap();
            }
        }
        if self.mapped {
            let mut names: Vec<&str> = columns.iter().map(|(name, _)| name.as_str()).collect();
            names.extend(self.profile.then_some("profile"));
            let pairs: Vec<String> = names.iter().map(|name| format!("{}: {name}", self.in_file(name))).collect();
            writeln!(text, "field_mapping: {{{}}}", pairs.join(", ")).unwrap();
        }
        text
    }

    fn view(&self) -> String {
        let query = match self.form {
            Form::InPlace => "",
            Form::Sequence => "sequence: n\n",
            Form::Query => {
                "sql: SELECT *, _row AS place FROM rows\nevent_time: ts\ncreated_time: created\ndeleted: gone\n\
                 sequence: place\n"
            }
        };
        let ttl = self.ttl.map(|ttl| format!("ttl: {ttl}ns\n")).unwrap_or_default();
        let known = if self.as_of { "as_of" } else { "event" };
        let mut features: String =
            self.features().iter().map(|(name, dtype)| format!("- {{name: {name}, type: \"{dtype}\"}}\n")).collect();
        if self.profile {
            features.push_str("- {name: profile, type: json}\n");
        }
        format!(
            "kind: feature_view\nname: f\nentity: e\nsource: rows\n{query}{ttl}known: {known}\nstrict_before: {}\n\
             features:\n{features}\
             computed:\n- {{name: age, type: float64, expr: \"date_part('epoch', request_time) - date_part('epoch', at)\"}}\n\
             - {{name: known_amount, type: float64, expr: 'coalesce(amount, 0.0) * 0.1'}}\n",
            self.strict
        )
    }

    /// The view `f` and what is made of it; perhaps `g`, by query, of another entity where keys have several parts. A
    /// service of all of it, `f` twice, by keys under two names.
    pub(super) fn declared(&self) -> Definitions {
        let keys = self.keys.iter().enumerate().map(|(i, dtype)| format!("{{name: k{i}, type: \"{dtype}\"}}"));
        let renamed: Vec<String> = (0..self.keys.len()).map(|i| format!("k{i}: other_k{i}")).collect();
        let renamed = renamed.join(", ");
        let served: String = self.features().iter().map(|(name, _)| format!("'f:{name}', ")).collect();
        let profile = if self.profile { "'f:profile', " } else { "" };
        let entity = if self.one_entity() { "e" } else { "first" };
        let mut text = format!(
            "kind: entity\nname: e\njoin_keys: [{}]\n---\n{}---\n{}---\n\
             kind: on_demand_view\nname: both\n\
             views: [{{view: f, as: other, join_keys: {{{renamed}}}}}]\n\
             inputs: ['f:amount', 'f:name', 'f:flag', 'f:age', {{feature: 'other:amount', as: other_amount}}]\n\
             request: [{{name: fee, type: float64}}, {{name: tag, type: string}}]\nfeatures:\n\
             - {{name: total, type: float64, expr: amount + other_amount * fee}}\n\
             - {{name: label, type: string, expr: case when flag then name else tag end}}\n\
             - {{name: unknown, type: bool, expr: amount is null and other_amount is null}}\n\
             - {{name: waited, type: float64, expr: \"date_part('epoch', request_time) - coalesce(age, fee)\"}}\n---\n\
             kind: feature_service\nname: s\nviews: [{{view: f, as: that, join_keys: {{{renamed}}}}}]\n\
             features: [{served}{profile}'f:age', 'f:known_amount', {{feature: that:amount, as: that_amount}}, \
             {{feature: that:age, as: that_age}}, 'both:*'{}]\n",
            keys.collect::<Vec<_>>().join(", "),
            self.source(),
            self.view(),
            if self.other.is_some() { ", 'g:n', 'g:top'" } else { "" },
        );
        if let Some(sql) = self.other {
            if !self.one_entity() {
                write!(text, "---\nkind: entity\nname: first\njoin_key: k0\ntype: \"{}\"\n", self.keys[0]).unwrap();
            }
            write!(
                text,
                "---\nkind: feature_view\nname: g\nentity: {entity}\nsource: rows\nsql: \"{sql}\"\nevent_time: ts\nknown: event\n\
                 features: [{{name: n, type: int64}}, {{name: top, type: float64}}]\n"
            )
            .unwrap();
        }
        let declared = Definitions::read(&[File { path: "p.yaml".to_owned(), text: text.clone() }]);
        declared.unwrap_or_else(|mistakes| panic!("{mistakes:?} in {text}"))
    }

    pub(super) fn definitions(&self) -> AppliedDefinitions {
        AppliedDefinitions::default().after(&self.declared())
    }
}
