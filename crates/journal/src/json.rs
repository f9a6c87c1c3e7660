//! The little JSON that the JSON Lines form needs: exact integers, text, nested objects and arrays; no floats.

use alloc::format;
use alloc::string::{String, ToString};
use alloc::vec::Vec;
use core::fmt;

use serde::de::{Deserialize, Deserializer, Error, MapAccess, SeqAccess, Visitor};
use smol_str::SmolStr;

/// Appends `text` as a JSON string, in quotes. Only what JSON demands is escaped; everything else stays UTF-8.
pub fn write_json_string(text: &str, out: &mut Vec<u8>) {
    out.push(b'"');
    let bytes = text.as_bytes();
    let mut plain_from = 0;
    for (at, byte) in bytes.iter().enumerate() {
        if *byte >= b' ' && *byte != b'"' && *byte != b'\\' {
            continue;
        }
        out.extend_from_slice(&bytes[plain_from..at]);
        plain_from = at + 1;
        match byte {
            b'"' => out.extend_from_slice(b"\\\""),
            b'\\' => out.extend_from_slice(b"\\\\"),
            b'\n' => out.extend_from_slice(b"\\n"),
            b'\r' => out.extend_from_slice(b"\\r"),
            b'\t' => out.extend_from_slice(b"\\t"),
            _ => {
                out.extend_from_slice(b"\\u00");
                write_hex(&[*byte], out);
            }
        }
    }
    out.extend_from_slice(&bytes[plain_from..]);
    out.push(b'"');
}

/// A value in a line.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Json {
    Null,
    Bool(bool),
    Integer(i128),
    Text(SmolStr),
    Array(Vec<Json>),
    Object(Fields),
}

/// The fields of an object in their order, each name once.
pub(crate) type Fields = Vec<(SmolStr, Json)>;

/// Parses one line. The error names the column, 1-based.
pub(crate) fn parse_object(line: &[u8]) -> Result<Fields, String> {
    match serde_json::from_slice::<Json>(line) {
        Ok(Json::Object(fields)) => Ok(fields),
        Ok(_) => Err("a line is an object in braces".to_string()),
        Err(error) => {
            let text = error.to_string();
            // The text is always one line to the parser; its real number is known to the caller.
            let message = text.rsplit_once(" at line ").map_or(text.as_str(), |(message, _)| message);
            Err(format!("{message}, at column {}", error.column()))
        }
    }
}

/// Takes a field out of an object.
pub(crate) fn take(fields: &mut Fields, name: &str) -> Option<Json> {
    // Fields are usually taken in the order in which they stand, and the list is short.
    let at = fields.iter().position(|(field, _)| field == name)?;
    Some(fields.remove(at).1)
}

/// Takes an integer out of an object.
pub(crate) fn take_integer<T: TryFrom<i128>>(fields: &mut Fields, name: &str) -> Result<T, String> {
    integer(name, &take(fields, name).ok_or_else(|| missing(name))?)
}

/// Takes text out of an object.
pub(crate) fn take_text(fields: &mut Fields, name: &str) -> Result<SmolStr, String> {
    text(name, take(fields, name).ok_or_else(|| missing(name))?)
}

/// Takes lower-case hex of exactly `N` bytes out of an object.
pub(crate) fn take_hex<const N: usize>(fields: &mut Fields, name: &str) -> Result<[u8; N], String> {
    let text = take_text(fields, name)?;
    let mut bytes = Vec::with_capacity(N);
    if !read_hex(&text, &mut bytes) {
        return Err(format!("field `{name}` is not lower-case hex"));
    }
    bytes.try_into().map_err(|_| format!("field `{name}` has {} hex digits, expected {}", text.len(), 2 * N))
}

/// An error if a field is left that nobody took.
pub(crate) fn nothing_left(fields: &Fields) -> Result<(), String> {
    fields.first().map_or(Ok(()), |(name, _)| Err(format!("unknown field `{name}`")))
}

pub(crate) fn missing(name: &str) -> String {
    format!("field `{name}` is missing")
}

pub(crate) fn integer<T: TryFrom<i128>>(name: &str, value: &Json) -> Result<T, String> {
    let Json::Integer(integer) = *value else {
        return Err(format!("field `{name}` is not an integer"));
    };
    T::try_from(integer).map_err(|_| format!("field `{name}` is {integer}, which is out of its range"))
}

pub(crate) fn text(name: &str, value: Json) -> Result<SmolStr, String> {
    match value {
        Json::Text(text) => Ok(text),
        Json::Null | Json::Bool(_) | Json::Integer(_) | Json::Array(_) | Json::Object(_) => {
            Err(format!("field `{name}` is not text"))
        }
    }
}

/// Appends the bytes that lower-case hex stands for; false if it is none.
pub(crate) fn read_hex(text: &str, out: &mut Vec<u8>) -> bool {
    let digit = |byte: u8| match byte {
        b'0'..=b'9' => Some(byte - b'0'),
        b'a'..=b'f' => Some(byte - b'a' + 10),
        _ => None,
    };
    let (pairs, rest) = text.as_bytes().as_chunks::<2>();
    for [high, low] in pairs {
        let (Some(high), Some(low)) = (digit(*high), digit(*low)) else {
            return false;
        };
        out.push(high << 4 | low);
    }
    rest.is_empty()
}

/// Appends a value without spaces, the fields of objects in their order.
pub(crate) fn write_json(value: &Json, out: &mut Vec<u8>) {
    match value {
        Json::Null => out.extend_from_slice(b"null"),
        Json::Bool(true) => out.extend_from_slice(b"true"),
        Json::Bool(false) => out.extend_from_slice(b"false"),
        Json::Integer(number) => out.extend_from_slice(number.to_string().as_bytes()),
        Json::Text(text) => write_json_string(text, out),
        Json::Array(elements) => {
            out.push(b'[');
            for (index, element) in elements.iter().enumerate() {
                if index > 0 {
                    out.push(b',');
                }
                write_json(element, out);
            }
            out.push(b']');
        }
        Json::Object(fields) => {
            out.push(b'{');
            for (index, (name, value)) in fields.iter().enumerate() {
                if index > 0 {
                    out.push(b',');
                }
                write_json_string(name, out);
                out.push(b':');
                write_json(value, out);
            }
            out.push(b'}');
        }
    }
}

pub(crate) fn write_hex(bytes: &[u8], out: &mut Vec<u8>) {
    const DIGITS: &[u8; 16] = b"0123456789abcdef";
    for byte in bytes {
        out.extend_from_slice(&[DIGITS[usize::from(byte >> 4)], DIGITS[usize::from(byte & 15)]]);
    }
}

pub(crate) fn write_i64(number: i64, out: &mut Vec<u8>) {
    if number < 0 {
        out.push(b'-');
    }
    write_u64(number.unsigned_abs(), out);
}

pub(crate) fn write_u64(mut number: u64, out: &mut Vec<u8>) {
    let mut digits = [0; 20];
    let mut at = digits.len();
    loop {
        at -= 1;
        digits[at] = b'0' + u8::try_from(number % 10).expect("a digit");
        number /= 10;
        if number == 0 {
            break;
        }
    }
    out.extend_from_slice(&digits[at..]);
}

impl<'de> Deserialize<'de> for Json {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Json, D::Error> {
        deserializer.deserialize_any(JsonVisitor)
    }
}

struct JsonVisitor;

impl<'de> Visitor<'de> for JsonVisitor {
    type Value = Json;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an object, an array, text, an integer of at most 64 bits, a truth value or null")
    }

    fn visit_unit<E: Error>(self) -> Result<Json, E> {
        Ok(Json::Null)
    }

    fn visit_bool<E: Error>(self, value: bool) -> Result<Json, E> {
        Ok(Json::Bool(value))
    }

    fn visit_u64<E: Error>(self, value: u64) -> Result<Json, E> {
        Ok(Json::Integer(value.into()))
    }

    fn visit_i64<E: Error>(self, value: i64) -> Result<Json, E> {
        Ok(Json::Integer(value.into()))
    }

    fn visit_str<E: Error>(self, value: &str) -> Result<Json, E> {
        Ok(Json::Text(SmolStr::new(value)))
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut elements: A) -> Result<Json, A::Error> {
        let mut array = Vec::new();
        while let Some(element) = elements.next_element()? {
            array.push(element);
        }
        Ok(Json::Array(array))
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Json, A::Error> {
        let mut fields = Fields::new();
        while let Some(name) = map.next_key::<Name>()? {
            if fields.iter().any(|(known, _)| *known == name.0) {
                return Err(A::Error::custom(format!("field `{}` stands twice", name.0)));
            }
            let value = map.next_value()?;
            fields.push((name.0, value));
        }
        Ok(Json::Object(fields))
    }
}

/// A field's name, kept without an allocation when it is short.
struct Name(SmolStr);

impl<'de> Deserialize<'de> for Name {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Name, D::Error> {
        struct NameVisitor;
        impl Visitor<'_> for NameVisitor {
            type Value = Name;
            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a field name")
            }
            fn visit_str<E: Error>(self, value: &str) -> Result<Name, E> {
                Ok(Name(SmolStr::new(value)))
            }
        }
        deserializer.deserialize_str(NameVisitor)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use expect_test::{Expect, expect};

    #[test]
    fn strings_are_escaped_as_json_demands() {
        let mut out = Vec::new();
        write_json_string("a\"b\\c\n\r\t\u{1}\u{7f}é\u{2028}", &mut out);
        assert_eq!(String::from_utf8(out).unwrap(), "\"a\\\"b\\\\c\\n\\r\\t\\u0001\u{7f}é\u{2028}\"");
    }

    #[test]
    fn integers_are_exact() {
        let mut out = Vec::new();
        for number in [i64::MIN, -1, 0, 9, 10, i64::MAX] {
            write_i64(number, &mut out);
            out.push(b' ');
        }
        write_u64(u64::MAX, &mut out);
        let expected = "-9223372036854775808 -1 0 9 10 9223372036854775807 18446744073709551615";
        assert_eq!(String::from_utf8(out).unwrap(), expected);
        let line = format!("{{\"a\":{},\"b\":{}}}", u64::MAX, i64::MIN);
        let mut fields = parse_object(line.as_bytes()).unwrap();
        assert_eq!(take_integer(&mut fields, "a"), Ok(u64::MAX));
        assert_eq!(take_integer(&mut fields, "b"), Ok(i64::MIN));
    }

    fn check(line: &str, expect: &Expect) {
        expect.assert_eq(&parse_object(line.as_bytes()).expect_err(line));
    }

    #[test]
    fn what_a_line_can_not_be() {
        check("", &expect!["EOF while parsing a value, at column 0"]);
        check("1", &expect!["a line is an object in braces"]);
        check("{\"a\":1}x", &expect!["trailing characters, at column 8"]);
        check("{\"a\":1,\"a\":2}", &expect!["field `a` stands twice, at column 10"]);
        check("{\"a\":{\"b\":1,\"b\":1}}", &expect!["field `b` stands twice, at column 15"]);
        check(
            "{\"a\":1.0}",
            &expect![
                "invalid type: floating point `1.0`, expected an object, an array, text, an integer of at most 64 bits, a truth value or null, at column 8"
            ],
        );
        check(
            "{\"a\":18446744073709551616}",
            &expect![
                "invalid type: floating point `1.8446744073709552e+19`, expected an object, an array, text, an integer of at most 64 bits, a truth value or null, at column 25"
            ],
        );
        check("[1]", &expect!["a line is an object in braces"]);
    }
}
