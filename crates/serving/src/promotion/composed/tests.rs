//! A model of four versions that are promoted with evidence of known terms, folded as the registry folds it.

use registry::{Catalog, Command, Event, NewVersion, Origin, Tags};
use schema::contract::{Edges, OutputContract, OutputKind, Outside};
use schema::{ModelName, Timestamp};

use super::*;

struct Line {
    catalog: Catalog,
    probes: tempfile::TempDir,
}

fn name() -> ModelName {
    "m".parse().unwrap()
}

/// Judged by contract `policy`, against `holder`, within `eps` of it but for one row in a hundred.
fn terms(policy: &str, holder: Option<u32>, eps: f64) -> Terms {
    let step = Step { tolerance: [("y".to_owned(), eps)].into(), share: 0.01 };
    let step = holder.map(|_| step);
    let print = |text: &str| Fingerprint::of_bytes(text.as_bytes());
    Terms { format: FORMAT, policy: print(policy), words: print("words"), holder, step }
}

impl Line {
    fn new() -> Self {
        let mut line = Self { catalog: Catalog::default(), probes: tempfile::tempdir().unwrap() };
        line.tell(Command::CreateModel { model: name(), description: None, tags: Tags::new() });
        for _ in 0..4 {
            line.tell(Command::RegisterVersion(NewVersion {
                name: name(),
                once: false,
                origin: Origin::default(),
                files: Vec::new(),
                servable: None,
                description: None,
                metadata: BTreeMap::new(),
                tags: Tags::new(),
            }));
        }
        line
    }

    fn tell(&mut self, command: Command) -> Event {
        let body = self.catalog.decide(&command, Timestamp::EPOCH, "ann").unwrap().unwrap();
        let seq = self.catalog.seq().next();
        let event = Event::new(seq, Timestamp::EPOCH, "ann", self.catalog.head(), body).unwrap();
        self.catalog.apply(&event).unwrap();
        event
    }

    fn model(&self) -> &Model {
        self.catalog.model("m").unwrap()
    }

    fn composed(&self, version: u32, terms: &Terms) -> Composed {
        compose(self.model(), version, terms, self.model().anchor(Stage::Production), self.probes.path())
    }

    /// Moves a version with evidence that was made under `terms`, as the gate does.
    fn promote(&mut self, version: u32, to: Stage, terms: &Terms) -> (Event, Composed) {
        self.promote_with(version, to, terms, json!({}))
    }

    fn promote_with(&mut self, version: u32, to: Stage, terms: &Terms, more: Value) -> (Event, Composed) {
        let composed = self.composed(version, terms);
        let mut evidence = json!({ "passed": true, "terms": terms });
        for part in [serde_json::to_value(&composed).unwrap(), more] {
            evidence.as_object_mut().unwrap().extend(part.as_object().unwrap().clone());
        }
        let model = name();
        (self.tell(Command::Transition { model, version, to, archive_existing: true, evidence }), composed)
    }

    /// Why the evidence by which a version stands does not hold.
    #[track_caller]
    fn lapsed(&self, version: u32, terms: &Terms, why: &str) {
        let composed = self.composed(version, terms);
        assert_eq!(composed.builds_on, None);
        assert!(composed.lapsed.as_ref().is_some_and(|lapsed| lapsed.why.contains(why)), "{composed:?}");
    }
}

#[track_caller]
fn is_within(composed: &Composed, version: u32, promotions: u32, eps: f64, share: f64) {
    let within = composed.within.as_ref().unwrap();
    assert_eq!((within.version, within.promotions), (version, promotions));
    assert!((within.allowed.tolerance["y"] - eps).abs() < 1e-12, "{within:?}");
    assert!((within.allowed.share - share).abs() < 1e-12, "{within:?}");
}

/// None to Staging to Production is one transition with both evidences: the second names the first, by place and digest. Both are
/// of one version, so nothing is between them, and what each allows is of another holder: it is not added.
#[test]
fn promote_then_promote_equals_chain_report() {
    let mut line = Line::new();
    line.promote(1, Stage::Production, &terms("p", None, 0.5));
    line.promote(2, Stage::Staging, &terms("p", None, 0.5));
    let (first, at_staging) = line.promote(3, Stage::Staging, &terms("p", Some(2), 0.2));
    assert_eq!(at_staging.builds_on, None);
    let (second, at_production) = line.promote(3, Stage::Production, &terms("p", Some(1), 0.2));
    let cited = at_production.builds_on.clone().unwrap();
    let moved = |event: &Event| match &event.body {
        registry::EventBody::Transitioned(moved) => moved.clone(),
        other => panic!("{other}"),
    };
    assert_eq!((cited.event, Some(cited.digest)), (first.seq, registry::evidence::digest(&moved(&first).evidence)));
    assert_eq!((cited.from, cited.to, cited.holder), (Stage::None, Stage::Staging, Some(2)));
    assert_eq!(cited.within, at_staging.within);
    is_within(&at_staging, 2, 1, 0.2, 0.01);
    is_within(&at_production, 1, 1, 0.2, 0.01);
    // The event says it too.
    assert_eq!(moved(&second).evidence["builds_on"]["digest"], json!(cited.digest));
    let text = at_production.to_string();
    for words in
        ["within `y` 0.2 of version 1 by 1 promotion, but for 1 % of rows", "builds on event 8, None -> Staging"]
    {
        assert!(text.contains(words), "{text}");
    }
}

#[test]
fn what_promotions_allow_adds_up_from_what_a_person_approved() {
    let mut line = Line::new();
    let to = Stage::Production;
    assert_eq!(line.promote(1, to, &terms("p", None, 0.1)).1.within, None, "there is nothing to be far from");
    is_within(&line.promote(2, to, &terms("p", Some(1), 0.1)).1, 1, 1, 0.1, 0.01);
    // Another contract, which allows more: the steps before allowed what they allowed.
    is_within(&line.promote(3, to, &terms("q", Some(2), 0.25)).1, 1, 2, 0.35, 0.02);
    is_within(&line.composed(4, &terms("q", Some(3), 0.1)), 1, 3, 0.45, 0.03);
    line.tell(Command::Approve { model: name(), version: 3, comment: None });
    is_within(&line.composed(4, &terms("q", Some(3), 0.1)), 3, 1, 0.1, 0.01);
    // A distance of another meaning is not added.
    let other = Terms { words: Fingerprint::of_bytes(b"cents"), ..terms("q", Some(2), 0.1) };
    is_within(&line.composed(4, &other), 2, 1, 0.1, 0.01);
}

#[test]
fn a_step_that_was_overridden_bounds_nothing() {
    let mut line = Line::new();
    let to = Stage::Production;
    line.promote(1, to, &terms("p", None, 0.1));
    line.promote_with(2, to, &terms("p", Some(1), 0.1), json!({ "passed": false }));
    is_within(&line.composed(3, &terms("p", Some(2), 0.1)), 2, 1, 0.1, 0.01);
    line.lapsed(2, &terms("p", Some(1), 0.1), "a check of it failed");
}

#[test]
fn evidence_holds_as_long_as_it_would_say_the_same() {
    let mut line = Line::new();
    line.promote(1, Stage::Staging, &terms("p", None, 0.1));
    line.promote(2, Stage::Staging, &terms("p", Some(1), 0.1));
    let next = terms("p", None, 0.1);
    assert!(line.composed(2, &next).builds_on.is_some());
    line.lapsed(2, &terms("q", None, 0.1), "what is declared of `m` is another since");
    line.tell(Command::DeleteVersion { model: name(), version: 1, evidence: Value::Null });
    line.lapsed(2, &next, "version 1, which it was held against, was deleted");
    // Who stands in Archived stands there without any check.
    line.promote(3, Stage::Staging, &terms("p", Some(2), 0.1));
    assert_eq!(line.composed(2, &next), Composed::default());
    // Evidence of a time when it did not say by what it was judged.
    line.promote_with(4, Stage::Staging, &next, json!({ "terms": null }));
    line.lapsed(4, &next, "another version of plumb made it");
    line.promote_with(3, Stage::Staging, &Terms { format: FORMAT + 1, ..terms("p", None, 0.1) }, json!({}));
    line.lapsed(3, &next, "another version of plumb made it");
    let (tmp, model) = ("tmp".parse().unwrap(), name());
    line.promote(2, Stage::Staging, &next);
    line.tell(Command::RenameModel { model: model.clone(), to: tmp, evidence: Value::Null });
    let renamed = line.catalog.model("tmp").unwrap();
    let composed = compose(renamed, 2, &next, None, line.probes.path());
    assert!(composed.lapsed.unwrap().why.contains("it is of what was declared of `m`"));
}

#[test]
fn evidence_holds_as_long_as_its_rows_are_what_they_were() {
    let mut line = Line::new();
    let set = BTreeMap::new();
    let digest = probe_set::keep(line.probes.path(), &set).unwrap();
    line.promote_with(1, Stage::Staging, &terms("p", None, 0.1), json!({ "probes": digest }));
    let next = terms("p", None, 0.1);
    let is_kept = |line: &Line| line.composed(1, &next).builds_on.map(|cited| cited.rows_kept);
    assert_eq!(is_kept(&line), Some(true));
    let home = line.probes.path().join(digest.to_string());
    std::fs::write(home.join("more.parquet"), b"").unwrap();
    line.lapsed(1, &next, "its rows are not what they were");
    // Of rows that another machine asked nothing is known here.
    std::fs::remove_dir_all(&home).unwrap();
    assert_eq!(is_kept(&line), Some(false));
}

#[test]
fn only_distances_bound_how_far_an_answer_may_be() {
    let of = |relation, tolerance| OutputContract { relation, tolerance, ..OutputContract::of(OutputKind::Score) };
    let across = OutputContract { compatibility_tolerance: Some(0.4), ..of(Relation::Within, 0.1) };
    let outputs = [("a", across), ("b", of(Relation::NeverLower, 0.1))].map(|(name, of)| (name.to_owned(), of));
    let contract = ResponseContract {
        share: 0.6,
        edges: Edges::Judged,
        outside: Outside::Told,
        outputs: outputs.into(),
        aggregates: Vec::new(),
    };
    let same = step(&contract, true);
    assert_eq!(same.tolerance, [("a".to_owned(), 0.1)].into());
    assert_eq!(step(&contract, false).tolerance, [("a".to_owned(), 0.4)].into());
    // More than all rows cannot be off.
    assert!((same.then(&same).share - 1.0).abs() < 1e-12);
    let none = Step { tolerance: BTreeMap::new(), share: 0.0 };
    assert_eq!(none.then(&same).tolerance, BTreeMap::new());
}

/// `testdata/evidence/v1.json` is what the first version that cited evidence wrote of a promotion: it is read for ever.
#[test]
fn evidence_that_was_recorded_is_read_as_it_was_meant() {
    let kept = Path::new(env!("CARGO_MANIFEST_DIR")).join("testdata/evidence/v1.json");
    let (terms, of_holder) = (terms("p", Some(1), 0.2), terms("p", None, 0.1));
    let mut line = Line::new();
    line.promote(1, Stage::Production, &of_holder);
    line.promote(2, Stage::Staging, &of_holder);
    let composed = line.composed(2, &terms);
    let mut written = json!({ "passed": true, "probes": Fingerprint::of_bytes(b"rows"), "terms": terms });
    written.as_object_mut().unwrap().extend(serde_json::to_value(&composed).unwrap().as_object().unwrap().clone());
    if !kept.exists() && std::env::var_os("PLUMB_GOLDEN").is_some_and(|said| said == "write") {
        std::fs::create_dir_all(kept.parent().unwrap()).unwrap();
        std::fs::write(&kept, format!("{written:#}\n")).unwrap();
    }
    let stored: Value = serde_json::from_str(&std::fs::read_to_string(&kept).unwrap()).unwrap();
    assert_eq!(stored, written, "what is written otherwise needs a new format, and a file beside `v1.json`");
    let (within, probes) = (composed.within, Some(Fingerprint::of_bytes(b"rows")));
    assert_eq!(Recorded::read(&stored), Some(Recorded { terms, within, probes }));
}
