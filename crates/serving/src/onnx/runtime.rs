//! The ONNX Runtime library: found, opened once for the life of the process, and told to be quiet.
//!
//! Invariant: one environment per process, for ever. ONNX Runtime allows no second one, not even after the first is
//! gone, so the first load keeps it and every later load gives the same.

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};

use ort::environment::Environment;
use ort::logging::LogLevel;
use schema::BoxError;

use super::OnnxError;

/// File name of the library, up to its version.
const LIBRARY: &str = "libonnxruntime.so";

/// Where `cargo xtask setup` puts libraries, one folder a version, below the workspace.
const CACHE: &str = ".cache/onnxruntime";

static LOADED: Mutex<Option<Runtime>> = Mutex::new(None);

/// The opened library. Cheap to clone.
#[derive(Debug, Clone)]
pub struct Runtime {
    /// The library's file.
    pub library: Arc<Path>,
    /// Its version: `1.31.1`.
    pub version: Arc<str>,
    pub(crate) environment: Environment,
}

impl Runtime {
    /// Opens the library, or gives the one that is open already, whatever was asked for then.
    ///
    /// `explicit` is the value of `ORT_DYLIB_PATH`, which the caller reads. Without it: beside the executable, then in
    /// `.cache/onnxruntime/<version>/` of each folder above the executable and above the current one, newest version
    /// first.
    ///
    /// # Errors
    /// Of kind `Unavailable` if `explicit` does not exist, if nothing is found, or if what is found does not open. A
    /// library that does not open is never passed over for the next one: answers would change with it unnoticed.
    pub fn load(explicit: Option<&Path>) -> Result<Self, OnnxError> {
        let named = explicit.map(named).transpose()?;
        let mut loaded = LOADED.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(runtime) = &*loaded {
            return Ok(runtime.clone());
        }
        let runtime = open(&named.map_or_else(find, Ok)?)?;
        Ok(loaded.insert(runtime).clone())
    }
}

/// The path, absolute: a relative one would first be tried beside the executable.
fn named(path: &Path) -> Result<PathBuf, OnnxError> {
    let found = path.is_file().then(|| std::path::absolute(path).ok()).flatten();
    found.ok_or_else(|| OnnxError::NoSuchLibrary { path: path.to_owned() })
}

/// The first library in the usual places.
fn find() -> Result<PathBuf, OnnxError> {
    let executable = std::env::current_exe().unwrap_or_default();
    let current = std::env::current_dir().unwrap_or_default();
    let mut looked_at = Vec::new();
    let beside = executable.parent().map(Path::to_owned).unwrap_or_default();
    if let Some(library) = newest(&beside, library_version) {
        return Ok(library);
    }
    looked_at.push(beside.join(LIBRARY));
    for folder in executable.ancestors().skip(1).chain(current.ancestors()) {
        let cache = folder.join(CACHE);
        let place = cache.join("*").join(LIBRARY);
        if looked_at.contains(&place) {
            continue;
        }
        let version = newest(&cache, |name| numbers(name).filter(|numbers| !numbers.is_empty()));
        if let Some(library) = version.and_then(|folder| newest(&folder, library_version)) {
            return Ok(library);
        }
        looked_at.push(place);
    }
    Err(OnnxError::NoLibrary { looked_at })
}

/// The entry of `folder` with the greatest version, among those that have one.
fn newest(folder: &Path, version: impl Fn(&str) -> Option<Vec<u64>>) -> Option<PathBuf> {
    let entries = fs::read_dir(folder).ok()?;
    let versioned = entries.filter_map(|entry| {
        let name = entry.ok()?.file_name();
        Some((version(name.to_str()?)?, folder.join(name)))
    });
    versioned.max().map(|(_, path)| path)
}

/// The version in a library's file name, empty for the bare name; `None` for other files.
fn library_version(name: &str) -> Option<Vec<u64>> {
    let rest = name.strip_prefix(LIBRARY)?;
    numbers(rest.strip_prefix('.').unwrap_or(rest))
}

/// `1.31.1` as numbers, so that 1.9 is older than 1.31; nothing for an empty text.
fn numbers(text: &str) -> Option<Vec<u64>> {
    if text.is_empty() {
        return Some(Vec::new());
    }
    text.split('.').map(|part| part.parse().ok()).collect()
}

fn open(library: &Path) -> Result<Runtime, OnnxError> {
    let failed = |source: BoxError| OnnxError::Library { path: library.to_owned(), source };
    // Not `?` into `ort::Error`: making one calls into the library that has just failed to open, and panics.
    let builder = ort::init_from(library).map_err(|why| failed(why.into()))?;
    let environment = builder
        .with_name("plumb")
        .with_telemetry(false)
        .with_logger(Arc::new(|level, _category, id, place, message| log(level, id, place, message)))
        .build()
        .map_err(|why| failed(why.into()))?;
    // With a logger of ours the environment starts at the most talkative level.
    environment.set_log_level(LogLevel::Warning);
    let version = version_of(library);
    tracing::debug!(library = %library.display(), version, "opened ONNX Runtime {version}");
    Ok(Runtime { library: library.into(), version: version.into(), environment })
}

/// The version in the file name where it agrees with what the library says of itself, which is only `1.31`.
fn version_of(library: &Path) -> String {
    let says = ort::util::probe(library).map(u64::from);
    let real = fs::canonicalize(library).unwrap_or_else(|_| library.to_owned());
    let named = real.file_name().and_then(|name| library_version(name.to_str()?)).unwrap_or_default();
    if named.len() > 1 && named.get(1).copied() == says {
        named.iter().map(u64::to_string).collect::<Vec<_>>().join(".")
    } else {
        says.map_or_else(|| "unknown".to_owned(), |minor| format!("1.{minor}"))
    }
}

/// The runtime's log, a level lower than it speaks: its errors come back to us as errors too, and are told there; its
/// warnings are about the shape of a model's graph, said again for each session.
fn log(level: LogLevel, id: &str, place: &str, message: &str) {
    match level {
        LogLevel::Fatal => tracing::error!(target: "onnxruntime", id, place, "{message}"),
        LogLevel::Error => tracing::info!(target: "onnxruntime", id, place, "{message}"),
        LogLevel::Warning => tracing::debug!(target: "onnxruntime", id, place, "{message}"),
        LogLevel::Info | LogLevel::Verbose => {}
    }
}

#[cfg(test)]
mod tests {
    use schema::ErrorKind;

    use super::*;

    #[test]
    fn a_second_load_gives_the_same_runtime() {
        let first = Runtime::load(None).unwrap();
        let second = Runtime::load(Some(&first.library)).unwrap();
        assert_eq!(first.library, second.library);
        assert!(first.version.starts_with("1."), "{}", first.version);
        let threads: Vec<_> = (0..4).map(|_| std::thread::spawn(|| Runtime::load(None).map(|r| r.library))).collect();
        for thread in threads {
            assert_eq!(thread.join().unwrap().unwrap(), first.library);
        }
    }

    #[test]
    fn a_named_library_that_is_not_there_is_an_error_that_names_it() {
        let error = Runtime::load(Some(Path::new("/nowhere/libonnxruntime.so"))).unwrap_err();
        assert_eq!(error.to_string(), "there is no ONNX Runtime library at `/nowhere/libonnxruntime.so`");
        assert_eq!(error.kind(), ErrorKind::Unavailable);
        assert!(error.hint().is_some());
    }

    #[test]
    fn versions_are_numbers() {
        assert_eq!(library_version("libonnxruntime.so.1.31.1"), Some(vec![1, 31, 1]));
        assert_eq!(library_version("libonnxruntime.so"), Some(vec![]));
        assert_eq!(library_version("libonnxruntime_providers_shared.so"), None);
        assert_eq!(library_version("libonnxruntime.so.1.31.1.part"), None);
        assert!(numbers("1.31.1") > numbers("1.9.9"));
    }
}
