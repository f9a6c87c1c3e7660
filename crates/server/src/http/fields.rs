//! A request's JSON object, field by field, and its query: nothing is guessed, and what is wrong is named.

use std::fmt;
use std::str::FromStr;

use ledger::Metadata;
use serde::de::{Deserialize, Deserializer, Error, MapAccess, Visitor};
use serde_json::Value;
use serde_json::value::RawValue;
use time::Timestamp;

use super::problem::Problem;

/// The fields of one JSON object. Each is taken once; [`Fields::finish`] refuses those that nobody took.
#[derive(Debug)]
pub(crate) struct Fields(Vec<(String, Sent)>);

/// What a field holds.
#[derive(Debug)]
enum Sent {
    Value(Value),
    /// As it was sent: metadata has rules of its own, which a parsed value does not show any more.
    Raw(Box<RawValue>),
}

/// The one field that is kept as it was sent.
const METADATA: &str = "metadata";

/// What a field that stands twice is marked with, on its way through serde's errors.
const DUPLICATE: &str = "duplicate field: ";

impl Fields {
    /// Reads a body, which must be one JSON object in UTF-8, of no more than serde's 128 levels.
    pub(crate) fn parse(body: &[u8]) -> Result<Fields, Problem> {
        serde_json::from_slice(body).map_err(|error| {
            let text = error.to_string();
            match text.strip_prefix(DUPLICATE) {
                Some(name) => {
                    let name = name.rsplit_once(" at line").map_or(name, |(name, _)| name);
                    let detail = format!("the field `{name}` stands twice; send it once");
                    Problem::new("duplicate_field", detail).field(name)
                }
                None => Problem::new(
                    "malformed_json",
                    format!("the body is not one JSON object in UTF-8: {text}"),
                ),
            }
        })
    }

    /// A text that must be there, read as `T`.
    pub(crate) fn text<T: FromStr<Err: fmt::Display>>(&mut self, name: &str) -> Result<T, Problem> {
        self.optional_text(name)?.ok_or_else(|| missing(name))
    }

    /// A text that may be absent, read as `T`.
    pub(crate) fn optional_text<T: FromStr<Err: fmt::Display>>(
        &mut self,
        name: &str,
    ) -> Result<Option<T>, Problem> {
        match self.take(name) {
            None => Ok(None),
            Some(Value::String(text)) => match text.parse() {
                Ok(value) => Ok(Some(value)),
                Err(error) => Err(invalid(name, format!("`{name}`: {error}"))),
            },
            Some(other) => {
                Err(invalid(name, format!("`{name}` must be a JSON string, not {}", kind(&other))))
            }
        }
    }

    /// An integer that must be there.
    pub(crate) fn integer(&mut self, name: &str) -> Result<i64, Problem> {
        self.optional_integer(name)?.ok_or_else(|| missing(name))
    }

    /// An integer that may be absent.
    pub(crate) fn optional_integer(&mut self, name: &str) -> Result<Option<i64>, Problem> {
        let Some(value) = self.take(name) else { return Ok(None) };
        let number = match &value {
            Value::Number(number) => number.as_i64(),
            Value::Null | Value::Bool(_) | Value::String(_) | Value::Array(_) | Value::Object(_) => None,
        };
        number.map(Some).ok_or_else(|| {
            let detail = format!(
                "`{name}` must be a JSON integer from {} to {}, without a fraction or an exponent, \
                 not {}",
                i64::MIN,
                i64::MAX,
                kind(&value)
            );
            invalid(name, detail)
        })
    }

    /// Microseconds since the Unix epoch, which may be absent.
    pub(crate) fn optional_time(&mut self, name: &str) -> Result<Option<Timestamp>, Problem> {
        let Some(micros) = self.optional_integer(name)? else { return Ok(None) };
        let time = u64::try_from(micros).ok().and_then(Timestamp::from_micros);
        time.map(Some).ok_or_else(|| {
            let max = Timestamp::MAX.micros();
            invalid(
                name,
                format!("`{name}` must be microseconds since 1970-01-01T00:00:00Z, from 0 to {max}"),
            )
        })
    }

    /// `true` or `false`, `false` if it is absent.
    pub(crate) fn flag(&mut self, name: &str) -> Result<bool, Problem> {
        match self.take(name) {
            None => Ok(false),
            Some(Value::Bool(flag)) => Ok(flag),
            Some(other) => {
                Err(invalid(name, format!("`{name}` must be `true` or `false`, not {}", kind(&other))))
            }
        }
    }

    /// What the client attaches.
    pub(crate) fn metadata(&mut self) -> Result<Option<Metadata>, Problem> {
        let Some(index) = self.0.iter().position(|(known, _)| known == METADATA) else { return Ok(None) };
        let text = match self.0.swap_remove(index).1 {
            Sent::Raw(raw) => raw,
            Sent::Value(_) => unreachable!("metadata is kept as it was sent"),
        };
        pipeline::parse_metadata(text.get()).map(Some).map_err(|error| {
            let field = match error.path.as_str() {
                "" => METADATA.to_owned(),
                path => format!("{METADATA}.{}", shortened(path)),
            };
            invalid(&field, error.to_string())
        })
    }

    /// Refuses what nobody took. `known` are the fields that there are.
    pub(crate) fn finish(self, known: &str) -> Result<(), Problem> {
        match self.0.first() {
            None => Ok(()),
            Some((name, _)) => {
                let name = shortened(name);
                let detail = format!("there is no field `{name}` here; the fields are {known}");
                Err(Problem::new("unknown_field", detail).field(&name))
            }
        }
    }

    fn take(&mut self, name: &str) -> Option<Value> {
        let index = self.0.iter().position(|(known, _)| known == name)?;
        match self.0.swap_remove(index).1 {
            Sent::Value(value) => Some(value),
            Sent::Raw(_) => unreachable!("nothing but metadata is kept as it was sent"),
        }
    }
}

impl<'de> Deserialize<'de> for Fields {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Object;
        impl<'de> Visitor<'de> for Object {
            type Value = Fields;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a JSON object")
            }

            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Fields, A::Error> {
                let mut fields: Vec<(String, Sent)> = Vec::new();
                while let Some(name) = map.next_key::<String>()? {
                    if fields.iter().any(|(known, _)| *known == name) {
                        return Err(A::Error::custom(format_args!("{DUPLICATE}{}", shortened(&name))));
                    }
                    if fields.len() >= FIELDS_MAX {
                        return Err(A::Error::custom(format_args!("more than {FIELDS_MAX} fields")));
                    }
                    let sent = match name.as_str() {
                        METADATA => Sent::Raw(map.next_value()?),
                        _ => Sent::Value(map.next_value()?),
                    };
                    fields.push((name, sent));
                }
                Ok(Fields(fields))
            }
        }
        deserializer.deserialize_map(Object)
    }
}

/// More fields than any body has.
const FIELDS_MAX: usize = 32;
/// More parameters than any query has.
const PARAMETERS_MAX: usize = 16;

/// A request's query, parameter by parameter.
#[derive(Debug)]
pub(crate) struct Query(Vec<(String, String)>);

impl Query {
    /// Reads what stands behind the `?`.
    pub(crate) fn parse(query: Option<&str>) -> Result<Query, Problem> {
        let mut parameters: Vec<(String, String)> = Vec::new();
        for (name, value) in form_urlencoded::parse(query.unwrap_or_default().as_bytes()) {
            if parameters.iter().any(|(known, _)| *known == name) {
                let name = shortened(&name);
                let detail = format!("the parameter `{name}` stands twice; send it once");
                return Err(Problem::new("invalid_query", detail).field(&name));
            }
            if parameters.len() >= PARAMETERS_MAX {
                let detail = format!("more than {PARAMETERS_MAX} parameters");
                return Err(Problem::new("invalid_query", detail).field(&shortened(&name)));
            }
            parameters.push((name.into_owned(), value.into_owned()));
        }
        Ok(Query(parameters))
    }

    /// A parameter, read as `T`. `must` says what it has to be.
    pub(crate) fn take<T: FromStr>(&mut self, name: &str, must: &str) -> Result<Option<T>, Problem> {
        let Some(index) = self.0.iter().position(|(known, _)| known == name) else { return Ok(None) };
        let text = self.0.swap_remove(index).1;
        match text.parse() {
            Ok(value) => Ok(Some(value)),
            Err(_) => Err(refused_parameter(name, must)),
        }
    }

    /// Refuses what nobody took. `known` are the parameters that there are.
    pub(crate) fn finish(self, known: &str) -> Result<(), Problem> {
        match self.0.first() {
            None => Ok(()),
            Some((name, _)) => {
                let name = shortened(name);
                let detail = format!("there is no parameter `{name}` here; {known}");
                Err(Problem::new("invalid_query", detail).field(&name))
            }
        }
    }
}

/// The answer to a parameter that is not what it `must` be.
pub(crate) fn refused_parameter(name: &str, must: &str) -> Problem {
    Problem::new("invalid_query", format!("the parameter `{name}` must be {must}")).field(name)
}

fn missing(name: &str) -> Problem {
    Problem::new("missing_field", format!("the field `{name}` is missing")).field(name)
}

fn invalid(name: &str, detail: String) -> Problem {
    Problem::new("invalid_field", detail).field(name)
}

/// What a client sent, short enough to be said back.
fn shortened(text: &str) -> String {
    text.chars().take(64).collect()
}

fn kind(value: &Value) -> &'static str {
    match value {
        Value::Null => "null",
        Value::Bool(_) => "a boolean",
        Value::Number(number) if number.is_f64() => "a number that has one of them or is beyond that",
        Value::Number(_) => "a number beyond that",
        Value::String(_) => "a string",
        Value::Array(_) => "an array",
        Value::Object(_) => "an object",
    }
}

#[cfg(test)]
mod tests {
    use axum::response::IntoResponse;

    use super::super::problem::Code;
    use super::*;

    fn code_of(result: Result<(), Problem>) -> String {
        let code = |problem: Problem| {
            problem.into_response().extensions().get::<Code>().map_or("none", |code| code.0)
        };
        result.map_or_else(code, |()| "fine").to_owned()
    }

    /// Reads a transfer's two kinds of fields.
    fn read(body: &[u8]) -> Result<(), Problem> {
        let mut fields = Fields::parse(body)?;
        fields.text::<String>("name")?;
        fields.integer("amount")?;
        fields.optional_text::<String>("note")?;
        fields.finish("`name`, `amount` and `note`")
    }

    #[test]
    fn what_is_wrong_has_its_code() {
        let deep = format!("{{\"name\":{}1{}}}", "[".repeat(200), "]".repeat(200));
        for (body, code) in [
            (r#"{"name":"a","amount":1}"#, "fine"),
            (r#" {"amount":-9223372036854775808,"name":"","note":"\u0041"} "#, "fine"),
            (r#"{"name":"a","amount":9223372036854775808}"#, "invalid_field"),
            (r#"{"name":"a","amount":1.0}"#, "invalid_field"),
            (r#"{"name":"a","amount":1e2}"#, "invalid_field"),
            (r#"{"name":"a","amount":"1"}"#, "invalid_field"),
            (r#"{"name":"a","amount":null}"#, "invalid_field"),
            (r#"{"name":7,"amount":1}"#, "invalid_field"),
            (r#"{"name":"a","amount":1,"note":null}"#, "invalid_field"),
            (r#"{"amount":1}"#, "missing_field"),
            (r#"{"name":"a"}"#, "missing_field"),
            (r#"{"name":"a","amount":1,"x":[{}]}"#, "unknown_field"),
            (r#"{"name":"a","amount":1,"amount":1}"#, "duplicate_field"),
            (r#"{"name":"a","\u006eame":"b","amount":1}"#, "duplicate_field"),
            (r#"{"name":"a","amount":1}{}"#, "malformed_json"),
            (r#"{"name":"a","amount":1,}"#, "malformed_json"),
            (r#"["name","a"]"#, "malformed_json"),
            ("", "malformed_json"),
            ("null", "malformed_json"),
            (deep.as_str(), "malformed_json"),
        ] {
            assert_eq!(code_of(read(body.as_bytes())), code, "{body}");
        }
        assert_eq!(code_of(read(b"{\"name\":\"\xff\",\"amount\":1}")), "malformed_json");
    }

    #[test]
    fn a_query_is_as_strict() {
        let read = |query: &str| -> Result<(), Problem> {
            let mut query = Query::parse(Some(query))?;
            query.take::<u64>("limit", "a number")?;
            query.finish("the only parameter is `limit`")
        };
        for (query, code) in [
            ("", "fine"),
            ("limit=7", "fine"),
            ("limit=", "invalid_query"),
            ("limit=-1", "invalid_query"),
            ("limit=1&limit=2", "invalid_query"),
            ("limits=1", "invalid_query"),
            ("limit=%FF", "invalid_query"),
            ("a&b&c&d&e&f&g&h&i&j&k&l&m&n&o&p&q", "invalid_query"),
        ] {
            assert_eq!(code_of(read(query)), code, "{query}");
        }
    }
}
