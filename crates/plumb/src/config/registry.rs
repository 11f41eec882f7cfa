//! `registry: {kind: postgres, url: ...}` or `{kind: sqlite, path: ...}`, and the same as one word of the command line.

use std::fmt;
use std::path::{Path, PathBuf};
use std::time::Duration;

use registry::{PostgresConfig, PostgresUrl};
use schema::yaml::{Fields, Mistake, Node, suggest};

use crate::failure::Failure;

/// Where the registry's log is.
#[derive(Debug, Clone)]
pub enum RegistryConfig {
    /// A file, for several processes of one machine.
    Sqlite {
        /// The file.
        path: PathBuf,
    },
    /// A schema of a database, for several machines.
    Postgres(Box<PostgresConfig>),
}

impl RegistryConfig {
    /// The file of the runs: beside that of the log. A registry in PostgreSQL has them in its schema; where their file
    /// would be is still looked at, for a project may have moved.
    pub fn tracking_file(&self, folder: &Path) -> PathBuf {
        match self {
            Self::Sqlite { path } => path.with_file_name("tracking.db"),
            Self::Postgres(_) => folder.join(".plumb/tracking.db"),
        }
    }

    /// What `--registry` names: a URL, or a file below the folder where the command is given.
    ///
    /// # Errors
    /// It is a URL, and a wrong one. It is not repeated, for it may hold a password.
    pub fn named(text: &str, project: &str) -> Result<Self, Failure> {
        if !PostgresUrl::is_one(text) {
            if text.contains("://") {
                return Err(Failure::invalid("`--registry` is no URL of a registry").hint(WRITE));
            }
            return Ok(Self::Sqlite { path: PathBuf::from(text) });
        }
        let url = text.parse().map_err(|why| Failure::invalid(format!("`--registry`: {why}")).hint(WRITE))?;
        Ok(Self::at(url, project, PostgresConfig::TIMEOUT))
    }

    fn at(url: PostgresUrl, project: &str, timeout: Duration) -> Self {
        // Projects of one database must not write one log by accident, so a project's schema has its name.
        Self::Postgres(Box::new(PostgresConfig { url, schema: project.to_owned(), timeout }))
    }
}

impl fmt::Display for RegistryConfig {
    /// For people: without the password.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Sqlite { path } => write!(f, "{}", path.display()),
            Self::Postgres(config) => write!(f, "{}", config.url),
        }
    }
}

const WRITE: &str = "write postgres://user:password@host:port/database?schema=name, or the path of a SQLite file";

/// Reads `registry:`; `None` if it is not complete.
pub(super) fn read(
    fields: &mut Fields<'_>,
    folder: &Path,
    project: Option<&str>,
    mistakes: &mut Vec<Mistake>,
) -> Option<RegistryConfig> {
    let file = |path: Option<String>| {
        let path = path.unwrap_or_else(|| ".plumb/registry.db".to_owned());
        Some(RegistryConfig::Sqlite { path: folder.join(path) })
    };
    let Some(node) = fields.optional("registry") else { return file(None) };
    let mut inner = node.fields("the registry", mistakes);
    let kind = inner.optional("kind");
    let named = match &kind {
        Some(kind) => kind.text(mistakes)?,
        None => "sqlite".to_owned(),
    };
    let config = match named.as_str() {
        "sqlite" => file(inner.text("path", mistakes)),
        "postgres" => {
            let url = inner.required("url", mistakes).and_then(|node| url(node, mistakes));
            let timeout = inner.optional("timeout").and_then(|node| node.parse(mistakes, schema::Ttl::parse));
            let timeout = timeout.map(|limit| Duration::from_nanos(limit.as_nanos().unsigned_abs()));
            url.zip(project)
                .map(|(url, project)| RegistryConfig::at(url, project, timeout.unwrap_or(PostgresConfig::TIMEOUT)))
        }
        other => {
            let message = format!("`{other}` is not a kind of registry");
            let place = kind.as_ref().map_or_else(|| node.place(), |kind| kind.place());
            mistakes.push(Mistake::new(&place, message).hint(suggest(other, ["sqlite", "postgres"])));
            return None;
        }
    };
    inner.finish(mistakes);
    config
}

/// The URL is not repeated in a mistake: it may hold a password.
fn url(node: Node<'_>, mistakes: &mut Vec<Mistake>) -> Option<PostgresUrl> {
    let text = node.text(mistakes)?;
    let wrong = |why: String| Mistake::new(&node.place(), format!("this is not a registry's URL: {why}")).hint(WRITE);
    text.parse().map_err(|why| mistakes.push(wrong(why))).ok()
}
