//! `webhooks: {allow_private: [10.0.0.0/8], allow_http: false}`: where messages may go beside public addresses over TLS.

use registry::webhook::{AddressRules, Network};
use schema::yaml::{Fields, Mistake};

/// Reads `webhooks`.
pub(super) fn read(fields: &mut Fields<'_>, mistakes: &mut Vec<Mistake>) -> AddressRules {
    let Some(node) = fields.optional("webhooks") else { return AddressRules::default() };
    let mut inner = node.fields("the `webhooks` setting", mistakes);
    let mut allow_private: Vec<Network> = Vec::new();
    if let Some(list) = inner.optional("allow_private") {
        for one in list.items(mistakes) {
            allow_private.extend(one.parse(mistakes, str::parse::<Network>));
        }
    }
    let allow_http = inner.flag("allow_http", mistakes).unwrap_or(false);
    inner.finish(mistakes);
    AddressRules { allow_private, allow_http }
}
