//! The pages of the OpenAPI document and of the problem codes.

use std::fmt::Write as _;

use super::node::Node;
use super::problems::Problem;

/// The page of an OpenAPI document.
pub(super) fn docs(document: &Node) -> String {
    let info = document.at("info");
    let title = format!("{} API", info.at("title").text());
    let mut out = head(&title);
    element(&mut out, "h1", &escaped(&title));
    let lead = format!(
        "{} <a href=\"/openapi.json\">OpenAPI {}</a>",
        escaped(info.at("summary").text()),
        document.at("openapi").text()
    );
    paragraph(&mut out, "lead", &lead);
    contents(document, &mut out);
    out.push_str("<section id=\"conventions\">\n<h2>Conventions</h2>\n");
    out.push_str(&prose(info.at("description").text()));
    for (name, scheme) in document.at("components").at("securitySchemes").fields() {
        let _ = writeln!(
            out,
            "<p><code>{}</code> {}</p>",
            escaped(name),
            marked(scheme.at("description").text())
        );
    }
    // What no operation can list: answers to other paths and methods.
    out.push_str("<div class=\"answers\">\n");
    for (status, name) in [("404", "NotFound"), ("405", "MethodNotAllowed")] {
        write_response(document, status, document.at("components").at("responses").at(name), &mut out);
    }
    out.push_str("</div>\n</section>\n");
    for tag in document.at("tags").elements() {
        let name = tag.at("name").text();
        let _ = writeln!(out, "<section id=\"{}\">\n<h2>{}</h2>", anchor(name), escaped(name));
        out.push_str(&prose(tag.at("description").text()));
        for route in routes(document).filter(|route| route.has_tag(name)) {
            write_route(document, &route, &mut out);
        }
        out.push_str("</section>\n");
    }
    out.push_str("</main>\n</body>\n</html>\n");
    out
}

/// The page of the problem codes.
pub(super) fn problems(problems: &[Problem]) -> String {
    let mut out = head("Problems");
    element(&mut out, "h1", "Problems");
    paragraph(
        &mut out,
        "lead",
        "What <code>code</code> says in an answer of the type <code>application/problem+json</code>, and what to do. \
         <a href=\"/docs\">All routes</a>",
    );
    let mut status = 0;
    for problem in problems {
        if problem.status != status {
            if status != 0 {
                out.push_str("</section>\n");
            }
            status = problem.status;
            let _ = writeln!(out, "<section>\n<h2 id=\"status-{status}\">{status}</h2>");
        }
        let _ = writeln!(
            out,
            "<article id=\"{code}\">\n<h3><a href=\"#{code}\"><code>{code}</code></a></h3>\n<p><b>{title}.</b> {what}</p>\n</article>",
            code = problem.code,
            title = escaped(problem.title),
            what = marked(problem.what_to_do)
        );
    }
    out.push_str("</section>\n</main>\n</body>\n</html>\n");
    out
}

/// A method on a path.
struct Route<'a> {
    method: &'a str,
    path: &'a str,
    operation: &'a Node,
}

impl Route<'_> {
    fn has_tag(&self, name: &str) -> bool {
        self.operation.at("tags").elements().iter().any(|tag| tag.text() == name)
    }

    fn id(&self) -> &str {
        self.operation.at("operationId").text()
    }

    /// The method and the path, as a title.
    fn title(&self) -> String {
        let method = self.method.to_uppercase();
        format!(
            "<span class=\"method {}\">{method}</span> <code>{}</code>",
            self.method,
            breakable(self.path)
        )
    }
}

fn routes(document: &Node) -> impl Iterator<Item = Route<'_>> {
    document.at("paths").fields().iter().flat_map(|(path, item)| {
        item.fields().iter().map(move |(method, operation)| Route { method, path, operation })
    })
}

fn contents(document: &Node, out: &mut String) {
    out.push_str("<nav aria-label=\"Routes\">\n");
    for tag in document.at("tags").elements() {
        let name = tag.at("name").text();
        let _ = writeln!(out, "<h2><a href=\"#{}\">{}</a></h2>\n<ul>", anchor(name), escaped(name));
        for route in routes(document).filter(|route| route.has_tag(name)) {
            let summary = escaped(route.operation.at("summary").text());
            let _ = writeln!(
                out,
                "<li><a href=\"#{}\">{}</a> <span class=\"note\">{summary}</span></li>",
                route.id(),
                route.title()
            );
        }
        out.push_str("</ul>\n");
    }
    out.push_str("<p><a href=\"/problems\">Problem codes</a></p>\n</nav>\n");
}

fn write_route(document: &Node, route: &Route<'_>, out: &mut String) {
    let Route { operation, .. } = route;
    let _ = writeln!(
        out,
        "<article id=\"{id}\">\n<h3><a href=\"#{id}\">{}</a></h3>",
        route.title(),
        id = route.id()
    );
    let _ = writeln!(out, "<p class=\"summary\">{}</p>", escaped(operation.at("summary").text()));
    out.push_str(&prose(operation.at("description").text()));
    match operation.at("x-role").text() {
        "none" => paragraph(out, "note", "Needs no token."),
        role => paragraph(out, "note", &format!("Role: <code>{role}</code>.")),
    }
    if !operation.at("parameters").elements().is_empty() {
        element(out, "h4", "Parameters");
        out.push_str("<dl>\n");
        for parameter in operation.at("parameters").elements() {
            let parameter = parameter.resolved(document);
            let presence = if parameter.at("required").text() == "true" { "required" } else { "optional" };
            let place = format!("{}, {presence}", parameter.at("in").text());
            field(
                document,
                parameter.at("name").text(),
                parameter.at("schema"),
                &place,
                parameter.at("description").text(),
                out,
            );
        }
        out.push_str("</dl>\n");
    }
    let body = operation.at("requestBody").at("content").at("application/json");
    if !body.is_absent() {
        element(out, "h4", "Body");
        fields(document, body.at("schema"), out);
        for (name, example) in body.at("examples").fields() {
            write_example(name, example.at("value"), out);
        }
    }
    element(out, "h4", "Answers");
    out.push_str("<div class=\"answers\">\n");
    for (status, response) in operation.at("responses").fields() {
        write_response(document, status, response.resolved(document), out);
    }
    out.push_str("</div>\n</article>\n");
}

fn write_response(document: &Node, status: &str, response: &Node, out: &mut String) {
    let class = if status.starts_with('2') { "fine" } else { "problem" };
    let description = marked(response.at("description").text());
    let _ = writeln!(out, "<details class=\"{class}\">\n<summary><b>{status}</b> {description}</summary>");
    for (kind, content) in response.at("content").fields() {
        if kind == "application/problem+json" {
            out.push_str("<ul class=\"codes\">\n");
            for (code, _) in content.at("examples").fields() {
                let _ = writeln!(out, "<li><a href=\"/problems#{code}\"><code>{code}</code></a></li>");
            }
            out.push_str("</ul>\n");
            if let Some((code, example)) = content.at("examples").fields().first() {
                write_example(code, example.at("value"), out);
            }
            continue;
        }
        paragraph(out, "note", &format!("<code>{}</code>", escaped(kind)));
        fields(document, content.at("schema"), out);
        if !content.at("example").is_absent() {
            write_example("Example", content.at("example"), out);
        }
        for (name, example) in content.at("examples").fields() {
            write_example(name, example.at("value"), out);
        }
    }
    let headers: Vec<String> = response
        .at("headers")
        .fields()
        .iter()
        .filter(|(name, _)| name != "X-Request-Id")
        .map(|(name, header)| {
            format!("<code>{name}</code>: {}", marked(header.resolved(document).at("description").text()))
        })
        .collect();
    for header in headers {
        paragraph(out, "note", &header);
    }
    out.push_str("</details>\n");
}

/// The fields of an object's schema, with those of objects inside it.
fn fields(document: &Node, schema: &Node, out: &mut String) {
    let schema = schema.resolved(document);
    let properties = schema.at("properties").fields();
    if properties.is_empty() {
        return;
    }
    out.push_str("<dl>\n");
    for (name, property) in properties {
        let is_required = schema.at("required").elements().iter().any(|required| required.text() == name);
        let presence = if is_required { "required" } else { "optional" };
        let description = match property.at("description") {
            own if !own.is_absent() => own,
            _ => property.resolved(document).at("description"),
        };
        field(document, name, property, presence, description.text(), out);
        let inner = property.resolved(document);
        let inner = if inner.at("items").is_absent() { inner } else { inner.at("items") };
        if !inner.resolved(document).at("properties").is_absent() {
            out.push_str("<dd class=\"inner\">\n");
            fields(document, inner, out);
            out.push_str("</dd>\n");
        }
    }
    out.push_str("</dl>\n");
}

fn field(document: &Node, name: &str, schema: &Node, place: &str, description: &str, out: &mut String) {
    let kind = kind(document, schema);
    let default = match schema.at("default") {
        default if default.is_absent() => String::new(),
        default => format!(", default <code>{}</code>", escaped(&default.pretty())),
    };
    let _ = writeln!(
        out,
        "<dt><code>{}</code> <span class=\"note\">{kind}{}{place}{default}</span></dt>\n<dd>{}</dd>",
        escaped(name),
        if kind.is_empty() { "" } else { ", " },
        marked(description)
    );
}

/// What a value may be, in a few words.
fn kind(document: &Node, schema: &Node) -> String {
    let resolved = schema.resolved(document);
    if !resolved.at("enum").is_absent() {
        let words = resolved
            .at("enum")
            .elements()
            .iter()
            .map(|word| format!("<code>{}</code>", escaped(word.text())));
        return words.collect::<Vec<_>>().join(" | ");
    }
    if !resolved.at("const").is_absent() {
        return format!("<code>{}</code>", escaped(&resolved.at("const").pretty()));
    }
    if !resolved.at("oneOf").is_absent() {
        let kinds = resolved.at("oneOf").elements().iter().map(|one| kind(document, one));
        return kinds.collect::<Vec<_>>().join(" or ");
    }
    let mut kind = match resolved.at("type") {
        Node::Array(kinds) => kinds.iter().map(Node::text).collect::<Vec<_>>().join(" or "),
        one => one.text().to_owned(),
    };
    let (least, most) = (resolved.at("minimum").text(), resolved.at("maximum").text());
    // The ends of 64 bits say nothing that the conventions do not say.
    if !most.is_empty() && most.len() < 12 {
        let _ = write!(kind, " {least} to {most}");
    }
    kind
}

fn write_example(name: &str, example: &Node, out: &mut String) {
    let text = match example {
        Node::Text(text) => text.clone(),
        Node::Object(_) | Node::Array(_) | Node::Bare(_) => example.pretty(),
    };
    let _ = writeln!(
        out,
        "<figure>\n<figcaption>{}</figcaption>\n<pre tabindex=\"0\"><code>{}</code></pre>\n</figure>",
        escaped(name),
        escaped(&text)
    );
}

fn head(title: &str) -> String {
    format!(
        "<!doctype html>\n<html lang=\"en\">\n<head>\n<meta charset=\"utf-8\">\n\
         <meta name=\"viewport\" content=\"width=device-width, initial-scale=1\">\n<title>{}</title>\n\
         <link rel=\"icon\" href=\"data:,\">\n<link rel=\"stylesheet\" href=\"/docs.css\">\n</head>\n<body>\n<main>\n",
        escaped(title)
    )
}

fn element(out: &mut String, name: &str, inside: &str) {
    let _ = writeln!(out, "<{name}>{inside}</{name}>");
}

fn paragraph(out: &mut String, class: &str, inside: &str) {
    let _ = writeln!(out, "<p class=\"{class}\">{inside}</p>");
}

/// Paragraphs, with code in backticks.
fn prose(text: &str) -> String {
    text.split("\n\n").filter(|text| !text.is_empty()).fold(String::new(), |mut out, text| {
        element(&mut out, "p", &marked(text));
        out
    })
}

/// A line of text, with code in backticks.
fn marked(text: &str) -> String {
    let mut out = String::new();
    for (at, part) in text.split('`').enumerate() {
        let part = escaped(part);
        match at % 2 {
            0 => out.push_str(&part),
            _ => element_inline(&mut out, &part),
        }
    }
    out
}

fn element_inline(out: &mut String, code: &str) {
    let _ = write!(out, "<code>{code}</code>");
}

/// A path that may break behind each of its parts on a narrow screen.
fn breakable(path: &str) -> String {
    escaped(path).replace('/', "/<wbr>")
}

fn anchor(name: &str) -> String {
    name.to_lowercase()
}

fn escaped(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;").replace('"', "&quot;")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn texts_are_escaped_and_code_is_marked() {
        assert_eq!(marked("a < `b & \"c\"` d"), "a &lt; <code>b &amp; &quot;c&quot;</code> d");
        assert_eq!(prose("one\n\ntwo"), "<p>one</p>\n<p>two</p>\n");
    }

    #[test]
    fn kinds_are_said_in_a_few_words() {
        let document = Node::parse(
            "{\"s\":{\"type\":\"integer\",\"minimum\":0,\"maximum\":18},\"w\":{\"enum\":[\"a\",\"b\"]},\
             \"n\":{\"oneOf\":[{\"$ref\":\"#/s\"},{\"type\":\"null\"}]},\"t\":{\"type\":[\"string\",\"null\"]}}",
        );
        let said = |name: &str| kind(&document, document.at(name));
        assert_eq!(said("s"), "integer 0 to 18");
        assert_eq!(said("w"), "<code>a</code> | <code>b</code>");
        assert_eq!(said("n"), "integer 0 to 18 or null");
        assert_eq!(said("t"), "string or null");
    }
}
