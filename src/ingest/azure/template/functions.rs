//! The functions of template expressions (JSON-8).

use std::rc::Rc;

use super::evaluate::{Scope, stand_in, unknown};
use super::expression::Expression;
use super::ids;
use super::value::{Data, Evaluated, Text, Unknown};
use crate::ingest::azure::node::{Node, shorten};

/// Most items that `range` makes: what Azure takes.
const MOST_ITEMS: i64 = 10_000;

/// Functions whose result with a text that is not known is another such text.
const TEXT_TO_TEXT: [&str; 6] = ["substring", "replace", "padleft", "take", "skip", "trim"];

/// Functions that join texts, ask for no more than equality, or put values in lists: they take a text that stands for
/// another as it is.
const TRANSPARENT: [&str; 17] = [
    "concat",
    "format",
    "tolower",
    "toupper",
    "string",
    "uniquestring",
    "guid",
    "createarray",
    "createobject",
    "equals",
    "array",
    "resourceid",
    "subscriptionresourceid",
    "tenantresourceid",
    "extensionresourceid",
    "first",
    "last",
];

impl<'a> Scope<'a> {
    /// Evaluates a function.
    pub(super) fn call(&self, name: &str, arguments: &[Expression], at: Node<'a>) -> Evaluated {
        let folded = name.to_ascii_lowercase();
        let call = Call { scope: self, name, at };
        // These evaluate no more of their arguments than they need.
        match folded.as_str() {
            "if" => {
                let [condition, yes, no] = call.exactly(arguments)?;
                let chosen = if call.flag(&self.evaluate(condition, at)?)? { yes } else { no };
                return self.evaluate(chosen, at);
            }
            "and" => return call.any_is(arguments, false),
            "or" => return call.any_is(arguments, true),
            "coalesce" => {
                for argument in arguments {
                    let value = self.evaluate(argument, at)?;
                    if !matches!(value, Data::Null) {
                        return Ok(value);
                    }
                }
                return Ok(Data::Null);
            }
            "reference" | "listkeys" | "list" => {
                return Err(unknown(at, format!("`{name}` asks the running service, which is not there")));
            }
            _ => {}
        }
        let mut values = Vec::with_capacity(arguments.len());
        for argument in arguments {
            values.push(self.evaluate(argument, at)?);
        }
        if let Some(reason) = values.iter().find_map(Data::opaque_reason) {
            if TEXT_TO_TEXT.contains(&folded.as_str()) {
                return Ok(Data::opaque(stand_in(&call.spelt(&values)), Rc::clone(reason)));
            }
            if !TRANSPARENT.contains(&folded.as_str()) {
                return Err(Rc::clone(reason));
            }
        }
        call.apply(&folded, &values)
    }
}

/// One call of a function.
struct Call<'c, 'a> {
    scope: &'c Scope<'a>,
    /// As the template spells it.
    name: &'c str,
    at: Node<'a>,
}

impl Call<'_, '_> {
    fn apply(&self, name: &str, values: &[Data]) -> Evaluated {
        match name {
            "parameters" => self.scope.parameter(self.text(&self.exactly::<1, _>(values)?[0])?, self.at),
            "variables" => self.scope.variable(self.text(&self.exactly::<1, _>(values)?[0])?, self.at),
            "copyindex" => self.copy_index(values),
            "subscription" => Ok(self.subscription()),
            "resourcegroup" => Ok(self.resource_group()),
            "resourceid" => ids::resource_id(self.scope, values, self.at),
            "subscriptionresourceid" => ids::subscription_resource_id(self.scope, values, self.at),
            "tenantresourceid" => ids::below("", values, self.at),
            "extensionresourceid" => match values {
                [base, rest @ ..] => ids::below(self.text(base)?, rest, self.at),
                [] => Err(self.wrong("an ID, a type and names")),
            },
            "uniquestring" | "guid" => Ok(Data::opaque(
                stand_in(&self.spelt(values)),
                unknown(self.at, format!("what `{}` makes is known to Azure alone", self.name)),
            )),
            "true" => Ok(Data::Bool(true)),
            "false" => Ok(Data::Bool(false)),
            "null" => Ok(Data::Null),
            "not" => Ok(Data::Bool(!self.flag(&self.exactly::<1, _>(values)?[0])?)),
            "equals" => {
                let [one, two] = self.exactly(values)?;
                Ok(Data::Bool(self.same(one, two)?))
            }
            "less" => self.compare(values, |one, two| one < two),
            "lessorequals" => self.compare(values, |one, two| one <= two),
            "greater" => self.compare(values, |one, two| one > two),
            "greaterorequals" => self.compare(values, |one, two| one >= two),
            "add" => self.reckon(values, i64::checked_add),
            "sub" => self.reckon(values, i64::checked_sub),
            "mul" => self.reckon(values, i64::checked_mul),
            "div" => self.reckon(values, i64::checked_div),
            "mod" => self.reckon(values, i64::checked_rem),
            "min" => self.extreme(values, Iterator::min),
            "max" => self.extreme(values, Iterator::max),
            "int" => self.int(values),
            "bool" => self.bool(values),
            "string" => self.string(values),
            "json" => {
                let text = self.text(&self.exactly::<1, _>(values)?[0])?;
                self.scope.charge(text.len(), self.at)?;
                let parsed: Result<serde_json::Value, _> = serde_json::from_str(text);
                parsed.map(Data::from).map_err(|error| unknown(self.at, format!("`json`: not JSON: {error}")))
            }
            "cidrsubnet" => self.cidr_subnet(values),
            _ => self.apply_to_texts(name, values),
        }
    }

    /// The functions of texts, lists and objects.
    fn apply_to_texts(&self, name: &str, values: &[Data]) -> Evaluated {
        match name {
            "concat" => self.concat(values),
            "format" => self.format(values),
            "tolower" => self.respelt(values, str::to_lowercase),
            "toupper" => self.respelt(values, str::to_uppercase),
            "trim" => self.respelt(values, |text| text.trim().to_owned()),
            "substring" => self.substring(values),
            "replace" => {
                let [text, old, new] = self.exactly(values)?;
                let (text, old, new) = (self.text(text)?, self.text(old)?, self.text(new)?);
                if old.is_empty() {
                    return Err(self.wrong("a text to be replaced"));
                }
                let length = text.matches(old).count().saturating_mul(new.len()).saturating_add(text.len());
                self.scope.charge(length / 64, self.at)?;
                self.scope.text(text.replace(old, new), self.at)
            }
            "padleft" => self.pad_left(values),
            "split" => self.split(values),
            "startswith" | "endswith" => {
                let [text, part] = self.exactly(values)?;
                let (text, part) = (self.text(text)?.to_lowercase(), self.text(part)?.to_lowercase());
                let is = if name == "startswith" { text.starts_with(&part) } else { text.ends_with(&part) };
                Ok(Data::Bool(is))
            }
            "contains" => self.contains(values),
            "empty" => Ok(Data::Bool(match &self.exactly::<1, _>(values)?[0] {
                Data::Null => true,
                Data::Text(text) => text.text.is_empty(),
                Data::List(items) => items.is_empty(),
                Data::Object(members) => members.is_empty(),
                _ => return Err(self.wrong("a text, a list or an object")),
            })),
            "length" => {
                let length = match &self.exactly::<1, _>(values)?[0] {
                    Data::Text(text) => text.text.encode_utf16().count(),
                    Data::List(items) => items.len(),
                    Data::Object(members) => members.len(),
                    _ => return Err(self.wrong("a text, a list or an object")),
                };
                i64::try_from(length).map(Data::Integer).map_err(|_| self.wrong("something shorter"))
            }
            "first" => self.end(values, <[Data]>::first, |text| text.chars().next()),
            "last" => self.end(values, <[Data]>::last, |text| text.chars().next_back()),
            "take" | "skip" => self.cut(name == "take", values),
            "range" => {
                let [start, count] = self.exactly(values)?;
                let (start, count) = (self.integer(start)?, self.integer(count)?);
                let end = start.checked_add(count).filter(|_| (0..=MOST_ITEMS).contains(&count));
                let end = end.ok_or_else(|| self.wrong("a count from 0 to 10000"))?;
                self.scope.charge(usize::try_from(count).unwrap_or_default(), self.at)?;
                Ok(Data::list((start..end).map(Data::Integer).collect()))
            }
            "createarray" => Ok(Data::list(values.to_vec())),
            "array" => {
                let [value] = self.exactly(values)?;
                Ok(if let Data::List(_) = value { value.clone() } else { Data::list(vec![value.clone()]) })
            }
            "createobject" => {
                let mut members: Vec<(Rc<str>, Data)> = Vec::new();
                for pair in values.chunks(2) {
                    let [key, value] = pair else { return Err(self.wrong("names and values in pairs")) };
                    let key = self.text(key)?;
                    self.scope.charge(members.len() / 16, self.at)?;
                    members.retain(|(other, _)| !other.eq_ignore_ascii_case(key));
                    members.push((key.into(), value.clone()));
                }
                Ok(Data::object(members))
            }
            "union" => self.union(values),
            _ => Err(unknown(self.at, format!("the function `{}` is not evaluated", shorten(self.name)))),
        }
    }

    /// The error of arguments that are not what the function takes.
    fn wrong(&self, expected: &str) -> Rc<Unknown> {
        unknown(self.at, format!("`{}` has other arguments than it takes: expected {expected}", self.name))
    }

    fn exactly<'v, const N: usize, T>(&self, values: &'v [T]) -> Result<&'v [T; N], Rc<Unknown>> {
        values.try_into().map_err(|_| {
            let count = values.len();
            unknown(self.at, format!("`{}` has {count} arguments: expected {N}", self.name))
        })
    }

    fn text<'v>(&self, value: &'v Data) -> Result<&'v str, Rc<Unknown>> {
        match value {
            Data::Text(text) => Ok(&text.text),
            other => Err(unknown(self.at, format!("`{}` has {}: expected a text", self.name, other.kind()))),
        }
    }

    fn integer(&self, value: &Data) -> Result<i64, Rc<Unknown>> {
        match value {
            Data::Integer(number) => Ok(*number),
            other => {
                Err(unknown(self.at, format!("`{}` has {}: expected an integer", self.name, other.kind())))
            }
        }
    }

    fn flag(&self, value: &Data) -> Result<bool, Rc<Unknown>> {
        match value {
            Data::Bool(value) => Ok(*value),
            other => Err(other.opaque_reason().cloned().unwrap_or_else(|| {
                unknown(self.at, format!("`{}` has {}: expected true or false", self.name, other.kind()))
            })),
        }
    }

    /// The call as it would be spelt with these values: the same for the same call.
    fn spelt(&self, values: &[Data]) -> String {
        let mut spelt = format!("{}(", self.name.to_ascii_lowercase());
        for (position, value) in values.iter().enumerate() {
            if position > 0 {
                spelt.push_str(", ");
            }
            match value {
                Data::Text(text) => spelt.push_str(&text.text),
                Data::Integer(number) => spelt.push_str(&number.to_string()),
                other => spelt.push_str(other.kind()),
            }
        }
        spelt.push(')');
        spelt
    }

    /// `true` if one argument is `wanted`: what comes after it is not asked, and unknown ones before it are no matter.
    fn any_is(&self, arguments: &[Expression], wanted: bool) -> Evaluated {
        let mut doubt = None;
        for argument in arguments {
            match self.scope.evaluate(argument, self.at).and_then(|value| self.flag(&value)) {
                Ok(value) if value == wanted => return Ok(Data::Bool(wanted)),
                Ok(_) => {}
                Err(reason) => doubt = doubt.or(Some(reason)),
            }
        }
        doubt.map_or(Ok(Data::Bool(!wanted)), Err)
    }

    fn copy_index(&self, values: &[Data]) -> Evaluated {
        let (name, offset) = match values {
            [] => (None, 0),
            [Data::Text(name)] => (Some(&name.text), 0),
            [Data::Integer(offset)] => (None, *offset),
            [Data::Text(name), Data::Integer(offset)] => (Some(&name.text), *offset),
            _ => return Err(self.wrong("a loop's name, an offset, or both")),
        };
        let loops = self.scope.loops.borrow();
        let round = loops.iter().rev().find(|round| match name {
            Some(name) => round.name.eq_ignore_ascii_case(name),
            None => round.of_resource,
        });
        let round =
            round.ok_or_else(|| unknown(self.at, "`copyIndex` stands in no loop that it could mean"))?;
        let index = round.index.checked_add(offset).ok_or_else(|| self.wrong("a small offset"))?;
        Ok(Data::Integer(index))
    }

    fn subscription(&self) -> Data {
        let id = &self.scope.subscription;
        let other = |member: &str| self.of_azure(&format!("subscription().{member}"));
        Data::object(vec![
            ("id".into(), Data::text(format!("/subscriptions/{id}"))),
            ("subscriptionId".into(), Data::text(id.as_str())),
            ("tenantId".into(), other("tenantId")),
            ("displayName".into(), other("displayName")),
        ])
    }

    fn resource_group(&self) -> Data {
        let group = &self.scope.resource_group;
        let id = format!("/subscriptions/{}/resourceGroups/{group}", self.scope.subscription);
        Data::object(vec![
            ("id".into(), Data::text(id)),
            ("name".into(), Data::text(group.as_str())),
            ("location".into(), self.of_azure("resourceGroup().location")),
        ])
    }

    fn of_azure(&self, what: &str) -> Data {
        let reason = unknown(self.at, format!("`{what}` is nothing that a template says"));
        Data::opaque(stand_in(what), reason)
    }

    /// Whether two values are the same. Texts that stand for others are the same if they are spelt so, and else unknown.
    fn same(&self, one: &Data, two: &Data) -> Result<bool, Rc<Unknown>> {
        self.scope.charge(1, self.at)?;
        Ok(match (one, two) {
            (Data::Unknown(reason), _) | (_, Data::Unknown(reason)) => return Err(Rc::clone(reason)),
            (Data::Null, Data::Null) => true,
            (Data::Bool(one), Data::Bool(two)) => one == two,
            (Data::Integer(one), Data::Integer(two)) => one == two,
            (Data::Fraction(one), Data::Fraction(two)) => one == two,
            (Data::Text(one), Data::Text(two)) => {
                let same = one.text == two.text;
                match one.opaque.as_ref().or(two.opaque.as_ref()) {
                    Some(reason) if !same || one.opaque.is_some() != two.opaque.is_some() => {
                        return Err(Rc::clone(reason));
                    }
                    _ => same,
                }
            }
            (Data::List(one), Data::List(two)) => {
                if one.len() != two.len() {
                    return Ok(false);
                }
                for (one, two) in one.iter().zip(two.iter()) {
                    if !self.same(one, two)? {
                        return Ok(false);
                    }
                }
                true
            }
            (Data::Object(one), Data::Object(members)) => {
                if one.len() != members.len() {
                    return Ok(false);
                }
                for (name, value) in one.iter() {
                    self.scope.charge(members.len() / 16, self.at)?;
                    match two.member(name) {
                        Some(other) if self.same(value, other)? => {}
                        _ => return Ok(false),
                    }
                }
                true
            }
            (one, two) => match one.opaque_reason().or(two.opaque_reason()) {
                Some(reason) => return Err(Rc::clone(reason)),
                None => false,
            },
        })
    }

    fn compare(&self, values: &[Data], holds: fn(i64, i64) -> bool) -> Evaluated {
        let [one, two] = self.exactly(values)?;
        Ok(Data::Bool(holds(self.integer(one)?, self.integer(two)?)))
    }

    fn reckon(&self, values: &[Data], with: fn(i64, i64) -> Option<i64>) -> Evaluated {
        let [one, two] = self.exactly(values)?;
        let result = with(self.integer(one)?, self.integer(two)?);
        result.map(Data::Integer).ok_or_else(|| self.wrong("numbers with a result of 64 bits"))
    }

    fn extreme(&self, values: &[Data], of: fn(std::vec::IntoIter<i64>) -> Option<i64>) -> Evaluated {
        let items = if let [Data::List(items)] = values { items.as_slice() } else { values };
        let numbers: Vec<i64> = items.iter().map(|item| self.integer(item)).collect::<Result<_, _>>()?;
        of(numbers.into_iter()).map(Data::Integer).ok_or_else(|| self.wrong("at least one integer"))
    }

    fn int(&self, values: &[Data]) -> Evaluated {
        match &self.exactly::<1, _>(values)?[0] {
            Data::Text(text) => {
                let number = text.text.trim().parse().map(Data::Integer);
                number.map_err(|_| unknown(self.at, format!("`{}` is no integer", shorten(&text.text))))
            }
            value => self.integer(value).map(Data::Integer),
        }
    }

    fn bool(&self, values: &[Data]) -> Evaluated {
        Ok(Data::Bool(match &self.exactly::<1, _>(values)?[0] {
            Data::Bool(value) => *value,
            Data::Integer(number) => *number != 0,
            Data::Text(text) if text.text.eq_ignore_ascii_case("true") => true,
            Data::Text(text) if text.text.eq_ignore_ascii_case("false") => false,
            _ => return Err(self.wrong("true or false")),
        }))
    }

    /// How a value is spelt in a text. How Azure spells others than texts and integers is not documented.
    fn spelling(&self, value: &Data) -> Result<Text, Rc<Unknown>> {
        match value {
            Data::Text(text) => Ok(text.clone()),
            Data::Integer(number) => Ok(Text { text: number.to_string().into(), opaque: None }),
            _ => Err(self.wrong("texts and integers")),
        }
    }

    fn string(&self, values: &[Data]) -> Evaluated {
        self.spelling(&self.exactly::<1, _>(values)?[0]).map(Data::Text)
    }

    /// The text; it stands for another if one of its parts does.
    fn joined(&self, text: String, opaque: Option<Rc<Unknown>>) -> Evaluated {
        match self.scope.text(text, self.at)? {
            Data::Text(Text { text, .. }) => Ok(Data::Text(Text { text, opaque })),
            other => Ok(other),
        }
    }

    fn concat(&self, values: &[Data]) -> Evaluated {
        if let Some(Data::List(_)) = values.first() {
            let mut all = Vec::new();
            for value in values {
                let Data::List(items) = value else { return Err(self.wrong("only lists, or only texts")) };
                self.scope.charge(items.len(), self.at)?;
                all.extend(items.iter().cloned());
            }
            return Ok(Data::list(all));
        }
        let (mut text, mut opaque) = (String::new(), None);
        for value in values {
            let part = self.spelling(value)?;
            text.push_str(&part.text);
            opaque = opaque.or(part.opaque);
        }
        self.joined(text, opaque)
    }

    fn format(&self, values: &[Data]) -> Evaluated {
        let [pattern, values @ ..] = values else { return Err(self.wrong("a pattern")) };
        if let Some(reason) = pattern.opaque_reason() {
            return Err(Rc::clone(reason));
        }
        let (mut text, mut opaque) = (String::new(), None);
        let mut rest = self.text(pattern)?;
        while let Some(position) = rest.find(['{', '}']) {
            text.push_str(&rest[..position]);
            let mark = &rest[position..=position];
            rest = &rest[position + 1..];
            if let Some(after) = rest.strip_prefix(mark) {
                text.push_str(mark);
                rest = after;
                continue;
            }
            let (number, after) = rest
                .split_once('}')
                .filter(|_| mark == "{")
                .ok_or_else(|| self.wrong("`{0}` and the like"))?;
            let value = number.trim().parse().ok().and_then(|position: usize| values.get(position));
            let part =
                self.spelling(value.ok_or_else(|| self.wrong("a value for each `{0}`, as it stands"))?)?;
            text.push_str(&part.text);
            opaque = opaque.or(part.opaque);
            self.scope.charge(1 + part.text.len() / 64, self.at)?;
            rest = after;
        }
        text.push_str(rest);
        self.joined(text, opaque)
    }

    fn respelt(&self, values: &[Data], with: fn(&str) -> String) -> Evaluated {
        let [Data::Text(text)] = values else { return Err(self.wrong("a text")) };
        self.joined(with(&text.text), text.opaque.clone())
    }

    fn substring(&self, values: &[Data]) -> Evaluated {
        let (text, start, length) = match values {
            [text, start] => (self.text(text)?, self.integer(start)?, None),
            [text, start, length] => (self.text(text)?, self.integer(start)?, Some(self.integer(length)?)),
            _ => return Err(self.wrong("a text, a start and a length")),
        };
        let letters: Vec<char> = text.chars().collect();
        let length = length.unwrap_or_else(|| (letters.len() as i64).saturating_sub(start));
        let part = usize::try_from(start)
            .ok()
            .zip(usize::try_from(length).ok())
            .and_then(|(start, length)| letters.get(start..start.checked_add(length)?));
        self.scope.text(part.ok_or_else(|| self.wrong("a part of the text"))?.iter().collect(), self.at)
    }

    fn pad_left(&self, values: &[Data]) -> Evaluated {
        let (value, width, pad) = match values {
            [value, width] => (value, width, " "),
            [value, width, pad] => (value, width, self.text(pad)?),
            _ => return Err(self.wrong("a value, a width and a letter")),
        };
        let text = self.spelling(value)?.text;
        let width = usize::try_from(self.integer(width)?).ok().filter(|width| *width <= 10_000);
        let width =
            width.filter(|_| pad.chars().count() == 1).ok_or_else(|| self.wrong("a width and one letter"))?;
        let missing = width.saturating_sub(text.chars().count());
        self.scope.text(format!("{}{text}", pad.repeat(missing)), self.at)
    }

    fn split(&self, values: &[Data]) -> Evaluated {
        let [text, marks] = self.exactly(values)?;
        let marks: Vec<&str> = match marks {
            Data::List(items) => items.iter().map(|item| self.text(item)).collect::<Result<_, _>>()?,
            one => vec![self.text(one)?],
        };
        if marks.is_empty() || marks.iter().any(|mark| mark.is_empty()) {
            return Err(self.wrong("a text to split at"));
        }
        let mut parts = Vec::new();
        let mut rest = self.text(text)?;
        self.scope.charge(rest.len() * marks.len(), self.at)?;
        let next = |rest: &str| {
            let found = marks.iter().filter_map(|mark| rest.find(mark).map(|start| (start, mark.len())));
            found.min_by_key(|(start, length)| (*start, usize::MAX - length))
        };
        while let Some((start, length)) = next(rest) {
            parts.push(Data::text(&rest[..start]));
            self.scope.charge(1 + rest.len() / 64, self.at)?;
            rest = &rest[start + length..];
        }
        parts.push(Data::text(rest));
        Ok(Data::list(parts))
    }

    fn contains(&self, values: &[Data]) -> Evaluated {
        let [container, item] = self.exactly(values)?;
        Ok(Data::Bool(match container {
            Data::Text(text) => text.text.contains(&*self.spelling(item)?.text),
            Data::Object(_) => container.member(self.text(item)?).is_some(),
            Data::List(items) => {
                let mut doubt = None;
                for one in items.iter() {
                    match self.same(one, item) {
                        Ok(true) => return Ok(Data::Bool(true)),
                        Ok(false) => {}
                        Err(reason) => doubt = Some(reason),
                    }
                }
                if let Some(reason) = doubt {
                    return Err(reason);
                }
                false
            }
            _ => return Err(self.wrong("a text, a list or an object")),
        }))
    }

    fn end(
        &self,
        values: &[Data],
        of_list: fn(&[Data]) -> Option<&Data>,
        of_text: fn(&str) -> Option<char>,
    ) -> Evaluated {
        match &self.exactly::<1, _>(values)?[0] {
            Data::List(items) => {
                of_list(items).cloned().ok_or_else(|| self.wrong("a list with items"))?.known()
            }
            Data::Text(Text { opaque: Some(reason), .. }) => Err(Rc::clone(reason)),
            Data::Text(text) => Ok(Data::text(of_text(&text.text).map(String::from).unwrap_or_default())),
            _ => Err(self.wrong("a list or a text")),
        }
    }

    /// The first items or letters, or those after them.
    fn cut(&self, take: bool, values: &[Data]) -> Evaluated {
        let [whole, count] = self.exactly(values)?;
        let count = usize::try_from(self.integer(count)?.max(0)).unwrap_or(usize::MAX);
        match whole {
            Data::List(items) => {
                let (start, end) = items.split_at(count.min(items.len()));
                self.scope.charge(items.len(), self.at)?;
                Ok(Data::list(if take { start } else { end }.to_vec()))
            }
            Data::Text(text) => {
                let letters = text.text.chars();
                let part = if take { letters.take(count).collect() } else { letters.skip(count).collect() };
                self.scope.text(part, self.at)
            }
            _ => Err(self.wrong("a list or a text")),
        }
    }

    fn union(&self, values: &[Data]) -> Evaluated {
        let [first, rest @ ..] = values else { return Err(self.wrong("lists or objects")) };
        let mut all = first.clone();
        for value in rest {
            all = self.both(&all, value)?;
        }
        Ok(all)
    }

    /// Of lists each item once; of objects the later value of each member, objects in objects joined in turn.
    fn both(&self, one: &Data, two: &Data) -> Evaluated {
        match (one, two) {
            (Data::List(one), Data::List(two)) => {
                let mut all: Vec<Data> = Vec::new();
                for item in one.iter().chain(two.iter()) {
                    let mut known = false;
                    for other in &all {
                        known = known || self.same(other, item)?;
                    }
                    if !known {
                        all.push(item.clone());
                    }
                }
                Ok(Data::list(all))
            }
            (Data::Object(one), Data::Object(two)) => {
                let mut all = one.to_vec();
                for (name, value) in two.iter() {
                    self.scope.charge(1 + all.len() / 16, self.at)?;
                    match all.iter_mut().find(|(other, _)| other.eq_ignore_ascii_case(name)) {
                        Some((_, earlier)) => {
                            let objects = matches!((&*earlier, value), (Data::Object(_), Data::Object(_)));
                            *earlier = if objects { self.both(earlier, value)? } else { value.clone() };
                        }
                        None => all.push((Rc::clone(name), value.clone())),
                    }
                }
                Ok(Data::object(all))
            }
            _ => Err(self.wrong("only lists, or only objects")),
        }
    }

    /// The block of `index` among the blocks of a length in a network.
    fn cidr_subnet(&self, values: &[Data]) -> Evaluated {
        let [network, length, index] = self.exactly(values)?;
        let outer: ipnet::IpNet =
            self.text(network)?.parse().map_err(|_| self.wrong("a CIDR block, a length and an index"))?;
        let (length, index) = (self.integer(length)?, self.integer(index)?);
        let length = u8::try_from(length).ok().filter(|length| *length >= outer.prefix_len());
        let length = length.filter(|length| *length <= outer.max_prefix_len());
        let outside = || self.wrong("a longer prefix, and an index of a block in the network");
        let length = length.ok_or_else(outside)?;
        let index = u128::try_from(index).map_err(|_| outside())?;
        // A shift by all 128 bits would be none.
        let count = 1_u128.checked_shl(u32::from(length - outer.prefix_len())).unwrap_or(u128::MAX);
        if index >= count {
            return Err(outside());
        }
        let shift = u32::from(outer.max_prefix_len() - length);
        let offset = index.checked_shl(shift).unwrap_or(0);
        Ok(Data::text(match outer.network() {
            std::net::IpAddr::V4(address) => {
                let start = u128::from(u32::from(address)) + offset;
                let start = u32::try_from(start).map_err(|_| outside())?;
                format!("{}/{length}", std::net::Ipv4Addr::from(start))
            }
            std::net::IpAddr::V6(address) => {
                let start = u128::from(address).checked_add(offset).ok_or_else(outside)?;
                format!("{}/{length}", std::net::Ipv6Addr::from(start))
            }
        }))
    }
}
