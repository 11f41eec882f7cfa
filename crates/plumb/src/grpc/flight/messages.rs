//! Arrow Flight's messages, with the field numbers of its protocol; those that Feast's client sends and reads.

use axum::body::Bytes;
use prost::Message;

/// What a call is about.
#[derive(Clone, PartialEq, Eq, Message)]
pub struct FlightDescriptor {
    /// 1 is a path, 2 a command.
    #[prost(int32, tag = "1")]
    pub kind: i32,
    /// The command.
    #[prost(bytes = "bytes", tag = "2")]
    pub command: Bytes,
    /// The path.
    #[prost(string, repeated, tag = "3")]
    pub path: Vec<String>,
}

/// A message of Arrow's IPC: its header, and its buffers.
#[derive(Clone, PartialEq, Eq, Message)]
pub struct FlightData {
    /// What the call is about; with the first message.
    #[prost(message, optional, tag = "1")]
    pub descriptor: Option<FlightDescriptor>,
    /// The header, a flatbuffer.
    #[prost(bytes = "bytes", tag = "2")]
    pub header: Bytes,
    /// Whatever the application says beside it.
    #[prost(bytes = "bytes", tag = "3")]
    pub app_metadata: Bytes,
    /// The buffers.
    #[prost(bytes = "bytes", tag = "1000")]
    pub body: Bytes,
}

impl FlightData {
    /// About how much memory it takes: many small messages are a large table too.
    pub fn n_bytes(&self) -> usize {
        size_of::<Self>() + self.header.len() + self.app_metadata.len() + self.body.len()
    }
}

/// What was done with what was put.
#[derive(Clone, PartialEq, Eq, Message)]
pub struct PutResult {
    /// Whatever the application says.
    #[prost(bytes = "bytes", tag = "1")]
    pub app_metadata: Bytes,
}
