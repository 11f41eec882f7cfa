//! The prediction log: one row per prediction, to Parquet, off the request's path.
//!
//! A queue bounded in requests and in bytes, and one writer thread. What finds it full is dropped and counted: a request
//! never waits for a disk. Files appear whole or not at all; a service's predictions share a folder, so its feature
//! columns keep their types.

pub mod find;
mod held;
pub mod read;
mod retention;
mod room;
mod rows;
pub mod sample;
pub mod traffic;
mod writer;

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::mpsc::{Receiver, SyncSender, TrySendError, sync_channel};
use std::thread::JoinHandle;
use std::time::Duration;

use crate::scorer::Prediction;
use room::{Room, Taken};
pub(crate) use rows::{FEATURE, ID, KEY, STATUS};
use sample::KeySample;

/// How the log is kept.
#[derive(Debug, Clone)]
pub struct LogConfig {
    /// Requests held before new ones are dropped and counted.
    pub queue_max: usize,
    /// Bytes that all of them may take until they are in a file; what comes then is dropped and counted.
    pub bytes_max: usize,
    /// Rows after which a file is written.
    pub rows_max: usize,
    /// Time after which a file is written, however few rows it has.
    pub flush_every: Duration,
    /// The entities whose predictions are kept, by the hash of their keys: those of one are kept all or not at all.
    pub sample: KeySample,
    /// How long files are kept; for ever unless given.
    pub keep: Option<Duration>,
    /// The offline store's folder, which says whose rows are not kept.
    pub erased: Option<PathBuf>,
}

impl Default for LogConfig {
    fn default() -> Self {
        Self {
            queue_max: 8_192,
            bytes_max: 256 << 20,
            rows_max: 65_536,
            flush_every: Duration::from_secs(1),
            sample: KeySample::ALL,
            keep: None,
            erased: None,
        }
    }
}

enum Message {
    Prediction(Arc<Prediction>, Taken),
    Flush(SyncSender<Result<(), String>>),
}

/// The log's front: hand it predictions.
#[derive(Debug)]
pub struct PredictionLog {
    queue: Option<SyncSender<Message>>,
    room: Arc<Room>,
    writer: Option<JoinHandle<()>>,
}

impl PredictionLog {
    /// Starts the writer thread; files go to folders under `folder`.
    ///
    /// # Errors
    /// The folder cannot be made, or no thread be started.
    pub fn start(folder: &Path, config: LogConfig) -> std::io::Result<Self> {
        std::fs::create_dir_all(folder)?;
        let (queue, entries): (_, Receiver<Message>) = sync_channel(config.queue_max);
        let (folder, room) = (folder.to_path_buf(), Room::new(config.bytes_max));
        let of_writer = Arc::clone(&room);
        let run = move || writer::run(&folder, &config, &entries, &of_writer);
        let writer = std::thread::Builder::new().name("prediction-log".to_owned()).spawn(run)?;
        Ok(Self { queue: Some(queue), room, writer: Some(writer) })
    }

    /// No log at all.
    pub fn off() -> Self {
        Self { queue: None, room: Room::new(0), writer: None }
    }

    /// Queues a prediction; dropped and counted when the queue is full.
    pub fn push(&self, prediction: Arc<Prediction>) {
        let Some(queue) = &self.queue else { return };
        let n_rows = prediction.entities.n as u64;
        let taken = self.room.take(prediction.n_bytes());
        let sent = taken.map(|taken| queue.try_send(Message::Prediction(prediction, taken)));
        match sent {
            Some(Ok(())) => {}
            None | Some(Err(TrySendError::Full(_) | TrySendError::Disconnected(_))) => {
                self.room.lose(n_rows);
            }
        }
    }

    /// Rows that are not in the log and should be: there was no room, or they could not be written.
    pub fn lost(&self) -> u64 {
        self.room.lost()
    }

    /// Waits until everything queued so far is on disk.
    ///
    /// # Errors
    /// Why the last file could not be written.
    pub fn flush(&self) -> Result<(), String> {
        let Some(queue) = &self.queue else { return Ok(()) };
        let (done, wait) = sync_channel(1);
        let gone = || "the prediction log's writer has ended".to_owned();
        queue.send(Message::Flush(done)).map_err(|_disconnected| gone())?;
        wait.recv().map_err(|_disconnected| gone())?
    }
}

impl Drop for PredictionLog {
    /// Writes what is queued.
    fn drop(&mut self) {
        self.queue = None;
        if let Some(writer) = self.writer.take()
            && writer.join().is_err()
        {
            tracing::error!("the prediction log's writer panicked; its last rows are lost");
        }
    }
}
