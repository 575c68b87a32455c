//! The grammar of template expressions (JSON-8): `[concat(parameters('name'), '/', variables('list')[0].item)]`.

/// Calls, indices and brackets in each other, beyond which an expression is refused: people write ten.
const MOST_NESTED: usize = 64;

/// A parsed expression.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(super) enum Expression {
    Text(String),
    Integer(i64),
    /// A function, as it is spelt, and its arguments.
    Call(String, Vec<Expression>),
    /// `.name` of a value.
    Member(Box<Expression>, String),
    /// `[index]` of a value.
    Index(Box<Expression>, Box<Expression>),
}

/// What a text of a template is.
#[derive(Debug, Eq, PartialEq)]
pub(super) enum Written<'t> {
    /// Itself; `[[` at its start stands for `[`.
    Literal(&'t str),
    /// The inside of `[...]`.
    Expression(&'t str),
}

/// Tells an expression from a text that stands for itself.
pub(super) fn written(text: &str) -> Written<'_> {
    match text.strip_prefix('[') {
        Some(rest) if rest.starts_with('[') => Written::Literal(rest),
        Some(rest) => rest.strip_suffix(']').map_or(Written::Literal(text), Written::Expression),
        None => Written::Literal(text),
    }
}

/// Parses the inside of `[...]`; fails with what was expected where.
pub(super) fn parse(text: &str) -> Result<Expression, String> {
    let mut parser = Parser { text, position: 0, nested: 0 };
    let expression = parser.value()?;
    parser.blanks();
    if parser.rest().is_empty() { Ok(expression) } else { Err(parser.expected("the end of the expression")) }
}

struct Parser<'t> {
    text: &'t str,
    position: usize,
    nested: usize,
}

impl<'t> Parser<'t> {
    fn rest(&self) -> &'t str {
        &self.text[self.position..]
    }

    fn blanks(&mut self) {
        self.position += self.rest().len() - self.rest().trim_start().len();
    }

    /// Takes the mark if it comes next, after blanks.
    fn take(&mut self, mark: char) -> bool {
        self.blanks();
        let comes = self.rest().starts_with(mark);
        if comes {
            self.position += mark.len_utf8();
        }
        comes
    }

    fn expected(&self, what: &str) -> String {
        let found: String = self.rest().chars().take(20).collect();
        let found = if found.is_empty() { "its end".to_owned() } else { format!("`{found}`") };
        format!("the expression has {found} where {what} was expected")
    }

    fn value(&mut self) -> Result<Expression, String> {
        if self.nested >= MOST_NESTED {
            return Err(format!("the expression is nested more than {MOST_NESTED} levels deep"));
        }
        self.nested += 1;
        let mut value = self.start()?;
        // Each step makes the tree one level deeper, as a bracket does.
        let outer = self.nested;
        loop {
            if self.nested >= MOST_NESTED {
                return Err(format!("the expression is nested more than {MOST_NESTED} levels deep"));
            }
            if self.take('.') {
                self.blanks();
                value = Expression::Member(Box::new(value), self.name()?);
            } else if self.take('[') {
                value = Expression::Index(Box::new(value), Box::new(self.value()?));
                if !self.take(']') {
                    return Err(self.expected("`]`"));
                }
            } else {
                break;
            }
            self.nested += 1;
        }
        self.nested = outer - 1;
        Ok(value)
    }

    fn start(&mut self) -> Result<Expression, String> {
        self.blanks();
        match self.rest().chars().next() {
            Some('\'') => self.literal(),
            Some(first) if first.is_ascii_digit() || first == '-' => self.integer(),
            Some(first) if first.is_alphabetic() || first == '_' => self.call(),
            _ => Err(self.expected("a function, a text or a number")),
        }
    }

    fn literal(&mut self) -> Result<Expression, String> {
        self.position += 1;
        let mut text = String::new();
        loop {
            let Some(end) = self.rest().find('\'') else {
                self.position = self.text.len();
                return Err(self.expected("the closing `'`"));
            };
            text.push_str(&self.rest()[..end]);
            self.position += end + 1;
            if !self.rest().starts_with('\'') {
                return Ok(Expression::Text(text));
            }
            text.push('\'');
            self.position += 1;
        }
    }

    fn integer(&mut self) -> Result<Expression, String> {
        let end = self.rest()[1..]
            .find(|each: char| !each.is_ascii_digit())
            .map_or(self.rest().len(), |end| end + 1);
        let number = self.rest()[..end].parse().map_err(|_| self.expected("an integer of 64 bits"))?;
        self.position += end;
        Ok(Expression::Integer(number))
    }

    fn name(&mut self) -> Result<String, String> {
        let part = |each: char| !each.is_alphanumeric() && each != '_' && each != '-';
        let end = self.rest().find(part).unwrap_or(self.rest().len());
        if end == 0 {
            return Err(self.expected("a name"));
        }
        let name = self.rest()[..end].to_owned();
        self.position += end;
        Ok(name)
    }

    /// A function; those that a template defines itself have a name of two parts.
    fn call(&mut self) -> Result<Expression, String> {
        let mut name = self.name()?;
        if self.take('.') {
            name = format!("{name}.{}", self.name()?);
        }
        if !self.take('(') {
            return Err(self.expected("`(`"));
        }
        let mut arguments = Vec::new();
        if !self.take(')') {
            loop {
                arguments.push(self.value()?);
                if self.take(')') {
                    break;
                }
                if !self.take(',') {
                    return Err(self.expected("`,` or `)`"));
                }
            }
        }
        Ok(Expression::Call(name, arguments))
    }
}

#[cfg(test)]
mod tests {
    use super::Expression::{Call, Index, Integer, Member, Text};
    use super::{Written, parse, written};

    #[test]
    fn json_8_brackets_make_an_expression_and_two_of_them_a_bracket() {
        assert_eq!(written("[a()]"), Written::Expression("a()"));
        assert_eq!(written("[[a()]"), Written::Literal("[a()]"));
        assert_eq!(written("[a() "), Written::Literal("[a() "));
        assert_eq!(written("10.0.0.0/8"), Written::Literal("10.0.0.0/8"));
    }

    #[test]
    fn json_8_calls_members_and_indices_nest() {
        let call = |name: &str, arguments: Vec<super::Expression>| Call(name.to_owned(), arguments);
        let text = |text: &str| Text(text.to_owned());
        assert_eq!(parse(" concat ( 'it''s' , -7 ) "), Ok(call("concat", vec![text("it's"), Integer(-7)])));
        let list = Member(Box::new(call("variables", vec![text("v")])), "list".to_owned());
        let item = Index(Box::new(list), Box::new(call("copyIndex", vec![])));
        assert_eq!(parse("variables('v').list[copyIndex()]"), Ok(item));
    }

    #[test]
    fn what_is_no_expression_is_told_with_what_was_expected() {
        for (text, message) in [
            ("", "the expression has its end where a function, a text or a number was expected"),
            ("a", "the expression has its end where `(` was expected"),
            ("a(1 2)", "the expression has `2)` where `,` or `)` was expected"),
            ("a() b", "the expression has `b` where the end of the expression was expected"),
            ("'a", "the expression has its end where the closing `'` was expected"),
            ("a().", "the expression has its end where a name was expected"),
            ("a()[0", "the expression has its end where `]` was expected"),
            (
                "99999999999999999999",
                "the expression has `99999999999999999999` where an integer of 64 bits was expected",
            ),
        ] {
            assert_eq!(parse(text), Err(message.to_owned()), "{text}");
        }
    }

    #[test]
    fn depth_is_limited() {
        for text in ["a(".repeat(100_000), format!("a(){}", ".b".repeat(100_000)), "a()[".repeat(100_000)] {
            assert!(parse(&text).unwrap_err().contains("nested more than 64"), "{}", &text[..20]);
        }
    }
}
