//! The document as one page: no script, nothing from elsewhere.

use std::fmt::Write as _;

use serde_json::{Map, Value as Json};

const STYLE: &str = "
:root { color-scheme: light dark }
body { font: 15px/1.5 system-ui, sans-serif; margin: 2rem auto; max-width: 60rem; padding: 0 1rem }
nav a { margin-right: 1rem }
details { border: 1px solid #8884; border-radius: 6px; margin: .4rem 0; padding: .3rem .7rem }
summary { cursor: pointer }
code, pre { font: 13px/1.4 ui-monospace, monospace }
pre { background: #8881; border-radius: 6px; overflow-x: auto; padding: .6rem }
.method { display: inline-block; font-weight: 700; text-transform: uppercase; width: 4.5rem }
.get { color: #2a7 } .post { color: #27c } .patch, .put { color: #b70 } .delete { color: #c33 }
td { padding: .1rem 1rem .1rem 0; vertical-align: top }
";

/// The page of a document.
pub(super) fn page(document: &Json) -> String {
    let mut out = String::new();
    let text = |at: &Json| escaped(at.as_str().unwrap_or_default());
    let info = &document["info"];
    let _ = write!(
        out,
        "<!doctype html><html lang=\"en\"><meta charset=\"utf-8\"><meta name=\"viewport\" content=\"width=device-width\"><title>{0} \
         {1}</title><style>{STYLE}</style><h1>{0} {1}</h1><p>{2} <a href=\"/openapi.json\">openapi.json</a></p><nav>",
        text(&info["title"]),
        text(&info["version"]),
        text(&info["description"]),
    );
    let tags = document["tags"].as_array().map(Vec::as_slice).unwrap_or_default();
    for tag in tags {
        let _ = write!(out, "<a href=\"#{0}\">{0}</a>", text(&tag["name"]));
    }
    out.push_str("</nav>");
    for tag in tags {
        let (name, description) = (text(&tag["name"]), text(&tag["description"]));
        let _ = write!(out, "<h2 id=\"{name}\">{name}</h2><p>{description}</p>");
        for (path, methods) in document["paths"].as_object().into_iter().flatten() {
            for (method, operation) in methods.as_object().into_iter().flatten() {
                if operation["tags"][0] == tag["name"] {
                    show(&mut out, path, method, operation);
                }
            }
        }
    }
    let _ = write!(out, "<h2 id=\"schemas\">schemas</h2>");
    for (name, schema) in document["components"]["schemas"].as_object().into_iter().flatten() {
        let name = escaped(name);
        let _ = write!(out, "<details id=\"{name}\"><summary>{name}</summary>{}</details>", pretty(schema));
    }
    out.push_str("</html>");
    out
}

fn show(out: &mut String, path: &str, method: &str, operation: &Json) {
    let summary = escaped(operation["summary"].as_str().unwrap_or_default());
    let _ = write!(
        out,
        "<details><summary><span class=\"method {method}\">{method}</span><code>{}</code> {summary}</summary>",
        escaped(path)
    );
    if let Some(parameters) = operation["parameters"].as_array() {
        out.push_str("<table>");
        for one in parameters {
            let field = |name: &str| escaped(one[name].as_str().unwrap_or_default());
            let kind = escaped(&one["schema"].to_string());
            let _ = write!(out, "<tr><td><code>{}</code><td>{}<td><code>{kind}</code>", field("name"), field("in"));
        }
        out.push_str("</table>");
    }
    let mut content = |title: &str, content: &Json| {
        for (media, body) in content.as_object().unwrap_or(&Map::new()) {
            let _ = write!(out, "<p>{} <code>{}</code></p>{}", escaped(title), escaped(media), pretty(&body["schema"]));
        }
    };
    content("body", &operation["requestBody"]["content"]);
    for (status, response) in operation["responses"].as_object().into_iter().flatten() {
        let title = format!("{status}: {}", response["description"].as_str().unwrap_or_default());
        content(&title, &response["content"]);
    }
    out.push_str("</details>");
}

fn pretty(schema: &Json) -> String {
    format!("<pre>{}</pre>", escaped(&format!("{schema:#}")))
}

fn escaped(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;").replace('"', "&quot;")
}
