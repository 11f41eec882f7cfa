//! What a command prints: tables for people on a terminal, JSON for programs, progress and messages on stderr.

use std::fmt;
use std::io::{IsTerminal, Write as _};
use std::sync::LazyLock;
use std::sync::atomic::{AtomicBool, Ordering};

use comfy_table::{ContentArrangement, Table, presets};
use indicatif::{MultiProgress, ProgressBar, ProgressStyle};
use tracing::{Event, Subscriber};
use tracing_subscriber::fmt::FmtContext;
use tracing_subscriber::fmt::format::{FormatEvent, FormatFields, Writer, format};
use tracing_subscriber::registry::LookupSpan;

use crate::cli::{Cli, Format, LogFormat};
use crate::failure::Failure;
use crate::request_id::RequestId;

mod json_lines;
pub(crate) use json_lines::JsonLines;

/// Whether an answer could not be written.
static IS_LOST: AtomicBool = AtomicBool::new(false);

/// Whether something was to be told that whoever asked could not be told: a disk was full, say.
pub fn is_lost() -> bool {
    IS_LOST.load(Ordering::Relaxed)
}

/// Writes on stdout. Who closed it, as `head` does, has seen enough.
fn put(text: fmt::Arguments<'_>) {
    let mut out = std::io::stdout().lock();
    match out.write_fmt(text).and_then(|()| out.flush()) {
        Err(why) if why.kind() != std::io::ErrorKind::BrokenPipe => {
            IS_LOST.store(true, Ordering::Relaxed);
            tell(format_args!("error[environment]: the answer cannot be written: {why}\n"));
        }
        _ => {}
    }
}

/// Writes on stderr, if anybody listens.
fn tell(text: fmt::Arguments<'_>) {
    let _ = std::io::stderr().write_fmt(text);
}

/// Prints a JSON document, or what `table` says of it: a terminal is shown no control characters of names and of data.
pub fn answer(format: Format, json: &serde_json::Value, table: impl FnOnce() -> String) {
    match format {
        Format::Json => put(format_args!("{json:#}\n")),
        Format::Table => {
            let text = printable(&table());
            put(format_args!("{}{}", text, if text.is_empty() || text.ends_with('\n') { "" } else { "\n" }));
        }
    }
}

/// As [`answer`], of a value whose numbers are printed with all their digits.
///
/// # Errors
/// It cannot be JSON.
pub fn exact_answer(
    format: Format,
    json: &impl serde::Serialize,
    table: impl FnOnce() -> String,
) -> Result<(), serde_json::Error> {
    match format {
        Format::Json => put(format_args!("{}\n", serde_json::to_string_pretty(json)?)),
        Format::Table => answer(format, &serde_json::Value::Null, table),
    }
    Ok(())
}

/// A line on stderr.
pub fn note(text: &str) {
    tell(format_args!("{text}\n"));
}

/// A line on stdout, for commands that tell their steps.
pub fn say(text: &str) {
    put(format_args!("{text}\n"));
}

/// Prints a failure: text on stderr, or JSON on stdout where JSON was asked for.
pub fn failure(format: Format, failure: &Failure) {
    match format {
        Format::Json => put(format_args!("{:#}\n", failure.to_json())),
        Format::Table => tell(format_args!("{}\n", printable(&failure.to_string()))),
    }
}

/// Without control characters, which names and data may carry.
pub fn printable(text: &str) -> String {
    text.chars().map(|c| if c.is_control() && c != '\n' { '\u{fffd}' } else { c }).collect()
}

/// A table with a header.
pub fn table<const N: usize>(header: [&str; N], rows: impl IntoIterator<Item = [String; N]>) -> String {
    let mut table = Table::new();
    table.load_style(presets::NOTHING).set_content_arrangement(ContentArrangement::Disabled).set_header(header);
    for row in rows {
        table.add_row(row.map(|cell| printable(&cell)));
    }
    let text = table.to_string();
    text.lines().map(|line| line.trim_end().to_owned() + "\n").collect()
}

/// The bars of a process, one below the other.
static BARS: LazyLock<MultiProgress> = LazyLock::new(MultiProgress::new);

/// A progress bar on stderr; nothing where stderr is no terminal.
pub fn progress(total: u64, what: &str) -> ProgressBar {
    if !std::io::stderr().is_terminal() {
        return ProgressBar::hidden();
    }
    let bar = BARS.add(ProgressBar::new(total));
    let style = ProgressStyle::with_template("{msg:24} {bar:32} {pos}/{len} ({per_sec}, {eta} left)");
    bar.set_style(style.unwrap_or_else(|_| ProgressStyle::default_bar()));
    bar.set_message(what.to_owned());
    bar
}

/// A count of rows on stderr, with its speed, where nobody knows how many there are; nothing where stderr is no terminal.
pub fn counter(what: &str) -> ProgressBar {
    if !std::io::stderr().is_terminal() {
        return ProgressBar::hidden();
    }
    let bar = BARS.add(ProgressBar::no_length());
    let style = ProgressStyle::with_template("{msg:24} {spinner} {human_pos} rows ({per_sec})");
    bar.set_style(style.unwrap_or_else(|_| ProgressStyle::default_spinner()));
    bar.set_message(what.to_owned());
    bar
}

/// Logs go to stderr: warnings unless `PLUMB_LOG` or the command says otherwise.
pub fn logging(cli: &Cli) {
    use tracing_subscriber::EnvFilter;
    let default = if matches!(cli.command, crate::cli::Command::Serve(_)) { "info" } else { "warn" };
    let filter = EnvFilter::try_from_env("PLUMB_LOG").unwrap_or_else(|_| EnvFilter::new(default));
    let builder = tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_writer(std::io::stderr)
        .with_ansi(std::io::stderr().is_terminal());
    // A second call finds a logger set already, as in tests: that one stays.
    match cli.log_format {
        LogFormat::Text => drop(builder.event_format(OfRequest(format())).try_init()),
        LogFormat::Json => drop(builder.event_format(JsonLines).try_init()),
    }
}

/// What lines are about that say how a request was answered. They are of the level `debug`: `PLUMB_LOG=info,access=debug`.
pub const ACCESS: &str = "access";

/// Lines that begin with the name of the request that causes them, if one does. A name costs what a lookup costs, where a
/// span would cost an allocation for each request that logs nothing.
pub(crate) struct OfRequest<F>(pub(crate) F);

impl<S, N, F> FormatEvent<S, N> for OfRequest<F>
where
    S: Subscriber + for<'a> LookupSpan<'a>,
    N: for<'a> FormatFields<'a> + 'static,
    F: FormatEvent<S, N>,
{
    fn format_event(&self, context: &FmtContext<'_, S, N>, mut to: Writer<'_>, event: &Event<'_>) -> fmt::Result {
        if let Some(id) = RequestId::current() {
            write!(to, "request.id={id} ")?;
            if let Some(trace) = id.trace_id() {
                write!(to, "trace.id={trace} ")?;
            }
        }
        self.0.format_event(context, to, event)
    }
}
