//! What Feast's remote online store sends.

use super::operation::Operation;
use super::schema::{any, flag, list, map, object, some_object, text, text_of};

pub(super) const TAG: &str = "feast";

pub(super) fn operations() -> Vec<Operation> {
    let columns = || map(list(any()));
    let range = || [("feature_views", list(text())), ("end_ts", text()), ("version", text())];
    let all = [
        Operation::post("/get-online-features", "The features of some entities.")
            .json(object(
                [("entities", columns())],
                [
                    ("features", list(text_of("view:feature"))),
                    ("feature_service", text()),
                    ("full_feature_names", flag()),
                    ("include_feature_view_version_metadata", flag()),
                ],
            ))
            .answers(some_object()),
        Operation::post("/push", "Rows of a push source.").json(object(
            [("push_source_name", text()), ("df", columns())],
            [("to", text_of("online, offline, or online_and_offline"))],
        )),
        Operation::post("/write-to-online-store", "Rows of a feature view.")
            .json(object([("feature_view_name", text()), ("df", columns())], [])),
        Operation::post("/materialize", "Brings feature views online.").json({
            let [views, end, version] = range();
            object([], [views, end, version, ("start_ts", text()), ("disable_event_timestamp", flag())])
        }),
        Operation::post("/materialize-incremental", "Brings what is new in feature views online.")
            .json(object([], range())),
    ];
    all.into_iter().map(|operation| operation.of(TAG, "FeastError")).collect()
}
