//! The metadata of a transfer: from any JSON text to the one canonical text.

use alloc::borrow::ToOwned;
use alloc::format;
use alloc::string::{String, ToString};
use alloc::vec::Vec;
use core::fmt;

use journal::write_json_string;
use ledger::{METADATA_BYTES_MAX, Metadata};
use serde::de::{DeserializeSeed, Deserializer, MapAccess, SeqAccess, Visitor};

/// How deep objects and arrays may stand in each other; the outermost object counts.
pub const METADATA_DEPTH_MAX: u32 = 4;
/// The longest text that is looked at; the canonical text of anything that is accepted is far shorter, but spaces and
/// escapes may surround it.
const TEXT_BYTES_MAX: usize = 16 * METADATA_BYTES_MAX;

/// Why a text is not metadata.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct MetadataError {
    /// Where in the object: `order.lines[2]`, empty for the whole.
    pub path: String,
    /// What is wrong there, and what to do.
    pub what: String,
}

impl fmt::Display for MetadataError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let MetadataError { path, what } = self;
        if path.is_empty() { write!(f, "metadata: {what}") } else { write!(f, "metadata, `{path}`: {what}") }
    }
}

impl core::error::Error for MetadataError {}

/// Reads a JSON object of strings, integers of 64 bits with sign, truth values, nulls, arrays and objects, at most
/// [`METADATA_DEPTH_MAX`] deep, and brings it into the canonical form: keys sorted by their bytes, no spaces, only the
/// escapes that JSON demands. Equal objects get equal texts.
///
/// # Errors
/// The text is no such object: a key stands twice, a number has a fraction or is too large, it is too deep, or it has more
/// than [`METADATA_BYTES_MAX`] bytes in canonical form.
pub fn parse_metadata(text: &str) -> Result<Metadata, MetadataError> {
    let whole = |what| MetadataError { path: String::new(), what };
    if text.len() > TEXT_BYTES_MAX {
        return Err(whole(format!("{} bytes of text; give it at most {METADATA_BYTES_MAX}", text.len())));
    }
    let mut path = Path::default();
    let json = read(text, &mut path).map_err(|what| path.error(what))?;
    let Json::Object(_) = json else {
        return Err(whole("not a JSON object; put it into braces".to_owned()));
    };
    let mut out = Vec::new();
    write(&json, METADATA_DEPTH_MAX, &mut path, &mut out)?;
    let canonical = String::from_utf8(out).expect("strings stay UTF-8");
    Metadata::from_canonical(&canonical).map_err(|error| whole(error.to_string()))
}

/// Metadata whose text comes from a log, where only the canonical form can stand.
pub(crate) fn canonical_metadata(text: &str) -> Option<Metadata> {
    parse_metadata(text).ok().filter(|metadata| metadata.as_str() == text)
}

/// What a JSON text can hold, faults included, so that they are found where their path is known.
enum Json {
    Null,
    Bool(bool),
    Integer(i128),
    Text(String),
    Array(Vec<Json>),
    Object(Vec<(String, Json)>),
}

#[derive(Default)]
struct Path(String);

impl Path {
    /// Where `what` is wrong.
    fn error(&self, what: impl Into<String>) -> MetadataError {
        MetadataError { path: self.0.clone(), what: what.into() }
    }

    /// Does something one step deeper, and stays there if it fails.
    fn within<T, E>(&mut self, step: &str, inner: impl FnOnce(&mut Path) -> Result<T, E>) -> Result<T, E> {
        let length = self.0.len();
        self.0.push_str(step);
        let done = inner(self)?;
        self.0.truncate(length);
        Ok(done)
    }

    /// The step to a field.
    fn step(&self, key: &str) -> String {
        if self.0.is_empty() { key.to_owned() } else { format!(".{key}") }
    }
}

/// Reads any JSON value; where it fails, `path` tells the place.
fn read(text: &str, path: &mut Path) -> Result<Json, String> {
    let mut deserializer = serde_json::Deserializer::from_str(text);
    Seed(path)
        .deserialize(&mut deserializer)
        .and_then(|json| deserializer.end().map(|()| json))
        .map_err(|error| format!("not valid: {error}"))
}

/// Appends the canonical text of `json`, which may have `depth` levels of arrays and objects.
fn write(json: &Json, depth: u32, path: &mut Path, out: &mut Vec<u8>) -> Result<(), MetadataError> {
    if out.len() > METADATA_BYTES_MAX {
        let what = format!("longer than {METADATA_BYTES_MAX} bytes in canonical form up to here; shorten it");
        return Err(path.error(what));
    }
    match json {
        Json::Null => out.extend_from_slice(b"null"),
        Json::Bool(true) => out.extend_from_slice(b"true"),
        Json::Bool(false) => out.extend_from_slice(b"false"),
        Json::Integer(number) => match i64::try_from(*number) {
            Ok(number) => out.extend_from_slice(number.to_string().as_bytes()),
            Err(_) => {
                return Err(path.error(format!("{number} is out of the 64-bit range; write it as a string")));
            }
        },
        Json::Text(text) => write_json_string(text, out),
        Json::Array(_) | Json::Object(_) if depth == 0 => {
            return Err(path.error(format!("deeper than {METADATA_DEPTH_MAX} levels; make it flatter")));
        }
        Json::Array(elements) => {
            out.push(b'[');
            for (index, element) in elements.iter().enumerate() {
                if index > 0 {
                    out.push(b',');
                }
                path.within(&format!("[{index}]"), |path| write(element, depth - 1, path, out))?;
            }
            out.push(b']');
        }
        Json::Object(fields) => write_object(fields, depth, path, out)?,
    }
    Ok(())
}

fn write_object(
    fields: &[(String, Json)],
    depth: u32,
    path: &mut Path,
    out: &mut Vec<u8>,
) -> Result<(), MetadataError> {
    let mut sorted: Vec<&(String, Json)> = fields.iter().collect();
    sorted.sort_by(|(one, _), (other, _)| one.cmp(other));
    out.push(b'{');
    for (index, (key, value)) in sorted.iter().enumerate() {
        let step = path.step(key);
        if index > 0 {
            if sorted[index - 1].0 == *key {
                return path.within(&step, |path| Err(path.error("the key stands twice; keep one")));
            }
            out.push(b',');
        }
        write_json_string(key, out);
        out.push(b':');
        path.within(&step, |path| write(value, depth - 1, path, out))?;
    }
    out.push(b'}');
    Ok(())
}

/// Reads a value, and keeps the path to it up to date.
struct Seed<'a>(&'a mut Path);

impl<'de> DeserializeSeed<'de> for Seed<'_> {
    type Value = Json;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<Json, D::Error> {
        deserializer.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for Seed<'_> {
    type Value = Json;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a string, an integer of 64 bits, a truth value, null, an array or an object")
    }

    fn visit_unit<E>(self) -> Result<Json, E> {
        Ok(Json::Null)
    }

    fn visit_bool<E>(self, value: bool) -> Result<Json, E> {
        Ok(Json::Bool(value))
    }

    fn visit_u64<E>(self, value: u64) -> Result<Json, E> {
        Ok(Json::Integer(value.into()))
    }

    fn visit_i64<E>(self, value: i64) -> Result<Json, E> {
        Ok(Json::Integer(value.into()))
    }

    fn visit_str<E>(self, value: &str) -> Result<Json, E> {
        Ok(Json::Text(value.to_owned()))
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut elements: A) -> Result<Json, A::Error> {
        let mut array = Vec::new();
        let path = self.0;
        for index in 0.. {
            let step = format!("[{index}]");
            match path.within(&step, |path| elements.next_element_seed(Seed(path)))? {
                Some(element) => array.push(element),
                None => break,
            }
        }
        Ok(Json::Array(array))
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Json, A::Error> {
        let mut fields: Vec<(String, Json)> = Vec::new();
        let path = self.0;
        while let Some(key) = map.next_key::<String>()? {
            let step = path.step(&key);
            let value = path.within(&step, |path| map.next_value_seed(Seed(path)))?;
            fields.push((key, value));
        }
        Ok(Json::Object(fields))
    }
}

#[cfg(test)]
mod tests {
    use expect_test::{Expect, expect};

    use super::*;

    fn check(text: &str, expected: &Expect) {
        let shown = match parse_metadata(text) {
            Ok(metadata) => {
                assert_eq!(canonical_metadata(metadata.as_str()), Some(metadata.clone()));
                metadata.to_string()
            }
            Err(error) => error.to_string(),
        };
        expected.assert_eq(&shown);
    }

    #[test]
    fn equal_objects_have_one_text() {
        check("{ }", &expect!["{}"]);
        check(
            r#" { "b" : [ 1, -2, true, null, { } ], "a": "\u0041\/\n", "Z": 9223372036854775807 } "#,
            &expect![[r#"{"Z":9223372036854775807,"a":"A/\n","b":[1,-2,true,null,{}]}"#]],
        );
        check(r#"{"é":"\ud83d\ude00","e":0}"#, &expect![[r#"{"e":0,"é":"😀"}"#]]);
        check(
            r#"{"zero":-0}"#,
            &expect![
                "metadata, `zero`: not valid: invalid type: floating point `-0.0`, expected a string, an integer of 64 bits, a truth value, null, an array or an object at line 1 column 10"
            ],
        );
    }

    #[test]
    fn a_fault_is_named_with_its_path() {
        check("", &expect!["metadata: not valid: EOF while parsing a value at line 1 column 0"]);
        check("[1]", &expect!["metadata: not a JSON object; put it into braces"]);
        check(
            r#"{"a":1.5}"#,
            &expect![
                "metadata, `a`: not valid: invalid type: floating point `1.5`, expected a string, an integer of 64 bits, a truth value, null, an array or an object at line 1 column 8"
            ],
        );
        check(
            r#"{"a":{"b":[0,9223372036854775808]}}"#,
            &expect![
                "metadata, `a.b[1]`: 9223372036854775808 is out of the 64-bit range; write it as a string"
            ],
        );
        check(r#"{"a":{"b":1,"c":2,"b":3}}"#, &expect!["metadata, `a.b`: the key stands twice; keep one"]);
        check(r#"{"a":{"b":{"c":1}}}"#, &expect![[r#"{"a":{"b":{"c":1}}}"#]]);
        check(r#"{"a":{"b":[[]]}}"#, &expect![[r#"{"a":{"b":[[]]}}"#]]);
        check(
            r#"{"a":{"b":[[[]]]}}"#,
            &expect!["metadata, `a.b[0][0]`: deeper than 4 levels; make it flatter"],
        );
    }

    #[test]
    fn the_canonical_text_is_bounded() {
        let text = |length: usize| format!("{{\"a\":\"{}\"}}", "x".repeat(length));
        let overhead = text(0).len();
        assert_eq!(
            parse_metadata(&text(METADATA_BYTES_MAX - overhead)).unwrap().as_str().len(),
            METADATA_BYTES_MAX
        );
        check(
            &text(METADATA_BYTES_MAX - overhead + 1),
            &expect!["metadata: the metadata has 1025 bytes in canonical form; give it at most 1024"],
        );
        check(&text(TEXT_BYTES_MAX), &expect!["metadata: 16392 bytes of text; give it at most 1024"]);
        let many: Vec<String> = (0..2_000).map(|_| "1".to_owned()).collect();
        check(
            &format!("{{\"a\":[{}]}}", many.join(",")),
            &expect!["metadata, `a[510]`: longer than 1024 bytes in canonical form up to here; shorten it"],
        );
        for text in ["{\"b\":1,\"a\":1}", "{ }", "{\"a\":\"\\u0041\"}", "[]"] {
            assert_eq!(canonical_metadata(text), None, "{text}");
        }
    }
}
