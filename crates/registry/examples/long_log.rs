//! Makes a long log through the registry, and says what it takes to open it, to write to it and to read from it.
//!
//! ```text
//! cargo run --release -p registry --example long_log -- FOLDER [MODELS] [VERSIONS OF EACH]
//! ```
//!
//! A log that is in FOLDER is kept and measured. Each version is registered with metadata, a tag and a signature of twenty
//! columns, every second one is tagged once more, every third one is promoted, and each model has an alias that moves.
#![expect(clippy::print_stdout, reason = "it is a measurement: what it prints is its result")]
#![expect(clippy::unwrap_used, clippy::cast_precision_loss, reason = "a measurement may end, and is rounded")]

use std::path::Path;
use std::sync::Arc;
use std::time::Instant;

use registry::{
    Alias, Catalog, Command, NewVersion, Origin, PinnedFile, Registry, RegistryStore, Seq, Servable, SqliteLog, Stage,
    search, snapshot,
};
use schema::definitions::File;
use schema::signature::{Signature, TensorSpec};
use schema::{AppliedDefinitions, Definitions, FeatureService, Fingerprint, ModelName, Timestamp};
use serde_json::json;

#[tokio::main(flavor = "current_thread")]
async fn main() {
    let args: Vec<String> = std::env::args().skip(1).collect();
    let folder = Path::new(args.first().expect("a folder"));
    let number = |at: usize, default: u32| args.get(at).map_or(default, |text| text.parse().expect("a number"));
    let (n_models, n_each) = (number(1, 1_000), number(2, 100));
    let path = folder.join("registry.db");
    if !path.exists() {
        make(&path, n_models, n_each).await;
    }
    measure(&path).await;
}

fn model(n: u32) -> ModelName {
    ModelName::new(format!("model_{n:06}")).unwrap()
}

async fn make(path: &Path, n_models: u32, n_each: u32) {
    let began = Instant::now();
    let registry = Registry::open(Arc::new(SqliteLog::open(path).unwrap())).await.unwrap();
    let text = "{kind: entity, name: user, join_key: user_id, type: int64}
---
{kind: source, name: orders, path: orders.parquet, event_time: at}
---
{kind: feature_view, name: spending, entity: user, source: orders, ttl: 30d, features: [{name: total, type: float64}]}
---
{kind: feature_service, name: features, features: ['spending:total']}";
    let file = File { path: "features.yaml".to_owned(), text: text.to_owned() };
    let definitions = AppliedDefinitions::default().after(&Definitions::read(&[file]).unwrap());
    let service = definitions.current_service("features").unwrap().clone();
    let apply = Command::ApplyDefinitions { based_on: Seq::START, definitions, summary: Vec::new() };
    registry.execute(apply, Timestamp::EPOCH, "ann").await.unwrap();
    let mut n_events: i64 = 0;
    for version in 1..=n_each {
        for of in 1..=n_models {
            for command in history(&service, &model(of), of, version) {
                n_events += 1;
                registry.execute(command, Timestamp::from_nanos(n_events * 1_000_000_000), "ann").await.unwrap();
            }
        }
    }
    let took = began.elapsed().as_secs_f64();
    println!("made {n_events} events in {took:.1} s: {:.3} ms each", took * 1e3 / n_events as f64);
}

/// What happens around the registration of one version.
fn history(service: &FeatureService, name: &ModelName, of: u32, version: u32) -> Vec<Command> {
    let tensor = |n: u32| TensorSpec { name: format!("column_{n}"), datatype: "FP32".to_owned(), shape: vec![-1, 1] };
    let digest = Fingerprint::of_bytes(format!("{name} {version}").as_bytes());
    let new = NewVersion {
        name: name.clone(),
        once: true,
        origin: Origin {
            source: format!("models:/m-{}", digest.short()),
            run_id: digest.to_string().split_off(32),
            ..Origin::default()
        },
        files: vec![PinnedFile { path: "model.onnx".to_owned(), digest, size_bytes: 40_000 }],
        servable: Some(Servable {
            digest,
            size_bytes: 40_000,
            signature: Arc::new(Signature { inputs: (0..20).map(tensor).collect(), outputs: vec![tensor(20)] }),
            service: service.name.clone(),
            service_version: service.version,
            service_fingerprint: service.fingerprint,
        }),
        description: Some(format!("version {version}, trained in the week of {of}")),
        metadata: [("trained_on".to_owned(), "2026-07-01".to_owned()), ("framework".to_owned(), "xgboost".to_owned())]
            .into(),
        tags: [("team".to_owned(), "risk".to_owned())].into(),
    };
    let mut commands = vec![Command::RegisterVersion(new)];
    if version.is_multiple_of(2) {
        let (key, value) = ("reviewed".to_owned(), Some("yes".to_owned()));
        commands.push(Command::Tag { model: name.clone(), version: Some(version), key, value });
    }
    if version.is_multiple_of(3) {
        let evidence = json!({ "squares": { "features": { "n": 200, "equal": 200 }, "serving": { "n": 200, "max_abs": 1.2e-7 } } });
        let (model, to) = (name.clone(), Stage::Production);
        commands.push(Command::Transition { model, version, to, archive_existing: true, evidence });
        let alias = Alias::new("champion").unwrap();
        commands.push(Command::MoveAlias {
            model: name.clone(),
            alias,
            to: Some(version),
            evidence: json!({ "squares": "none" }),
        });
    }
    commands
}

async fn measure(path: &Path) {
    let log: Arc<dyn RegistryStore> = Arc::new(SqliteLog::open(path).unwrap());
    let before = resident_mb();
    let registry = timed("opened from the snapshot", async || Registry::open(Arc::clone(&log)).await.unwrap()).await;
    let catalog = registry.catalog();
    println!("  as of event {}, {:.0} MB more resident", catalog.seq(), resident_mb() - before);
    let (mut n_models, mut n_versions) = (0, 0);
    for (_, model) in catalog.models() {
        n_models += 1;
        n_versions += model.versions().count();
    }
    println!("  {n_models} models, {n_versions} versions");
    let bytes = timed("encoded a snapshot", async || snapshot::write(&catalog).unwrap()).await;
    println!("  {:.1} MB, {} bytes a version", bytes.len() as f64 / 1e6, bytes.len() / n_versions);
    timed("  hashed it", async || Fingerprint::of_bytes(&bytes)).await;
    let again: Catalog = timed("decoded it", async || snapshot::read(&bytes).unwrap()).await;
    assert!(again == *catalog);
    drop(again);
    timed("wrote it", async || log.write_snapshot(&bytes).await.unwrap()).await;
    let name = model(1);
    let mut n = 0;
    each("wrote one tag", 100, async || {
        n += 1;
        let (key, value) = ("n".to_owned(), Some(format!("{} {n}", catalog.seq())));
        let tag = Command::Tag { model: name.clone(), version: Some(1), key, value };
        registry.execute(tag, Timestamp::from_nanos(n), "ann").await.unwrap();
    })
    .await;
    let catalog = registry.catalog();
    let model = catalog.model(name.as_str()).unwrap();
    each("latest versions of a model", 10_000, async || {
        Stage::ALL.map(|stage| model.holder(stage).map(|state| state.version.version))
    })
    .await;
    each("searched 100 models", 20, async || {
        let query = search::Query { max_results: 100, ..search::Query::default() };
        search::models(&catalog, &query).unwrap().entries.len()
    })
    .await;
    each("searched the versions of a model", 20, async || {
        let filter = format!("name = '{name}'");
        let query = search::Query { max_results: 100, filter: &filter, ..search::Query::default() };
        search::versions(&catalog, &query).unwrap().entries.len()
    })
    .await;
    timed("checked what is before the snapshot", async || registry.check_past(0).await).await;
    timed("read the whole log", async || Registry::open_whole(Arc::clone(&log)).await.unwrap()).await;
}

async fn timed<T>(what: &str, work: impl AsyncFnOnce() -> T) -> T {
    let (began, cpu) = (Instant::now(), cpu_ms());
    let done = work().await;
    println!("{what}: {:.1} ms, {} ms of all cores", began.elapsed().as_secs_f64() * 1e3, cpu_ms() - cpu);
    done
}

async fn each<T>(what: &str, n: u32, mut work: impl AsyncFnMut() -> T) {
    let began = Instant::now();
    for _ in 0..n {
        std::hint::black_box(work().await);
    }
    println!("{what}: {:.1} us", began.elapsed().as_secs_f64() * 1e6 / f64::from(n));
}

/// In ticks of ten milliseconds.
fn cpu_ms() -> u64 {
    let stat = std::fs::read_to_string("/proc/self/stat").unwrap();
    let fields: Vec<&str> = stat.rsplit(')').next().unwrap().split_whitespace().collect();
    fields[11..13].iter().map(|ticks| ticks.parse::<u64>().unwrap() * 10).sum()
}

fn resident_mb() -> f64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap();
    let line = status.lines().find(|line| line.starts_with("VmRSS:")).unwrap();
    line.split_whitespace().nth(1).unwrap().parse::<f64>().unwrap() / 1024.0
}
