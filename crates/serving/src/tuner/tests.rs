//! A model that is tuned while it answers. Time is told; the processor's is real, and what a way costs is worked off beside it.

use registry::Stage;

use super::*;
use crate::fleet::tests::{World, adds};
use crate::infer::Rank;
use crate::onnx::{Tensor, TensorData};
use crate::tuner::machine::cpu_seconds;

const TURN: Duration = Duration::from_secs(2);
/// Requests of a turn.
const REQUESTS: u16 = 120;

struct Tuned {
    _world: World,
    folder: tempfile::TempDir,
    model: Arc<TensorModel>,
    tuning: Tuning,
    now: Instant,
}

impl Tuned {
    /// A model that has answered for a minute, in a project whose record may say what is to be tried.
    async fn new(record: impl FnOnce(Record) -> Record) -> Self {
        let world = World::new().await;
        world.register("m", "model.onnx", &adds(1.0)).await;
        world.promote("m", 1, Stage::Production).await;
        assert_eq!(world.sync(), 0);
        let folder = tempfile::tempdir().unwrap();
        let config = TunerConfig {
            mode: Mode::On,
            explore: 1.0,
            slo: Some(Duration::from_secs(60)),
            ..TunerConfig::new(folder.path().join("tuner"))
        };
        let model = world.fleet.tensors("m", None).unwrap();
        let mut tuning = Tuning::new(Arc::clone(&world.fleet), config.clone());
        let now = Instant::now();
        // What was measured before is what counts.
        tuning.look(now);
        let known = tuning.known.values().next().unwrap();
        tuning.records.put(&record(known.record.clone())).unwrap();
        let mut tuning = Tuning::new(Arc::clone(&world.fleet), config);
        tuning.look(now);
        let mut tuned = Self { _world: world, folder, model, tuning, now };
        tuned.asks(REQUESTS * 30).await;
        tuned.now += Duration::from_secs(60);
        tuned.tuning.look(tuned.now);
        tuned
    }

    async fn asks(&self, n: u16) {
        for x in 0..n {
            let x = f32::from(x);
            let data = Tensor { name: "x".into(), shape: vec![1, 1], data: TensorData::F32(vec![x]) };
            let asked = self.model.ask(vec![data], []).unwrap();
            let answered = self.model.infer(asked, Rank::NORMAL, None).await.unwrap();
            assert!(matches!(&answered.outputs[0].data, TensorData::F32(y) if *y == [x + 1.0]), "{answered:?}");
        }
    }

    /// Turns, in each of which the processor works so long besides, until nothing is tried any more.
    async fn turns(&mut self, works: impl Fn(bool) -> f64) {
        for _ in 0..300 {
            self.now += TURN;
            self.tuning.look(self.now);
            let Some(running) = &self.tuning.running else { return };
            let is_exploring = running.is_exploring;
            self.asks(REQUESTS).await;
            let until = cpu_seconds() + works(is_exploring);
            while cpu_seconds() < until {
                std::hint::spin_loop();
            }
        }
        panic!("a trial ends");
    }

    fn said(&self) -> Vec<String> {
        let all = History::new(&self.folder.path().join("tuner")).last(Some("m"), 100).unwrap();
        all.iter().map(|entry| entry.decision.to_string()).collect()
    }
}

fn none() -> Arm {
    Arm { sessions: 2, intra_op: 1, spinning: false, rows_max: 1 }
}

#[tokio::test]
async fn a_file_is_measured_once_and_that_is_written_down() {
    let tuned = Tuned::new(|record| {
        assert_eq!(record.measured.iter().map(|of| (of.intra_op, of.sizes[0].rows)).collect::<Vec<_>>(), [(1, 1)]);
        Record { candidates: Vec::new(), ..record }
    })
    .await;
    let said = tuned.said();
    assert!(said.len() == 1 && said[0].starts_with("measured; "), "{said:?}");
    assert!(tuned.tuning.running.is_none());
}

#[tokio::test]
async fn a_way_that_costs_less_is_adopted_and_what_costs_more_later_is_given_up() {
    let mut tuned = Tuned::new(|record| Record { candidates: vec![none()], ..record }).await;
    assert_eq!(tuned.model.n_sessions(), 1);
    tuned.turns(|is_exploring| if is_exploring { 0.0 } else { 0.02 }).await;
    assert_eq!(tuned.model.n_sessions(), 2, "{:?}", tuned.said());
    let known = tuned.tuning.known.values().next().unwrap();
    let adopted = known.record.adopted.unwrap();
    assert_eq!((adopted.arm, known.record.trials), (none(), 1));
    assert_eq!(tuned.tuning.records.get(&known.record.of), Some(known.record.clone()));
    let said = tuned.said();
    assert!(
        said[1]
            .starts_with("trial 1 of 2 sessions of 1 thread, no batches against 1 session of 1 thread, alpha 0.0304")
    );
    assert!(said[2].contains(": better after "), "{said:?}");
    assert_eq!(said[3], "uses 2 sessions of 1 thread, no batches: it won trial 1");

    // A day later it is the default that costs less.
    let of = tuned.tuning.known.keys().next().unwrap().clone();
    let day = i64::try_from(Duration::from_secs(25 * 3600).as_nanos()).unwrap();
    let mut then = adopted;
    then.at = schema::Timestamp::from_nanos(then.at.as_nanos() - day);
    tuned.tuning.known.get_mut(&of).unwrap().record.adopted = Some(then);
    tuned.tuning.look(tuned.now);
    tuned.turns(|is_exploring| if is_exploring { 0.0 } else { 0.02 }).await;
    assert_eq!(tuned.model.n_sessions(), 1, "{:?}", tuned.said());
    assert_eq!(tuned.tuning.known[&of].record.adopted, None);
    assert!(tuned.said().last().unwrap().starts_with("uses 1 session of 1 thread: it was no worse"));
}

#[tokio::test]
async fn a_way_that_costs_more_is_not_adopted() {
    let mut tuned = Tuned::new(|record| Record { candidates: vec![none()], ..record }).await;
    tuned.turns(|is_exploring| if is_exploring { 0.02 } else { 0.0 }).await;
    assert_eq!(tuned.model.n_sessions(), 1);
    let known = tuned.tuning.known.values().next().unwrap();
    assert_eq!((known.record.adopted, known.record.trials, known.record.candidates.len()), (None, 1, 0));
    tuned.tuning.look(tuned.now);
    assert!(tuned.tuning.running.is_none(), "it is not tried again");
}

#[tokio::test]
async fn what_was_adopted_is_in_use_after_a_start() {
    let at = Clock::wall();
    let adopted = record::Adopted { arm: none(), at, rate: 60.0, rows: 1.0 };
    let tuned = Tuned::new(|record| Record { candidates: Vec::new(), adopted: Some(adopted), ..record }).await;
    assert_eq!(tuned.model.n_sessions(), 2);
    assert!(tuned.said().last().unwrap().starts_with("uses 2 sessions of 1 thread, no batches: it was adopted"));
    tuned.asks(REQUESTS).await;
}

#[tokio::test]
async fn nothing_is_tried_where_little_is_asked() {
    let mut tuned = Tuned::new(|record| Record { candidates: vec![none()], ..record }).await;
    assert!(tuned.tuning.running.is_some());
    let mut quiet = Tuned::new(|record| Record { candidates: Vec::new(), ..record }).await;
    quiet.now += Duration::from_secs(60);
    quiet.tuning.look(quiet.now);
    let known = quiet.tuning.known.values_mut().next().unwrap();
    known.record.candidates.push(none());
    quiet.tuning.look(quiet.now);
    assert!(quiet.tuning.running.is_none());
    // A version that is loaded no more is not tried any more.
    tuned.tuning.known.clear();
    tuned.tuning.fleet = Arc::new(Fleet::new(None, registry::Artifacts::open(tuned.folder.path()).unwrap(), 1));
    tuned.tuning.look(tuned.now);
    assert!(tuned.tuning.running.is_none() && tuned.tuning.known.is_empty());
}
