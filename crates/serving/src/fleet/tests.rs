use std::collections::BTreeSet;

use registry::{Command, MemoryLog, NewVersion, Registry, Stage};
use schema::ErrorKind;

use super::*;
use crate::infer::Rank;
use crate::onnx::toy::{self, Graph, Node};
use crate::onnx::{Tensor, TensorData};
use crate::pinned;

/// In this process: these files are ours.
#[derive(Debug)]
struct Here(Artifacts);

impl Inspect for Here {
    fn inspect(&self, files: &[PinnedFile], graph: &PinnedFile) -> Result<ModelFile, Uninspected> {
        let refused = |why: String, kind| Uninspected { why, passes: kind == ErrorKind::Unavailable };
        let bytes = pinned::model(&self.0, files, graph).map_err(|why| refused(chain(&why), why.kind()))?;
        crate::onnx::inspect(&toy::runtime(), &bytes).map_err(|why| refused(chain(&why), why.kind()))
    }
}

/// A registry in memory, and a fleet that follows it.
pub(crate) struct World {
    _folder: tempfile::TempDir,
    artifacts: Artifacts,
    registry: Registry,
    pub(crate) fleet: Arc<Fleet>,
}

impl World {
    pub(crate) async fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let artifacts = Artifacts::open(folder.path()).unwrap();
        let fleet = Fleet::new(None, artifacts.clone(), 1).inspecting(Arc::new(Here(artifacts.clone())));
        let registry = Registry::open(Arc::new(MemoryLog::new())).await.unwrap();
        Self { _folder: folder, artifacts, registry, fleet: Arc::new(fleet) }
    }

    async fn does(&self, command: Command) {
        self.registry.execute(command, Timestamp::EPOCH, "ann").await.unwrap();
    }

    /// Registers a file without a feature service.
    pub(crate) async fn register(&self, model: &str, path: &str, bytes: &[u8]) {
        let digest = self.artifacts.put(bytes).unwrap();
        let files = vec![PinnedFile { path: path.to_owned(), digest, size_bytes: bytes.len() as u64 }];
        self.does(Command::RegisterVersion(NewVersion {
            name: model.parse().unwrap(),
            once: true,
            origin: registry::Origin::default(),
            files,
            servable: None,
            description: None,
            metadata: BTreeMap::new(),
            tags: registry::Tags::new(),
        }))
        .await;
    }

    pub(crate) fn version(&self, model: &str, number: u32) -> ModelVersion {
        self.registry.catalog().model(model).and_then(|model| model.version(number)).unwrap().version.clone()
    }

    pub(crate) async fn promote(&self, model: &str, version: u32, to: Stage) {
        let (model, evidence) = (model.parse().unwrap(), serde_json::Value::Null);
        self.does(Command::Transition { model, version, to, archive_existing: true, evidence }).await;
    }

    pub(crate) fn sync(&self) -> usize {
        self.fleet.sync(&self.registry.catalog()).len()
    }

    fn load(&self, model: &str, policy: Policy) -> Result<bool, LoadError> {
        self.fleet.load_model(&model.parse().unwrap(), policy, None, &self.registry.catalog())
    }

    fn unload(&self, model: &str) {
        self.fleet.unload_model(&model.parse().unwrap(), &self.registry.catalog());
    }

    /// What is indexed, a line each.
    fn index(&self) -> Vec<String> {
        let line = |Indexed { name, version, state, reason }: Indexed| {
            format!("{name} {} {state:?} {reason}", version.unwrap_or(0)).trim_end().to_owned()
        };
        self.fleet.index(&self.registry.catalog()).into_iter().map(line).collect()
    }

    /// The version that answers, and what it answers to 1.
    async fn asks(&self, model: &str, version: Option<u32>) -> Result<(u32, f32), NotLoaded> {
        let model = self.fleet.tensors(model, version)?;
        let x = Tensor { name: "x".into(), shape: vec![1, 1], data: TensorData::F32(vec![1.0]) };
        let answered = model.infer(model.ask(vec![x], []).unwrap(), Rank::NORMAL, None).await.unwrap();
        let TensorData::F32(y) = &answered.outputs[0].data else { panic!("{answered:?}") };
        Ok((model.version(), y[0]))
    }
}

/// Adds `w`.
pub(crate) fn adds(w: f32) -> Vec<u8> {
    let graph = Graph::new().input("x", toy::FLOAT, &[-1, 1]).floats("w", &[1], &[w]);
    graph.node(Node::new("Add", &["x", "w"], &["y"])).output("y", toy::FLOAT, &[-1, 1]).model()
}

fn unknown(model: &str) -> NotLoaded {
    NotLoaded::Model { model: model.to_owned() }
}

#[tokio::test]
async fn what_is_in_production_answers_tensors_without_a_feature_service() {
    let world = World::new().await;
    world.register("m", "model.onnx", &adds(1.0)).await;
    assert_eq!(world.sync(), 0);
    assert_eq!(world.asks("m", None).await, Err(unknown("m")));
    assert_eq!(world.index(), ["m 1 Unavailable no version is in Production"]);
    world.promote("m", 1, Stage::Production).await;
    world.sync();
    assert_eq!(world.asks("m", None).await, Ok((1, 2.0)));
    let why = world.asks("m", Some(2)).await.unwrap_err().to_string();
    assert_eq!(why, "Request for unknown model: 'm' version 2 is not found");
    assert_eq!(world.index(), ["m 1 Ready"]);
    assert!(world.fleet.get("m").is_none(), "it has no features");
    world.register("m", "model.onnx", &adds(2.0)).await;
    world.promote("m", 2, Stage::Production).await;
    world.sync();
    assert_eq!(world.asks("m", None).await, Ok((2, 3.0)));
    assert_eq!(world.asks("m", Some(1)).await.unwrap_err().to_string(), why.replace('2', "1"));
}

#[tokio::test]
async fn who_asks_for_a_model_gets_it_until_somebody_takes_it_away() {
    let world = World::new().await;
    for w in [1.0, 2.0, 3.0] {
        world.register("m", "model.onnx", &adds(w)).await;
    }
    assert!(world.load("m", Policy::Default).unwrap());
    assert_eq!(world.asks("m", None).await, Ok((3, 4.0)), "the highest, where none is in Production");
    world.promote("m", 1, Stage::Production).await;
    world.sync();
    assert_eq!(world.asks("m", None).await, Ok((1, 2.0)));
    assert!(world.load("m", Policy::Specific(BTreeSet::from([2, 9]))).unwrap());
    assert_eq!(world.asks("m", Some(2)).await, Ok((2, 3.0)));
    assert_eq!(world.asks("m", None).await, Ok((1, 2.0)));
    assert!(world.load("m", Policy::Latest(1)).unwrap());
    assert_eq!(world.index(), ["m 1 Ready", "m 3 Ready"]);
    assert!(world.load("m", Policy::All).unwrap());
    assert_eq!(world.index(), ["m 1 Ready", "m 2 Ready", "m 3 Ready"]);
    world.unload("m");
    assert_eq!(world.asks("m", None).await, Err(unknown("m")));
    assert_eq!(world.index(), ["m 1 Unavailable unloaded"]);
    // Also where the registry changes.
    world.promote("m", 2, Stage::Production).await;
    world.sync();
    assert_eq!(world.asks("m", None).await, Err(unknown("m")));
    assert!(world.load("m", Policy::Default).unwrap());
    assert_eq!(world.asks("m", None).await, Ok((2, 3.0)));
}

#[tokio::test]
async fn a_version_that_cannot_be_loaded_says_why_and_is_tried_when_asked() {
    let world = World::new().await;
    world.register("bad", "model.onnx", &toy::file("corrupt")).await;
    world.register("none", "model.pkl", b"hello").await;
    world.promote("bad", 1, Stage::Production).await;
    world.promote("none", 1, Stage::Production).await;
    assert_eq!(world.sync(), 0, "clients of MLflow keep what they like: the server is ready without it");
    let [bad, none] = <[String; 2]>::try_from(world.index()).unwrap();
    assert!(
        bad.starts_with("bad 1 Unavailable model `bad` version 1 was read in a process of its own and refused: "),
        "{bad}"
    );
    assert_eq!(none, "none 1 Unavailable it has no ONNX file");
    let why = world.load("bad", Policy::Default).unwrap_err();
    assert_eq!(why.kind(), ErrorKind::Invalid);
    assert!(!world.load("none", Policy::Default).unwrap());
    assert!(!world.load("unheard-of", Policy::Default).unwrap());
}

#[tokio::test]
async fn what_answers_goes_on_when_its_file_is_lost_and_counts_go_on_too() {
    let world = World::new().await;
    world.register("m", "model.onnx", &adds(1.0)).await;
    world.promote("m", 1, Stage::Production).await;
    world.sync();
    assert_eq!(world.asks("m", None).await, Ok((1, 2.0)));
    assert!(world.load("m", Policy::Default).unwrap());
    assert_eq!(world.asks("m", None).await, Ok((1, 2.0)));
    let counts = world.fleet.statistics(&"m".parse().unwrap(), 1).unwrap().snapshot();
    assert_eq!(counts.rows, 2, "a reload takes nothing back");
    let digest = *world.fleet.tensors("m", None).unwrap().digest();
    std::fs::remove_file(world.artifacts.path(&digest)).unwrap();
    let why = world.load("m", Policy::Default).unwrap_err();
    assert_eq!(why.kind(), ErrorKind::Unavailable, "{}", chain(&why));
    assert_eq!(world.asks("m", None).await, Ok((1, 2.0)), "what was loaded answers on");
    assert_eq!(world.index(), ["m 1 Ready"]);
}

#[tokio::test]
async fn a_version_in_production_that_cannot_be_loaded_leaves_the_one_before() {
    let world = World::new().await;
    world.register("m", "model.onnx", &adds(1.0)).await;
    world.promote("m", 1, Stage::Production).await;
    world.sync();
    world.register("m", "model.onnx", b"no model").await;
    world.promote("m", 2, Stage::Production).await;
    assert_eq!(world.sync(), 0, "nobody promised that it can be run, and trying again will not do");
    assert_eq!(world.asks("m", None).await, Ok((1, 2.0)));
    let index = world.index();
    assert!(index[0] == "m 1 Ready" && index[1].starts_with("m 2 Unavailable"), "{index:?}");
    // One whose files are away for now is tried again.
    world.register("m", "model.onnx", &adds(3.0)).await;
    let file = world.artifacts.path(&schema::Fingerprint::of_bytes(&adds(3.0)));
    let bytes = std::fs::read(&file).unwrap();
    std::fs::remove_file(&file).unwrap();
    world.promote("m", 3, Stage::Production).await;
    assert_eq!(world.sync(), 1);
    assert_eq!(world.asks("m", None).await, Ok((1, 2.0)));
    std::fs::write(&file, bytes).unwrap();
    assert_eq!(world.sync(), 0);
    assert_eq!(world.asks("m", None).await, Ok((3, 4.0)));
    assert_eq!(world.index(), ["m 3 Ready"]);
}
