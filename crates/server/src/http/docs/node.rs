//! JSON whose fields stay in the order in which they are written, for showing it.

use std::fmt;

use serde::de::{Deserialize, Deserializer, MapAccess, SeqAccess, Visitor};

/// A JSON value.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Node {
    Object(Vec<(String, Node)>),
    Array(Vec<Node>),
    Text(String),
    /// A number, `true`, `false` or `null`, as it is written.
    Bare(String),
}

/// What stands where nothing stands.
static ABSENT: Node = Node::Object(Vec::new());

impl Node {
    /// Reads a text that is known to be JSON.
    ///
    /// # Panics
    /// If it is not.
    pub(super) fn parse(text: &str) -> Node {
        serde_json::from_str(text).expect("a test reads this very text")
    }

    /// A field of an object; an empty object where there is none.
    pub(super) fn at(&self, name: &str) -> &Node {
        self.fields().iter().find(|(field, _)| field == name).map_or(&ABSENT, |(_, node)| node)
    }

    /// The fields of an object; none of anything else.
    pub(super) fn fields(&self) -> &[(String, Node)] {
        match self {
            Node::Object(fields) => fields,
            Node::Array(_) | Node::Text(_) | Node::Bare(_) => &[],
        }
    }

    /// The elements of an array; none of anything else.
    pub(super) fn elements(&self) -> &[Node] {
        match self {
            Node::Array(elements) => elements,
            Node::Object(_) | Node::Text(_) | Node::Bare(_) => &[],
        }
    }

    /// A text or a bare value as it is written, without quotation marks; empty for anything else.
    pub(super) fn text(&self) -> &str {
        match self {
            Node::Text(text) | Node::Bare(text) => text,
            Node::Object(_) | Node::Array(_) => "",
        }
    }

    pub(super) fn is_absent(&self) -> bool {
        *self == ABSENT
    }

    /// What a `$ref` in this node leads to in `document`, or the node itself.
    pub(super) fn resolved<'a>(&'a self, document: &'a Node) -> &'a Node {
        match self.at("$ref").text().strip_prefix("#/") {
            Some(path) => path.split('/').fold(document, Node::at),
            None => self,
        }
    }

    /// The value on several lines, each level two spaces further in.
    pub(super) fn pretty(&self) -> String {
        let mut out = String::new();
        self.write(0, &mut out);
        out
    }

    fn write(&self, depth: usize, out: &mut String) {
        let new_line = |depth: usize, out: &mut String| {
            out.push('\n');
            out.extend(std::iter::repeat_n("  ", depth));
        };
        match self {
            Node::Object(fields) if !fields.is_empty() => {
                for (at, (name, node)) in fields.iter().enumerate() {
                    out.push(if at == 0 { '{' } else { ',' });
                    new_line(depth + 1, out);
                    out.push_str(&quoted(name));
                    out.push_str(": ");
                    node.write(depth + 1, out);
                }
                new_line(depth, out);
                out.push('}');
            }
            Node::Array(elements) if !elements.is_empty() => {
                for (at, node) in elements.iter().enumerate() {
                    out.push(if at == 0 { '[' } else { ',' });
                    new_line(depth + 1, out);
                    node.write(depth + 1, out);
                }
                new_line(depth, out);
                out.push(']');
            }
            Node::Object(_) => out.push_str("{}"),
            Node::Array(_) => out.push_str("[]"),
            Node::Text(text) => out.push_str(&quoted(text)),
            Node::Bare(text) => out.push_str(text),
        }
    }
}

fn quoted(text: &str) -> String {
    serde_json::Value::from(text).to_string()
}

impl<'de> Deserialize<'de> for Node {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Node, D::Error> {
        deserializer.deserialize_any(NodeVisitor)
    }
}

struct NodeVisitor;

impl<'de> Visitor<'de> for NodeVisitor {
    type Value = Node;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("JSON")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Node, A::Error> {
        let mut fields = Vec::new();
        while let Some(field) = map.next_entry()? {
            fields.push(field);
        }
        Ok(Node::Object(fields))
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut sequence: A) -> Result<Node, A::Error> {
        let mut elements = Vec::new();
        while let Some(element) = sequence.next_element()? {
            elements.push(element);
        }
        Ok(Node::Array(elements))
    }

    fn visit_str<E>(self, text: &str) -> Result<Node, E> {
        Ok(Node::Text(text.to_owned()))
    }

    fn visit_bool<E>(self, value: bool) -> Result<Node, E> {
        Ok(Node::Bare(value.to_string()))
    }

    fn visit_i64<E>(self, value: i64) -> Result<Node, E> {
        Ok(Node::Bare(value.to_string()))
    }

    fn visit_u64<E>(self, value: u64) -> Result<Node, E> {
        Ok(Node::Bare(value.to_string()))
    }

    fn visit_f64<E>(self, value: f64) -> Result<Node, E> {
        Ok(Node::Bare(value.to_string()))
    }

    fn visit_unit<E>(self) -> Result<Node, E> {
        Ok(Node::Bare("null".to_owned()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn fields_stay_in_their_order_and_references_are_followed() {
        let text = "{\n  \"z\": {\n    \"a\": -1\n  },\n  \"b\": [\n    true,\n    null,\n    \"\\\"\"\n  ],\n  \"c\": [],\n  \"d\": {}\n}";
        let node = Node::parse(text);
        assert_eq!(node.pretty(), text);
        assert_eq!(node.at("z").at("a").text(), "-1");
        assert_eq!(node.at("b").elements()[2].text(), "\"");
        assert!(node.at("d").is_absent() && node.at("nothing").is_absent());
        let reference = Node::parse("{\"$ref\":\"#/z/a\"}");
        assert_eq!(reference.resolved(&node).text(), "-1");
        assert_eq!(node.resolved(&node), &node);
    }
}
