//! What the server says about itself: the OpenAPI document, and two pages made of it and of the list of problems.
//!
//! - `openapi.json` is written by hand; the tests below hold it together with [`PROBLEMS`].
//! - [`problems`]: every problem code, with what to do about it.
//! - [`page`]: the pages, as HTML without scripts or styles of their own; [`DOCS_CSS`] is their style.
//! - [`node`]: JSON whose fields stay in the order in which they are written.

mod node;
mod page;
mod problems;

use std::sync::LazyLock;

pub(crate) use self::problems::{PROBLEMS, problem};

/// The style sheet of both pages, which link it as `/docs.css`.
pub(crate) const DOCS_CSS: &str = include_str!("docs.css");

const OPENAPI: &str = include_str!("openapi.json");

/// The OpenAPI document, as `/openapi.json` answers it.
pub(crate) fn openapi_json() -> &'static str {
    OPENAPI
}

/// The OpenAPI document as a page; made at the first call, which a server does at its start.
pub(crate) fn docs_html() -> &'static str {
    static PAGE: LazyLock<String> = LazyLock::new(|| page::docs(&node::Node::parse(OPENAPI)));
    &PAGE
}

/// The list of problem codes as a page; each code is an anchor, so a problem's `type` leads to it.
pub(crate) fn problems_html() -> &'static str {
    static PAGE: LazyLock<String> = LazyLock::new(|| page::problems(PROBLEMS));
    &PAGE
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use serde_json::Value;

    use super::*;

    fn document() -> Value {
        serde_json::from_str(OPENAPI).expect("the document is JSON")
    }

    /// Calls `each` with every object in `value`.
    fn objects(value: &Value, each: &mut impl FnMut(&serde_json::Map<String, Value>)) {
        match value {
            Value::Object(object) => {
                each(object);
                object.values().for_each(|value| objects(value, each));
            }
            Value::Array(values) => values.iter().for_each(|value| objects(value, each)),
            Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => {}
        }
    }

    #[test]
    fn every_reference_leads_somewhere() {
        let document = document();
        let mut references = 0;
        objects(&document, &mut |object| {
            let Some(Value::String(reference)) = object.get("$ref") else { return };
            let path = reference.strip_prefix('#').expect("references stay in the document");
            assert!(document.pointer(path).is_some(), "{reference} leads nowhere");
            references += 1;
        });
        assert!(references > 300, "only {references} references were found");
    }

    #[test]
    fn the_document_and_the_table_know_the_same_problems() {
        let document = document();
        let mut shown = BTreeSet::new();
        objects(&document, &mut |object| {
            let (Some(Value::String(code)), Some(status)) = (object.get("code"), object.get("status")) else {
                return;
            };
            let known = problem(code).unwrap_or_else(|| panic!("{code} is not in PROBLEMS"));
            assert_eq!(*status, known.status, "the status of {code}");
            assert_eq!(object["title"], known.title, "the title of {code}");
            assert_eq!(object["type"], format!("/problems#{code}"));
            shown.insert(code.clone());
        });
        let known: BTreeSet<String> = PROBLEMS.iter().map(|problem| problem.code.to_owned()).collect();
        assert_eq!(shown, known, "every code has an example in the document");
        assert_eq!(known.len(), PROBLEMS.len(), "no code stands twice");
        let listed = document["components"]["schemas"]["ProblemCode"]["enum"].as_array().expect("a list");
        let listed: BTreeSet<String> = listed.iter().filter_map(Value::as_str).map(str::to_owned).collect();
        assert_eq!(listed, known);
    }

    #[test]
    fn a_response_shows_problems_of_its_own_status_only() {
        let document = document();
        let resolved = |response: &Value| match response.get("$ref").and_then(Value::as_str) {
            Some(reference) => document.pointer(&reference[1..]).expect("it leads somewhere").clone(),
            None => response.clone(),
        };
        for (path, item) in document["paths"].as_object().expect("paths") {
            for (method, operation) in item.as_object().expect("operations") {
                for (status, response) in operation["responses"].as_object().expect("responses") {
                    let response = resolved(response);
                    let problems = &response["content"]["application/problem+json"]["examples"];
                    for example in problems.as_object().into_iter().flat_map(serde_json::Map::values) {
                        let shown = example["value"]["status"].to_string();
                        assert_eq!(shown, *status, "{method} {path}");
                    }
                    // Headers that are too large are answered before there is a request.
                    let has_id = response["headers"]["X-Request-Id"].is_object();
                    assert_eq!(has_id, status != "431", "{method} {path} {status}: X-Request-Id");
                }
            }
        }
    }

    #[test]
    fn every_request_body_is_closed_and_every_operation_has_an_id_and_a_role() {
        let document = document();
        let mut ids = BTreeSet::new();
        for (path, item) in document["paths"].as_object().expect("paths") {
            for (method, operation) in item.as_object().expect("operations") {
                let id =
                    operation["operationId"].as_str().unwrap_or_else(|| panic!("{method} {path}: no id"));
                assert!(ids.insert(id), "{id} stands twice");
                let role = operation["x-role"].as_str().expect("a role");
                assert!(["none", "read", "write", "admin"].contains(&role), "{method} {path}: {role}");
                let statuses = &operation["responses"];
                assert_eq!(statuses.get("401").is_some(), role != "none", "{method} {path}");
                if let Some(body) =
                    operation["requestBody"]["content"]["application/json"]["schema"]["$ref"].as_str()
                {
                    let schema = document.pointer(&body[1..]).expect("it leads somewhere");
                    assert_eq!(schema["additionalProperties"], false, "{body}");
                }
            }
        }
    }

    #[test]
    fn the_reasons_are_those_of_the_ledger_in_its_order() {
        let reasons: Vec<&str> = ledger::Reason::ALL.iter().map(|reason| reason.as_str()).collect();
        let refusals = PROBLEMS.iter().filter(|problem| problem.status == 422);
        assert_eq!(refusals.map(|problem| problem.code).collect::<Vec<_>>(), reasons);
        assert_eq!(document()["components"]["schemas"]["Reason"]["enum"], serde_json::json!(reasons));
    }

    #[test]
    fn the_pages_have_an_anchor_for_every_route_and_code_and_nothing_from_elsewhere() {
        let document = document();
        for item in document["paths"].as_object().expect("paths").values() {
            for operation in item.as_object().expect("operations").values() {
                let id = operation["operationId"].as_str().expect("an id");
                assert_eq!(docs_html().matches(&format!(" id=\"{id}\"")).count(), 1, "{id}");
                assert!(docs_html().contains(&format!("href=\"#{id}\"")), "{id}");
            }
        }
        for problems::Problem { code, .. } in PROBLEMS {
            assert_eq!(problems_html().matches(&format!(" id=\"{code}\"")).count(), 1, "{code}");
            assert!(docs_html().contains(&format!("href=\"/problems#{code}\"")), "{code}");
        }
        for page in [docs_html(), problems_html()] {
            assert!(page.starts_with("<!doctype html>") && page.ends_with("</html>\n"));
            for absent in ["<script", "style=", "<style", "http://", "https://", "javascript:"] {
                assert!(!page.contains(absent), "{absent}");
            }
            assert_balanced(page);
        }
        assert!(!DOCS_CSS.contains("url(") && !DOCS_CSS.contains("@import"));
    }

    /// Every element that is opened is closed, in order.
    fn assert_balanced(page: &str) {
        let mut open = Vec::new();
        for part in page.split('<').skip(1) {
            let tag = part.split(|c: char| c == '>' || c.is_whitespace()).next().unwrap_or_default();
            match tag.strip_prefix('/') {
                Some(closed) => assert_eq!(open.pop(), Some(closed), "near {part:.60}"),
                None if ["!doctype", "meta", "link", "wbr"].contains(&tag) => {}
                None => open.push(tag),
            }
        }
        assert_eq!(open, Vec::<&str>::new());
    }
}
