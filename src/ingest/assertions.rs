//! Assertions about a network in a small YAML file: who may reach whom, and who may not.

use std::path::Path;

use serde::Deserialize;
use serde_saphyr::Spanned;

use super::error::IngestError;
use super::source;
use super::yaml::{self, At, Words, at};
use crate::model::verdict::VerdictKind;

/// The most that is read of a file of assertions.
const LIMIT_BYTES: u64 = 16 << 20;

/// The assertions of one file, in its order.
#[derive(Clone, Debug)]
pub struct Assertions {
    /// The assertions.
    pub list: Vec<Assertion>,
    /// Of the file's content.
    pub digest: blake3::Hash,
}

/// One assertion.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Assertion {
    /// Where it stands: file, line and column.
    pub place: String,
    /// What it is called, where it has a name.
    pub name: Option<String>,
    /// What it says.
    pub claim: Claim,
}

/// What an assertion says.
#[derive(Clone, Debug, Eq, PartialEq)]
pub enum Claim {
    /// All of these packets pass.
    Allow(Between),
    /// None of them does.
    Deny(Between),
    /// All of them pass, and nothing else that goes to the same ends.
    AllowOnly(Between),
    /// Nothing passes between any two of these.
    Isolated(Vec<Text>),
    /// All flows of some traffic get this verdict.
    Replay {
        /// Captures, flow logs and flow tables, from the folder of the file.
        inputs: Vec<Text>,
        /// Allow or deny.
        verdict: VerdictKind,
    },
}

/// Packets by their ends and protocols, as they are named.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Between {
    /// Sources; any of them.
    pub from: Vec<Text>,
    /// Destinations.
    pub to: Vec<Text>,
    /// Protocols and ports; all where none is named.
    pub proto: Vec<Text>,
}

/// A text, and where it stands.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Text {
    /// The text.
    pub text: String,
    /// File, line and column.
    pub place: String,
}

/// An assertion as it is written.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Written {
    name: Option<String>,
    allow: Option<Spanned<WrittenBetween>>,
    deny: Option<Spanned<WrittenBetween>>,
    allow_only: Option<Spanned<WrittenBetween>>,
    isolated: Option<Spanned<Words>>,
    replay: Option<Spanned<WrittenReplay>>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct WrittenBetween {
    from: Spanned<Words>,
    to: Spanned<Words>,
    proto: Option<Spanned<Words>>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct WrittenReplay {
    input: Spanned<Words>,
    verdict: VerdictWord,
}

#[derive(Clone, Copy, Debug, Deserialize)]
#[serde(rename_all = "snake_case")]
enum VerdictWord {
    Allow,
    Deny,
}

impl Assertions {
    /// Reads a file, plain or packed.
    ///
    /// # Errors
    ///
    /// Fails if the file cannot be read, and as [`Assertions::parse`] does.
    pub fn read(path: &Path) -> Result<Self, IngestError> {
        Self::parse(&source::shown(path), &source::read(path, LIMIT_BYTES)?)
    }

    /// Takes the content of the file `name`.
    ///
    /// # Errors
    ///
    /// Fails, with line and column, on what is not YAML, on an unknown or missing key, on an assertion that says nothing or
    /// several things, and on a file without any.
    pub fn parse(name: &str, bytes: &[u8]) -> Result<Self, IngestError> {
        let written: Option<Vec<Spanned<Written>>> = yaml::parse(name, bytes)?;
        let written = written.unwrap_or_default();
        if written.is_empty() {
            return Err(IngestError::content(name, "no assertion stands here: expected a list of them"));
        }
        let reader = Reader { name };
        let list = written.into_iter().map(|one| reader.assertion(one)).collect::<Result<_, _>>()?;
        Ok(Self { list, digest: blake3::hash(bytes) })
    }
}

struct Reader<'f> {
    name: &'f str,
}

impl Reader<'_> {
    fn assertion(&self, written: Spanned<Written>) -> Result<Assertion, IngestError> {
        let place = at(&written);
        let Written { name, allow, deny, allow_only, isolated, replay } = written.value;
        let mut claims = Vec::new();
        let between = |written: Option<Spanned<WrittenBetween>>| {
            written.map(|written| self.between(written.value)).transpose()
        };
        claims.extend(between(allow)?.map(Claim::Allow));
        claims.extend(between(deny)?.map(Claim::Deny));
        claims.extend(between(allow_only)?.map(Claim::AllowOnly));
        if let Some(isolated) = isolated {
            let ends = self.texts(&isolated)?;
            if ends.len() < 2 {
                return Err(
                    self.error(at(&isolated), "expected at least two ends that nothing passes between")
                );
            }
            claims.push(Claim::Isolated(ends));
        }
        if let Some(replay) = replay {
            let verdict = match replay.value.verdict {
                VerdictWord::Allow => VerdictKind::Allow,
                VerdictWord::Deny => VerdictKind::Deny,
            };
            claims.push(Claim::Replay { inputs: self.texts(&replay.value.input)?, verdict });
        }
        let (1, Some(claim)) = (claims.len(), claims.pop()) else {
            let message =
                "expected one of `allow`, `deny`, `allow_only`, `isolated` and `replay` in each assertion";
            return Err(self.error(place, message));
        };
        Ok(Assertion { place: place.place(self.name), name, claim })
    }

    fn between(&self, written: WrittenBetween) -> Result<Between, IngestError> {
        let proto = written.proto.map(|proto| self.texts(&proto)).transpose()?;
        Ok(Between {
            from: self.texts(&written.from)?,
            to: self.texts(&written.to)?,
            proto: proto.unwrap_or_default(),
        })
    }

    fn texts(&self, words: &Spanned<Words>) -> Result<Vec<Text>, IngestError> {
        let text = |text: &str, place: At| match text {
            "" => Err(self.error(place, "nothing stands here: expected a text")),
            text => Ok(Text { text: text.to_owned(), place: place.place(self.name) }),
        };
        match &words.value {
            Words::One(word) => Ok(vec![text(word, at(words))?]),
            Words::List(list) if list.is_empty() => {
                Err(self.error(at(words), "the list is empty: expected at least one text"))
            }
            Words::List(list) => list.iter().map(|word| text(&word.value.0, at(word))).collect(),
        }
    }

    fn error(&self, at: At, message: &str) -> IngestError {
        IngestError::content(at.place(self.name), message)
    }
}

#[cfg(test)]
mod tests {
    use super::{Assertions, Claim};

    fn error(text: &str) -> String {
        Assertions::parse("a.yaml", text.as_bytes()).expect_err("it is refused").to_string()
    }

    #[test]
    fn a_text_does_for_a_list() {
        let text = "- name: db\n  deny: {from: Internet, to: [snet-db, 10.0.0.0/24]}\n- isolated: [a, b]\n";
        let read = Assertions::parse("a.yaml", text.as_bytes()).expect("it is well-formed");
        assert_eq!(read.list[0].name.as_deref(), Some("db"));
        let Claim::Deny(between) = &read.list[0].claim else { panic!("{:?}", read.list[0]) };
        assert_eq!((between.from.len(), between.to.len(), between.proto.len()), (1, 2, 0));
        assert_eq!(between.to[1].place, "a.yaml:2:40");
        assert_eq!(read.list[1].place, "a.yaml:3:3");
    }

    #[test]
    fn what_says_nothing_or_too_much_is_refused() {
        let one_of =
            "expected one of `allow`, `deny`, `allow_only`, `isolated` and `replay` in each assertion";
        assert_eq!(error("- name: nothing\n"), format!("a.yaml:1:3: {one_of}"));
        let both = "- allow: {from: a, to: b}\n  deny: {from: a, to: b}\n";
        assert_eq!(error(both), format!("a.yaml:1:3: {one_of}"));
        assert!(error("").starts_with("a.yaml: no assertion stands here"));
        assert!(error("- isolated: [a]\n").contains("at least two ends"));
        assert!(error("- allow: {from: a, too: b}\n").contains("too"));
        assert!(error("- replay: {input: a.pcap, verdict: maybe}\n").contains("maybe"));
    }
}
