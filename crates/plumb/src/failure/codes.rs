//! All codes of errors. A code never changes its meaning or its kind: programs branch on it. What is here is printed in
//! docs/http.md, and a test compares the two.

use schema::ErrorKind::{
    self, CheckFailed, Conflict, Denied, Internal, Invalid, NotFound, Overloaded, Timeout, Unavailable,
};

/// One code.
#[derive(Debug)]
pub struct Code {
    /// As it is on the wire.
    pub name: &'static str,
    /// What a caller can do: it decides the HTTP status, the exit status and whether to try again.
    pub kinds: &'static [ErrorKind],
    /// For people.
    pub means: &'static str,
}

const fn code(name: &'static str, kinds: &'static [ErrorKind], means: &'static str) -> Code {
    Code { name, kinds, means }
}

/// What a code is, if it is one.
pub fn find(name: &str) -> Option<&'static Code> {
    CODES.iter().find(|code| code.name == name)
}

/// In the order of their names.
pub const CODES: &[Code] = &[
    code("body_not_read", &[Invalid], "the body broke off, stopped coming, or is not in the form that it announces"),
    code("body_too_large", &[Invalid], "the body is larger than the route takes; it is not read to its end"),
    code(
        "cannot_migrate",
        &[Invalid],
        "a value of a row is none of the newer type, and the declared cast says `on_error: reject`",
    ),
    code("changed", &[CheckFailed], "a training set cannot be made again: what it was made of is not as it was"),
    code("check_failed", &[CheckFailed], "a check was made and failed"),
    code("conflict", &[Conflict], "the state does not allow it, or somebody else was first"),
    code("denied", &[Denied], "whoever asks may not, or others must agree first"),
    code("empty_entities", &[Invalid], "`entities` lists no rows"),
    code("empty_features", &[Invalid], "`features` lists no rows"),
    code("empty_range", &[Invalid], "a range ends before it begins"),
    code("empty_rows", &[Invalid], "`rows` holds no rows"),
    code("environment", &[Unavailable], "a file, folder, port or library of the machine is not as it must be"),
    code("erased", &[Conflict], "the key was erased, and may not come back"),
    code("gone", &[NotFound], "what was asked for was there, and is no more"),
    code(
        "host_not_allowed",
        &[Denied],
        "the request names a host that the server is not called, or comes from a page of one: `allowed_hosts` in plumb.yaml",
    ),
    code("internal", &[Internal], "a bug or a broken disk"),
    code(
        "invalid_definitions",
        &[Invalid],
        "the project's files hold mistakes: `mistakes` lists them with their places",
    ),
    code("invalid_input", &[Invalid], "the input is wrong, as the message says"),
    code("leakage", &[CheckFailed], "the training set leaks, and `fail_on_leakage` was asked for"),
    code("materializing", &[Conflict], "another run is bringing the view online"),
    code("method_not_allowed", &[Invalid], "the route takes another method"),
    code("misfit", &[Invalid], "a model does not fit its feature service"),
    code("missing_context", &[Invalid], "`context` lacks a field that an on-demand view reads"),
    code("missing_feature", &[Invalid], "`features` lacks one of the service's"),
    code("missing_join_key", &[Invalid], "`entities` lacks a join key"),
    code("name_collision", &[Invalid], "two columns of the answer have one name"),
    code("no_features", &[Invalid], "the request names neither a service nor features, or both"),
    code("no_migration", &[Invalid], "no chain of declared migrations leads from one service version to the other"),
    code("no_project", &[NotFound], "the folder has no plumb.yaml"),
    code("no_service", &[Invalid], "`as` needs a service"),
    code("no_table", &[Invalid], "the source is no table that rows can be added to"),
    code("not_acceptable", &[Invalid], "the answer cannot be written as `Accept` says"),
    code("not_confirmed", &[Conflict], "the question was not answered with yes"),
    code("not_found", &[NotFound], "what is named does not exist"),
    code("not_json", &[Invalid], "the body is not JSON, or is nested deeper than 128"),
    code("not_materialized", &[Conflict], "the view is not online yet"),
    code(
        "one_way",
        &[Invalid],
        "answers of the model cannot be given at the older service version: an adapter does not go back",
    ),
    code(
        "online_store_auth",
        &[Unavailable],
        "the online store does not let the server in; trying again changes nothing",
    ),
    code("other_service", &[Conflict], "the model was trained on another service, or on another version of it"),
    code("outside_contract", &[Internal], "a model said what its contract does not allow, and which it says to refuse"),
    code("overloaded", &[Overloaded], "a queue is full"),
    code("panicked", &[Internal], "a bug: the request failed, the server goes on"),
    code("read_only_view", &[Invalid], "Feast writes this view"),
    code("registry_auth", &[Unavailable], "the registry's server does not let us in; trying again changes nothing"),
    code("timeout", &[Timeout], "the deadline passed first"),
    code("too_far_ahead", &[Invalid], "a row is dated farther ahead of the clock than `max_skew` allows"),
    code("too_many_builds", &[Overloaded], "as many training sets are being built as the server builds at once"),
    code("too_many_rows", &[Invalid], "one request takes no more than so many rows"),
    code("unavailable", &[Unavailable], "a store or a file cannot be read or written now"),
    code("unequal_lists", &[Invalid], "lists of one request have different lengths"),
    code("unknown_context", &[Invalid], "`context` has a field that nothing reads"),
    code("unknown_feature", &[NotFound, Invalid], "the view or service has no such feature"),
    code("unknown_join_key", &[Invalid], "a join key is named that is none"),
    code("unknown_model", &[NotFound], "the model has no version in Production that can be served"),
    code("unknown_service", &[NotFound], "no such feature service is applied"),
    code("unknown_source", &[Invalid], "no such source is declared"),
    code("unknown_view", &[NotFound], "no such feature view is applied"),
    code("unknown_view_version", &[NotFound], "the feature view has no such version"),
    code("unsupported_encoding", &[Invalid], "the body is compressed; none are taken"),
    code("unused_fields", &[Invalid], "the request has fields that change nothing"),
    code("usage", &[Invalid], "the command line is wrong"),
    code("wrong_context_type", &[Invalid], "a field of `context` has another type"),
    code("wrong_feature_type", &[Invalid], "a value of `features` has another type"),
    code("wrong_json", &[Invalid], "the body is JSON of another shape"),
    code("wrong_key_type", &[Invalid], "a join key's value has another type"),
    code("wrong_path", &[Invalid], "the address holds bytes that are no text"),
    code("wrong_query", &[Invalid], "the address's query is wrong"),
    code("wrong_reference", &[Invalid], "a text does not name a feature, or not in this place"),
    code("wrong_rows", &[Invalid], "rows of a push are none of the view's"),
    code("wrong_spine", &[Invalid], "the spine does not fit the service, or is not what it announces"),
    code("wrong_status", &[Invalid], "`statuses` do not fit the values"),
    code("wrong_time", &[Invalid], "a text is no instant"),
    code("wrong_token", &[Invalid], "a text is no replay token"),
    code("wrong_value_type", &[Invalid], "a value of a push has another type"),
];
