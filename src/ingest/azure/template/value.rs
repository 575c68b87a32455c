//! What an expression of a template comes to.

use std::rc::Rc;

use serde_json::Number;

/// A value, or what stands in the way of one.
#[derive(Clone, Debug)]
pub(super) enum Data {
    Null,
    Bool(bool),
    Integer(i64),
    /// A number that is no integer.
    Fraction(Number),
    Text(Text),
    List(Rc<Vec<Data>>),
    /// Members in their order.
    Object(Rc<Vec<(Rc<str>, Data)>>),
    /// One part of a list or object may be unknown while the others are not.
    Unknown(Rc<Unknown>),
}

/// A text.
#[derive(Clone, Debug)]
pub(super) struct Text {
    pub(super) text: Rc<str>,
    /// Set where the text stands for one that we do not know: `{prefix}-nsg` for the parameter `prefix` without a value.
    /// As a name it is as good as any, since equal texts stand for equal ones; it is never taken as an address, and
    /// never compared with another.
    pub(super) opaque: Option<Rc<Unknown>>,
}

/// Why a value is not known.
#[derive(Debug)]
pub(super) struct Unknown {
    /// The file and JSON pointer of what could not be evaluated.
    pub(super) place: String,
    /// The reason, in lower case, without a full stop.
    pub(super) reason: String,
}

/// A value, or why there is none.
pub(super) type Evaluated = Result<Data, Rc<Unknown>>;

impl Data {
    /// A known text.
    pub(super) fn text(text: impl Into<Rc<str>>) -> Self {
        Self::Text(Text { text: text.into(), opaque: None })
    }

    /// A text that stands for one that is not known.
    pub(super) fn opaque(text: impl Into<Rc<str>>, reason: Rc<Unknown>) -> Self {
        Self::Text(Text { text: text.into(), opaque: Some(reason) })
    }

    pub(super) fn list(items: Vec<Self>) -> Self {
        Self::List(Rc::new(items))
    }

    pub(super) fn object(members: Vec<(Rc<str>, Self)>) -> Self {
        Self::Object(Rc::new(members))
    }

    /// The value, unless it is not known.
    pub(super) fn known(self) -> Evaluated {
        match self {
            Self::Unknown(reason) => Err(reason),
            other => Ok(other),
        }
    }

    /// Why the value is a text that stands for another, if it is.
    pub(super) fn opaque_reason(&self) -> Option<&Rc<Unknown>> {
        match self {
            Self::Text(text) => text.opaque.as_ref(),
            _ => None,
        }
    }

    /// The member of this name, ignoring case as templates do.
    pub(super) fn member(&self, name: &str) -> Option<&Self> {
        match self {
            Self::Object(members) => {
                members.iter().find(|(other, _)| other.eq_ignore_ascii_case(name)).map(|(_, value)| value)
            }
            _ => None,
        }
    }

    /// What kind of value it is, for messages.
    pub(super) fn kind(&self) -> &'static str {
        match self {
            Self::Null => "null",
            Self::Bool(_) => "true or false",
            Self::Integer(_) => "an integer",
            Self::Fraction(_) => "a fraction",
            Self::Text(_) => "a text",
            Self::List(_) => "a list",
            Self::Object(_) => "an object",
            Self::Unknown(_) => "a value that is not known",
        }
    }
}

impl From<serde_json::Value> for Data {
    fn from(value: serde_json::Value) -> Self {
        match value {
            serde_json::Value::Null => Self::Null,
            serde_json::Value::Bool(value) => Self::Bool(value),
            serde_json::Value::Number(number) => Self::from(&number),
            serde_json::Value::String(text) => Self::text(text),
            serde_json::Value::Array(items) => Self::list(items.into_iter().map(Self::from).collect()),
            serde_json::Value::Object(members) => Self::object(
                members.into_iter().map(|(name, value)| (name.into(), Self::from(value))).collect(),
            ),
        }
    }
}

impl From<&Number> for Data {
    fn from(number: &Number) -> Self {
        number.as_i64().map_or_else(|| Self::Fraction(number.clone()), Self::Integer)
    }
}
