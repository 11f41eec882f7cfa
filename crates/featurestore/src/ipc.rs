//! Arrow as others send it: streams of requests, files of spines, rows of the log of pushes.
//!
//! Whatever the bytes are, the answer is rows or an error, in bounded memory. The library below checks offsets, lengths and
//! texts, but believes what is announced when it allocates, and panics at some of what cannot be. So each message is looked
//! at before the library sees it ([`message`]), what panics is an error, and rows that stand for much more than they are,
//! such as a dictionary's, are measured before anybody unfolds them ([`size`]).

mod file;
mod message;
mod size;
mod stream;

use arrow::error::ArrowError;

pub use file::IpcFile;
pub use stream::read_stream;

/// What may be taken of a stream or a file.
#[derive(Debug, Clone, Copy)]
pub struct Limits {
    /// Bytes of the rows when every dictionary, run and view is unfolded: of a stream in all, of a file in a batch.
    pub plain_bytes: u64,
    /// Whether buffers may be compressed, which makes limits of what is sent none of what it becomes.
    pub compressed: bool,
}

fn broken(why: impl Into<String>) -> ArrowError {
    ArrowError::IpcError(why.into())
}

#[cfg(test)]
mod tests;
