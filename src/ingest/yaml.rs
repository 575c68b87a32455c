//! Files in YAML that users write by hand: read strictly, told of with line and column.

use std::fmt;

use serde::Deserialize;
use serde::de::{self, DeserializeOwned, Deserializer, SeqAccess, Visitor};
use serde_saphyr::options::MergeKeyPolicy;
use serde_saphyr::{Error, Location, Spanned};

use super::error::IngestError;

/// Where something stands in the file: line and column, from 1.
#[derive(Clone, Copy, Debug, Eq, Ord, PartialEq, PartialOrd)]
pub(in crate::ingest) struct At {
    line: u64,
    column: u64,
}

impl At {
    /// `facts.yaml:3:11`.
    pub(in crate::ingest) fn place(self, name: &str) -> String {
        format!("{name}:{}:{}", self.line, self.column)
    }
}

impl From<Location> for At {
    fn from(location: Location) -> Self {
        Self { line: location.line(), column: location.column() }
    }
}

/// Where a value stands.
pub(in crate::ingest) fn at<T>(value: &Spanned<T>) -> At {
    value.referenced.into()
}

/// One text or number, or a list of them, as they are written.
#[derive(Debug)]
pub(in crate::ingest) enum Words {
    One(String),
    List(Vec<Spanned<Word>>),
}

/// A text or a number.
#[derive(Debug)]
pub(in crate::ingest) struct Word(pub String);

impl<'de> Deserialize<'de> for Words {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct OneOrMany;

        impl<'de> Visitor<'de> for OneOrMany {
            type Value = Words;

            fn expecting(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
                formatter.write_str("a text or a list of texts")
            }

            fn visit_str<E: de::Error>(self, text: &str) -> Result<Words, E> {
                Ok(Words::One(text.to_owned()))
            }

            fn visit_u64<E: de::Error>(self, number: u64) -> Result<Words, E> {
                Ok(Words::One(number.to_string()))
            }

            fn visit_seq<A: SeqAccess<'de>>(self, mut list: A) -> Result<Words, A::Error> {
                let mut words = Vec::new();
                while let Some(word) = list.next_element()? {
                    words.push(word);
                }
                Ok(Words::List(words))
            }
        }

        deserializer.deserialize_any(OneOrMany)
    }
}

impl<'de> Deserialize<'de> for Word {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct TextOrNumber;

        impl Visitor<'_> for TextOrNumber {
            type Value = Word;

            fn expecting(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
                formatter.write_str("a text")
            }

            fn visit_str<E: de::Error>(self, text: &str) -> Result<Word, E> {
                Ok(Word(text.to_owned()))
            }

            fn visit_u64<E: de::Error>(self, number: u64) -> Result<Word, E> {
                Ok(Word(number.to_string()))
            }
        }

        deserializer.deserialize_any(TextOrNumber)
    }
}

/// Reads the file `name`. An empty one holds the default.
pub(in crate::ingest) fn parse<T: DeserializeOwned>(name: &str, bytes: &[u8]) -> Result<T, IngestError> {
    let text = std::str::from_utf8(bytes).map_err(|error| {
        let line = 1 + bytes[..error.valid_up_to()].iter().filter(|byte| **byte == b'\n').count();
        IngestError::content(format!("{name}:{line}"), "the text is not UTF-8: expected a YAML file")
    })?;
    let options = serde_saphyr::options! {
        with_snippet: false,
        strict_booleans: true,
        merge_keys: MergeKeyPolicy::Error,
    };
    serde_saphyr::from_str_with_options(text, options).map_err(|error| told(name, text, &error))
}

/// An error of the parser in the form of our own: place, value, what was expected.
fn told(name: &str, text: &str, error: &Error) -> IngestError {
    let location = error.location();
    let found = location.map_or_else(String::new, |location| value(text, location.into()));
    let message = match error {
        Error::Unexpected { expected, .. } => format!("`{found}`: expected {}", in_words(expected)),
        Error::NullIntoString { .. } => "nothing stands here: expected a text".to_owned(),
        Error::InvalidBooleanStrict { .. } => format!("`{found}`: expected `true` or `false`"),
        Error::InvalidScalar { ty: "u32", .. } => format!("`{found}`: expected a number"),
        Error::DuplicateMappingKey { .. } => format!("`{found}` stands here a second time: expected it once"),
        Error::MultipleDocuments { .. } => "a second document: expected one".to_owned(),
        Error::MergeKeyNotAllowed { .. } => format!("`{found}`: merge keys are not read: expected a key"),
        other => {
            let message = other.to_string();
            let place = location.map(|at| format!(" at line {}, column {}", at.line(), at.column()));
            let cut = place.and_then(|place| message.strip_suffix(&place).map(str::to_owned));
            cut.unwrap_or(message)
        }
    };
    let place = location.map_or_else(|| name.to_owned(), |location| At::from(location).place(name));
    IngestError::content(place, message)
}

fn in_words(expected: &str) -> &str {
    match expected {
        "sequence start" => "a list",
        "mapping start" => "keys with values",
        other => other,
    }
}

/// What stands at a place: up to the end of the line, or of the key.
fn value(text: &str, at: At) -> String {
    let line = usize::try_from(at.line).ok().and_then(|line| text.lines().nth(line.checked_sub(1)?));
    let before = usize::try_from(at.column.saturating_sub(1)).unwrap_or(usize::MAX);
    let rest: String = line.unwrap_or_default().chars().skip(before).collect();
    rest.split([':', '#']).next().unwrap_or_default().trim().to_owned()
}
