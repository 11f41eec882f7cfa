//! The words of the server, and of the demo that starts one.

use std::net::SocketAddr;
use std::path::PathBuf;

use clap::Args;

#[derive(Debug, Args)]
#[expect(missing_docs, reason = "the help texts are the documentation")]
pub struct ServeArgs {
    /// Address to listen on; port 0 takes a free one and prints it.
    #[arg(long, default_value = "127.0.0.1:8080")]
    pub http: SocketAddr,
    /// Address for gRPC; the port after that of HTTP unless given, or a free one where HTTP takes a free one.
    #[arg(long)]
    pub grpc: Option<SocketAddr>,
}

#[derive(Debug, Args)]
#[expect(missing_docs, reason = "the help texts are the documentation")]
pub struct DemoArgs {
    /// Stop when every step is done and checked.
    #[arg(long)]
    pub once: bool,
    /// Where the demo project goes.
    #[arg(long, default_value = "plumb-demo")]
    pub dir: PathBuf,
    /// Address to listen on.
    #[arg(long, default_value = "127.0.0.1:8080")]
    pub http: SocketAddr,
    /// Address for gRPC; the port after that of HTTP unless given.
    #[arg(long)]
    pub grpc: Option<SocketAddr>,
}
