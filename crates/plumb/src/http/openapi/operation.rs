//! One operation of the document.

use serde_json::{Value as Json, json};

use super::schema::{component, text};
use crate::http::accept::JSON;

/// A method of a route.
#[derive(Debug)]
pub(super) struct Operation {
    pub(super) method: &'static str,
    /// As the router has it.
    pub(super) route: String,
    summary: &'static str,
    tag: &'static str,
    /// The schema of its errors.
    error: &'static str,
    parameters: Vec<Json>,
    bodies: Vec<(&'static str, Json)>,
    /// Whether there may be none.
    is_optional: bool,
    answers: Vec<(&'static str, Json)>,
    statuses: Vec<(u16, &'static str)>,
}

impl Operation {
    pub(super) fn new(method: &'static str, route: impl Into<String>, summary: &'static str) -> Self {
        let route = route.into();
        let in_path = route.split('/').filter_map(|part| part.strip_prefix('{')?.strip_suffix('}'));
        let in_path = in_path.map(|name| name.trim_start_matches('*'));
        let parameters = in_path.map(|name| json!({ "name": name, "in": "path", "required": true, "schema": text() }));
        Self {
            method,
            summary,
            tag: "",
            error: "Error",
            parameters: parameters.collect(),
            bodies: Vec::new(),
            is_optional: false,
            answers: Vec::new(),
            statuses: Vec::new(),
            route,
        }
    }

    pub(super) fn get(route: impl Into<String>, summary: &'static str) -> Self {
        Self::new("get", route, summary)
    }

    pub(super) fn post(route: impl Into<String>, summary: &'static str) -> Self {
        Self::new("post", route, summary)
    }

    /// Where it stands, and what its errors are.
    pub(super) fn of(self, tag: &'static str, error: &'static str) -> Self {
        Self { tag, error, ..self }
    }

    /// What may follow `?`.
    pub(super) fn query<const N: usize>(mut self, named: [(&str, Json); N]) -> Self {
        let one = |(name, schema): (&str, Json)| json!({ "name": name, "in": "query", "schema": schema });
        self.parameters.extend(named.map(one));
        self
    }

    /// A body of JSON.
    pub(super) fn json(self, schema: Json) -> Self {
        self.body(JSON, schema)
    }

    pub(super) fn body(mut self, media: &'static str, schema: Json) -> Self {
        self.bodies.push((media, schema));
        self
    }

    /// The body may be left out.
    pub(super) fn optional(self) -> Self {
        Self { is_optional: true, ..self }
    }

    /// What 200 has, in JSON.
    pub(super) fn answers(self, schema: Json) -> Self {
        self.answers_as(JSON, schema)
    }

    pub(super) fn answers_as(mut self, media: &'static str, schema: Json) -> Self {
        self.answers.push((media, schema));
        self
    }

    /// Another answer, in words.
    pub(super) fn status(mut self, status: u16, when: &'static str) -> Self {
        self.statuses.push((status, when));
        self
    }

    /// The route as the document writes it.
    pub(super) fn path(&self) -> String {
        self.route.replace("{*", "{")
    }

    fn id(&self) -> String {
        let words = self.route.split(|c: char| !c.is_ascii_alphanumeric()).filter(|word| !word.is_empty());
        std::iter::once(self.method).chain(words).collect::<Vec<_>>().join("_")
    }

    pub(super) fn to_json(&self) -> Json {
        let content = |of: &[(&'static str, Json)]| {
            let one = |(media, schema): &(&'static str, Json)| ((*media).to_owned(), json!({ "schema": schema }));
            of.iter().map(one).collect::<serde_json::Map<_, _>>()
        };
        let error = json!({ JSON: { "schema": component(self.error) } });
        let mut responses = json!({
            "200": { "description": "It was done.", "content": content(&self.answers) },
            "default": { "description": "It was not done, and why.", "content": error },
        });
        for (status, when) in &self.statuses {
            responses[status.to_string()] = json!({ "description": when, "content": error });
        }
        let mut said = json!({
            "operationId": self.id(), "summary": self.summary, "tags": [self.tag], "responses": responses,
        });
        if !self.parameters.is_empty() {
            said["parameters"] = json!(self.parameters);
        }
        if !self.bodies.is_empty() {
            said["requestBody"] = json!({ "required": !self.is_optional, "content": content(&self.bodies) });
        }
        said
    }
}
