//! The top floor: command line, configuration, wiring, and every wire protocol.
//!
//! [`cli`] says what there is to call, [`commands`] what each command does, [`project`] how a folder becomes stores,
//! [`http`] what the server speaks. Only this crate knows HTTP and JSON bodies; only [`config`] reads the environment; only
//! [`failure`] knows exit codes and status codes.

pub mod cli;
pub mod commands;
pub mod config;
pub mod failure;
pub mod feast;
pub mod grpc;
pub mod http;
pub mod oip;
pub mod output;
pub mod predicting;
pub mod project;
pub mod promoting;
pub mod recorded;
pub mod registering;
pub mod replay;
pub mod request_id;
pub mod trace;
pub mod webhooks;
