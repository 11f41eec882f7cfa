//! Messages with fields that we have no use for, and those that we leave out.

use prost::Message;

use super::*;

/// `feast.core.FeatureSpecV2` with all its fields.
#[derive(Clone, PartialEq, Eq, Message)]
struct WholeFeature {
    #[prost(string, tag = "1")]
    name: String,
    #[prost(int32, tag = "2")]
    value_type: i32,
    #[prost(btree_map = "string, string", tag = "3")]
    tags: BTreeMap<String, String>,
    #[prost(string, tag = "4")]
    description: String,
    #[prost(bool, tag = "5")]
    vector_index: bool,
    #[prost(string, tag = "6")]
    vector_search_metric: String,
    #[prost(int32, tag = "7")]
    vector_length: i32,
}

/// `feast.core.FeatureViewMeta` with all its fields.
#[derive(Clone, PartialEq, Eq, Message)]
struct WholeMeta {
    #[prost(message, optional, tag = "1")]
    created_timestamp: Option<Timestamp>,
    #[prost(message, optional, tag = "2")]
    last_updated_timestamp: Option<Timestamp>,
    #[prost(message, repeated, tag = "3")]
    materialization_intervals: Vec<Empty>,
    #[prost(int32, tag = "4")]
    current_version_number: i32,
    #[prost(string, tag = "5")]
    version_id: String,
    #[prost(int32, tag = "6")]
    state: i32,
}

#[test]
fn a_feature_for_searches_by_vectors_is_a_list_with_its_tags() {
    let whole = WholeFeature {
        name: "embedding".to_owned(),
        value_type: 16,
        tags: [("model".to_owned(), "mini".to_owned())].into(),
        description: "Of the title.".to_owned(),
        vector_index: true,
        vector_search_metric: "COSINE".to_owned(),
        vector_length: 384,
    };
    let read = FeatureSpec::decode(whole.encode_to_vec().as_slice()).unwrap();
    assert_eq!((read.name, read.value_type, read.description), (whole.name, 16, whole.description));
    assert_eq!(read.tags, whole.tags);
}

/// `STATE_UNSPECIFIED`: clients hold features back by the other states.
#[test]
fn a_view_has_no_state_and_nothing_is_said_of_its_materializations() {
    let instant = Timestamp { seconds: 1_795_370_304, nanos: 0 };
    let ours = FeatureViewMeta {
        created_timestamp: Some(instant),
        last_updated_timestamp: Some(instant),
        current_version_number: 3,
    };
    let read = WholeMeta::decode(ours.encode_to_vec().as_slice()).unwrap();
    assert_eq!((read.state, read.materialization_intervals.len(), read.current_version_number), (0, 0, 3));
    // Of one that a Feast wrote, whatever its state.
    let theirs = WholeMeta { state: 4, version_id: "v".to_owned(), ..read };
    assert_eq!(FeatureViewMeta::decode(theirs.encode_to_vec().as_slice()).unwrap(), ours);
}
