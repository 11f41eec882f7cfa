//! For tests of both transports: small models, loaded.

use std::collections::BTreeMap;
use std::sync::Arc;

use registry::{Artifacts, Command, MemoryLog, NewVersion, Origin, PinnedFile, Registry, Stage, Tags};
use schema::Timestamp;
use schema::error::chain;
use serving::Fleet;
use serving::fleet::{Inspect, Uninspected};
use serving::onnx::inspect;
use serving::onnx::inspect::ModelFile;
use serving::onnx::toy::{self, FLOAT, Graph, INT64, Node, STRING};
use serving::pinned;

use super::Inference;
use crate::config::InferenceConfig;
use crate::http::health::Readiness;

/// Reads models in this process: these files are ours.
#[derive(Debug)]
struct Here(Artifacts);

impl Inspect for Here {
    fn inspect(&self, files: &[PinnedFile], graph: &PinnedFile) -> Result<ModelFile, Uninspected> {
        let refused = |why: String| Uninspected { why, passes: false };
        let bytes = pinned::model(&self.0, files, graph).map_err(|why| refused(chain(&why)))?;
        inspect(&toy::runtime(), &bytes).map_err(|why| refused(chain(&why)))
    }
}

/// What a test asks.
pub(crate) struct World {
    _folder: tempfile::TempDir,
    artifacts: Artifacts,
    registry: Arc<Registry>,
    pub fleet: Arc<Fleet>,
    pub readiness: Arc<Readiness>,
    pub inference: Arc<Inference>,
}

const FLOAT16: i32 = 10;

impl World {
    /// Models in Production: `linear`; `add`, of two inputs of int64; `echo`, of texts; `free` and `deep`, of any two and three dimensions; `half`,
    /// of half floats; `log`, whose answers may be no numbers.
    pub(crate) async fn new(config: InferenceConfig) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let artifacts = Artifacts::open(folder.path()).unwrap();
        let fleet = Arc::new(Fleet::new(None, artifacts.clone(), 1).inspecting(Arc::new(Here(artifacts.clone()))));
        let registry = Arc::new(Registry::open(Arc::new(MemoryLog::new())).await.unwrap());
        let readiness = Arc::new(Readiness::default());
        let inference = Inference::new(Arc::clone(&fleet), Arc::clone(&registry), Arc::clone(&readiness), config);
        let world = Self { _folder: folder, artifacts, registry, fleet, readiness, inference: Arc::new(inference) };
        let one = |operator, element, dims: &[i64]| {
            let graph = Graph::new().input("x", element, dims).node(Node::new(operator, &["x"], &["y"]));
            graph.output("y", element, dims).model()
        };
        let add = Graph::new().input("a", INT64, &[-1, 1]).input("b", INT64, &[-1, 1]);
        let add =
            add.node(Node::new("Add", &["a", "b"], &["sum"])).node(Node::new("Sub", &["a", "b"], &["difference"]));
        let add = add.output("sum", INT64, &[-1, 1]).output("difference", INT64, &[-1, 1]).model();
        for (name, bytes) in [
            ("linear", toy::file("linear")),
            ("add", add),
            ("echo", one("Identity", STRING, &[-1, 1])),
            ("free", one("Identity", FLOAT, &[-1, -1])),
            ("deep", one("Identity", FLOAT, &[-1, -1, -1])),
            ("half", one("Identity", FLOAT16, &[-1, 2])),
            ("log", one("Log", FLOAT, &[-1, 3])),
        ] {
            world.register(name, &bytes).await;
            world.promote(name, 1).await;
        }
        world.fleet.sync(&world.registry.catalog());
        world
    }

    pub(crate) async fn register(&self, name: &str, bytes: &[u8]) {
        let digest = self.artifacts.put(bytes).unwrap();
        let files = vec![PinnedFile { path: "model.onnx".to_owned(), digest, size_bytes: bytes.len() as u64 }];
        self.does(Command::RegisterVersion(NewVersion {
            name: name.parse().unwrap(),
            once: true,
            origin: Origin::default(),
            files,
            servable: None,
            description: None,
            metadata: BTreeMap::new(),
            tags: Tags::new(),
        }))
        .await;
    }

    pub(crate) async fn promote(&self, name: &str, version: u32) {
        let (model, to, evidence) = (name.parse().unwrap(), Stage::Production, serde_json::Value::Null);
        self.does(Command::Transition { model, version, to, archive_existing: true, evidence }).await;
    }

    async fn does(&self, command: Command) {
        self.registry.execute(command, Timestamp::EPOCH, "ann").await.unwrap();
    }
}
