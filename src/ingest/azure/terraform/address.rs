//! Addresses of Terraform: `module.net[0].azurerm_subnet.db["a"]`.

/// A name with its index: `db["a"]` is `db` and `["a"]`; without one the index is empty.
#[derive(Clone, Copy, Debug, Eq, Hash, PartialEq)]
pub(super) struct Step<'a> {
    pub name: &'a str,
    pub index: &'a str,
}

impl<'a> Step<'a> {
    fn new(text: &'a str) -> Self {
        let (name, index) = text.split_at(text.find('[').unwrap_or(text.len()));
        Self { name, index }
    }
}

/// The address of a resource.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(super) struct Address<'a> {
    /// The modules that lead to it, from the root.
    pub modules: Vec<Step<'a>>,
    /// Whether it is a data source.
    pub data: bool,
    /// Its type.
    pub kind: &'a str,
    /// Its name and index.
    pub own: Step<'a>,
}

impl<'a> Address<'a> {
    /// Takes an address, or a reference to an attribute of what is there: what follows the name is left aside.
    pub(super) fn new(text: &'a str) -> Option<Self> {
        let mut parts = split(text).into_iter().peekable();
        let mut modules = Vec::new();
        while parts.next_if_eq(&"module").is_some() {
            modules.push(Step::new(parts.next()?));
        }
        let data = parts.next_if_eq(&"data").is_some();
        Some(Self { modules, data, kind: parts.next()?, own: Step::new(parts.next()?) })
    }
}

/// `module.net[0].subnet_id` is an output of a module: the module and the name of the output.
pub(super) fn output(text: &str) -> Option<(Step<'_>, &str)> {
    match split(text)[..] {
        ["module", module, output, ..] => Some((Step::new(module), Step::new(output).name)),
        _ => None,
    }
}

/// The parts between dots; a key in brackets may hold dots of its own.
pub(super) fn split(text: &str) -> Vec<&str> {
    let (mut parts, mut start, mut quoted, mut escaped) = (Vec::new(), 0, false, false);
    for (position, each) in text.char_indices() {
        match each {
            _ if escaped => escaped = false,
            '\\' => escaped = true,
            '"' => quoted = !quoted,
            '.' if !quoted => {
                parts.push(&text[start..position]);
                start = position + 1;
            }
            _ => {}
        }
    }
    parts.push(&text[start..]);
    parts
}

#[cfg(test)]
mod tests {
    use super::{Address, Step, output};

    #[test]
    fn json_9_addresses_are_taken_apart() {
        let address = Address::new(r#"module.net["a.b"].data.azurerm_subnet.db[1].id"#).unwrap();
        assert_eq!(address.modules, [Step { name: "net", index: r#"["a.b"]"# }]);
        assert!(address.data);
        assert_eq!((address.kind, address.own), ("azurerm_subnet", Step { name: "db", index: "[1]" }));
        assert_eq!(Address::new("module.net"), None);
        assert_eq!(
            output("module.net[0].subnet_id"),
            Some((Step { name: "net", index: "[0]" }, "subnet_id"))
        );
        assert_eq!(output("var.x"), None);
    }
}
