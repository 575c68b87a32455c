//! The resources of a state or of one side of a plan, and what their configuration refers to.

use std::collections::{HashMap, HashSet};

use super::address::{Address, Step, output, split};
use crate::ingest::azure::Side;
use crate::ingest::azure::node::Node;
use crate::ingest::error::IngestError;

/// Modules deeper than this, or references that go round, are not followed.
const DEEPEST: usize = 32;

/// One resource or data source.
pub(super) struct Item<'a> {
    /// Its address as the document spells it.
    pub text: &'a str,
    pub address: Address<'a>,
    /// Its attributes, with what is unknown of them and where they came from.
    pub block: Block<'a>,
}

impl Item<'_> {
    /// Its type.
    pub(super) fn kind(&self) -> &str {
        self.address.kind
    }
}

/// Attributes of a resource or of a nested block.
#[derive(Clone, Copy)]
pub(super) struct Block<'a> {
    pub values: Node<'a>,
    /// `after_unknown`: `true` in place of what is known only after apply.
    unknown: Option<Node<'a>>,
    /// The plan tells what is unknown of the resource; what `unknown` does not name is then known.
    told: bool,
    /// `expressions` of the configuration.
    expressions: Option<Node<'a>>,
}

impl<'a> Block<'a> {
    /// Whether the attribute, or an element of it, is known only after apply.
    pub(super) fn is_unknown(self, name: &str) -> bool {
        let known = self.values.member(name);
        match self.unknown.and_then(|unknown| unknown.member(name)) {
            Some(unknown) if unknown.as_list().is_some() => {
                unknown.as_list().is_some_and(|items| items.into_iter().any(is_true))
            }
            Some(unknown) => known.is_none() && is_true(unknown),
            // A plan that tells of no change tells of no unknowns either: what refers to something and has no value
            // is one.
            None => !self.told && known.is_none() && !self.references(name).is_empty(),
        }
    }

    /// Whether the configuration sets the attribute; of a state this is not known.
    pub(super) fn is_configured(self, name: &str) -> bool {
        self.expressions.is_some_and(|expressions| expressions.member(name).is_some())
    }

    /// Whether the configuration of the block is there.
    pub(super) fn has_configuration(self) -> bool {
        self.expressions.is_some()
    }

    /// What the attribute's expression refers to.
    pub(super) fn references(self, name: &str) -> Vec<&'a str> {
        self.expressions.and_then(|expressions| expressions.member(name)).map_or_else(Vec::new, references)
    }

    /// The nested blocks of a name.
    pub(super) fn blocks(self, name: &str) -> Result<Vec<Self>, IngestError> {
        let items = self.values.list_of(name)?;
        let list = |node: Option<Node<'a>>| node.and_then(|node| node.member(name)).and_then(Node::as_list);
        let unknown = list(self.unknown).filter(|unknown| unknown.len() == items.len());
        let configured = list(self.expressions).filter(|configured| configured.len() == items.len());
        let block = |(position, values): (usize, Node<'a>)| {
            if !values.is_object() {
                return Err(values.wrong("an object"));
            }
            // The blocks of a set stand in another order in the configuration: their names tell them apart.
            let named = |expressions: &&Node<'a>| {
                let name = expressions.member("name").and_then(|name| name.member("constant_value"));
                let own = values.member("name").and_then(Node::as_text);
                own.is_some() && name.and_then(Node::as_text) == own
            };
            let expressions = configured
                .as_ref()
                .and_then(|blocks| blocks.iter().find(named).or_else(|| blocks.get(position)).copied());
            let unknown = unknown.as_ref().map(|unknown| unknown[position]);
            Ok(Self { values, unknown, told: self.told, expressions })
        };
        items.into_iter().enumerate().map(block).collect()
    }
}

fn is_true(node: Node<'_>) -> bool {
    matches!(node.entry().value, crate::ingest::azure::tree::Value::Bool(true))
}

fn references(expression: Node<'_>) -> Vec<&str> {
    let list = expression.member("references").and_then(Node::as_list).unwrap_or_default();
    list.into_iter().filter_map(Node::as_text).collect()
}

/// A state, or one side of a plan.
pub(super) struct Plan<'a> {
    pub items: Vec<Item<'a>>,
    /// Items by the names of their modules and by type and name, indices left aside.
    by_name: HashMap<String, Vec<usize>>,
    /// The addresses so far: some tools list the resources of modules at the root, too.
    seen: HashSet<&'a str>,
    modules: HashMap<String, ModuleConfiguration<'a>>,
}

#[derive(Clone, Copy)]
struct ModuleConfiguration<'a> {
    module: Node<'a>,
    /// The call that it is the body of; the root has none.
    call: Option<Node<'a>>,
}

impl<'a> Plan<'a> {
    /// Reads the side of a document.
    pub(super) fn new(root: Node<'a>, side: Side) -> Result<Self, IngestError> {
        let mut plan = Self {
            items: Vec::new(),
            by_name: HashMap::new(),
            seen: HashSet::new(),
            modules: HashMap::new(),
        };
        let planned = root.member("planned_values");
        for member in ["planned_values", "values", "prior_state", "configuration"] {
            if let Some(other) = root.member(member).filter(|member| !member.is_object()) {
                return Err(other.wrong("an object"));
            }
        }
        let prior = root.member("prior_state").and_then(|state| state.member("values"));
        match (planned, side) {
            (None, _) => {
                let values = root.member("values").ok_or_else(|| {
                    let message = "neither `values` nor `planned_values`: expected the output of `terraform show -json`";
                    root.error(message)
                })?;
                plan.module(values.member("root_module"))?;
            }
            (Some(planned), Side::Candidate) => {
                if let Some(module) = root.member("configuration").and_then(|all| all.member("root_module")) {
                    plan.configuration(String::new(), ModuleConfiguration { module, call: None }, DEEPEST);
                }
                plan.module(planned.member("root_module"))?;
                // What was read of data sources stands there alone.
                let managed = plan.items.len();
                plan.module(prior.and_then(|values| values.member("root_module")))?;
                let mut position = 0;
                plan.items.retain(|item| {
                    position += 1;
                    position <= managed || item.address.data
                });
                plan.changes(root)?;
            }
            (Some(_), Side::Base) => match prior {
                Some(values) => plan.module(values.member("root_module"))?,
                None => {
                    for change in root.list_of("resource_changes")? {
                        if let Some(before) = change.member("change").and_then(|inner| inner.member("before"))
                        {
                            plan.item(change, before)?;
                        }
                    }
                }
            },
        }
        for (position, item) in plan.items.iter().enumerate() {
            plan.by_name.entry(name_of(&item.address)).or_default().push(position);
        }
        for item in &mut plan.items {
            let names: Vec<&str> = item.address.modules.iter().map(|step| step.name).collect();
            let configuration = plan.modules.get(&names.join(".")).and_then(|configuration| {
                let resources = configuration.module.member("resources")?.as_list()?;
                let is = |resource: &Node<'a>| {
                    let text = |name| resource.member(name).and_then(Node::as_text);
                    text("type") == Some(item.address.kind) && text("name") == Some(item.address.own.name)
                };
                resources.into_iter().find(is)
            });
            item.block.expressions = configuration.and_then(|resource| resource.member("expressions"));
        }
        Ok(plan)
    }

    fn module(&mut self, module: Option<Node<'a>>) -> Result<(), IngestError> {
        let Some(module) = module else { return Ok(()) };
        if !module.is_object() {
            return Err(module.wrong("an object"));
        }
        for resource in module.list_of("resources")? {
            let values = resource.member("values").ok_or_else(|| resource.lacks("values", "an object"))?;
            self.item(resource, values)?;
        }
        module.list_of("child_modules")?.into_iter().try_for_each(|child| self.module(Some(child)))
    }

    fn item(&mut self, resource: Node<'a>, values: Node<'a>) -> Result<(), IngestError> {
        let expected = "an address such as `azurerm_subnet.db`";
        let address = resource.member("address").ok_or_else(|| resource.lacks("address", expected))?;
        let text = address.text()?;
        if !values.is_object() {
            return Err(values.wrong("an object"));
        }
        let address = Address::new(text).ok_or_else(|| address.wrong(expected))?;
        if self.seen.insert(text) {
            self.items.push(Item {
                text,
                address,
                block: Block { values, unknown: None, told: false, expressions: None },
            });
        }
        Ok(())
    }

    fn changes(&mut self, root: Node<'a>) -> Result<(), IngestError> {
        let mut unknown = HashMap::new();
        for change in root.list_of("resource_changes")? {
            let after = change.member("change").and_then(|inner| inner.member("after_unknown"));
            if let (Some(address), Some(after)) = (change.text_of("address")?, after) {
                unknown.insert(address, after);
            }
        }
        for item in &mut self.items {
            item.block.unknown = unknown.get(item.text).copied();
            item.block.told = item.block.unknown.is_some();
        }
        Ok(())
    }

    fn configuration(&mut self, path: String, configuration: ModuleConfiguration<'a>, deeper: usize) {
        let calls = configuration.module.member("module_calls");
        for (name, call) in calls.into_iter().flat_map(Node::raw_members) {
            if let (Some(module), Some(left)) = (call.member("module"), deeper.checked_sub(1)) {
                let path = if path.is_empty() { name.to_owned() } else { format!("{path}.{name}") };
                self.configuration(path, ModuleConfiguration { module, call: Some(call) }, left);
            }
        }
        self.modules.insert(path, configuration);
    }

    /// The resources that an expression of `item` may get its value from, in the order of the document.
    ///
    /// An expression is known by the names in it alone. Of several instances of a resource it is the one whose index is
    /// written out, or the one with the item's own index if the expression names `count.index` or `each.key`.
    pub(super) fn targets(&self, item: &Item<'a>, references: &[&'a str]) -> Vec<usize> {
        let mut found = Vec::new();
        self.follow(&item.address.modules, item.address.own.index, references, DEEPEST, &mut found);
        found.sort_unstable();
        found.dedup();
        found
    }

    fn follow(
        &self,
        modules: &[Step<'a>],
        own_index: &str,
        references: &[&'a str],
        deeper: usize,
        found: &mut Vec<usize>,
    ) {
        let Some(deeper) = deeper.checked_sub(1) else { return };
        let by_index = references.iter().any(|text| matches!(*text, "count.index" | "each.key"));
        let path = path_of(modules);
        for (position, text) in references.iter().enumerate() {
            // Behind `a.b[1].id` stand `a.b[1]` and `a.b`, which are nothing of their own.
            let before = position.checked_sub(1).and_then(|before| references[before].strip_prefix(*text));
            if before.is_some_and(|rest| rest.starts_with(['.', '['])) {
                continue;
            }
            let first = split(text)[0];
            if first == "var" {
                let Some(call) = self.modules.get(&path).and_then(|module| module.call) else { continue };
                let name = Step::without_index(split(text).get(1).copied().unwrap_or_default());
                let expression = call.member("expressions").and_then(|all| exact(all, name));
                if let (Some(expression), Some((own, outer))) = (expression, modules.split_last()) {
                    self.follow(outer, own.index, &self::references(expression), deeper, found);
                }
                continue;
            }
            if matches!(first, "local" | "each" | "count" | "path" | "terraform" | "self") {
                continue;
            }
            if let Some(target) = Address::new(text).filter(|target| self.has(modules, target)) {
                // Some references are written from the root on.
                let inside = if target.modules.is_empty() { modules } else { &target.modules };
                self.instances(inside, own_index, by_index, &target, found);
            } else if let Some((step, name)) = output(text) {
                let mut inner = modules.to_vec();
                let index = if step.index.is_empty() && by_index { own_index } else { step.index };
                let index = self.index_of(&inner, step, index);
                inner.push(Step { name: step.name, index });
                let outputs =
                    self.modules.get(&path_of(&inner)).and_then(|module| module.module.member("outputs"));
                let expression =
                    outputs.and_then(|all| exact(all, name)).and_then(|output| output.member("expression"));
                if let Some(expression) = expression {
                    self.follow(&inner, index, &self::references(expression), deeper, found);
                }
            }
        }
    }

    /// The spelling of a module's index in the document; empty if it has none or is not there.
    fn index_of(&self, outer: &[Step<'a>], step: Step<'_>, index: &str) -> &'a str {
        let own = |item: &Item<'a>| {
            let module = item.address.modules.get(outer.len())?;
            (item.address.modules.starts_with(outer) && module.name == step.name && module.index == index)
                .then_some(module.index)
        };
        self.items.iter().find_map(own).unwrap_or_default()
    }

    fn has(&self, modules: &[Step<'a>], target: &Address<'a>) -> bool {
        let inside = if target.modules.is_empty() { modules } else { &target.modules };
        self.by_name.contains_key(&name_in(inside, target))
    }

    fn instances(
        &self,
        modules: &[Step<'a>],
        own_index: &str,
        by_index: bool,
        target: &Address<'a>,
        found: &mut Vec<usize>,
    ) {
        let all = self.by_name.get(&name_in(modules, target)).map_or(&[][..], Vec::as_slice);
        // A module's index that is not known leaves its instances open.
        let fits = |position: &usize| {
            let own = &self.items[*position].address.modules;
            own.iter().zip(modules).all(|(one, two)| two.index.is_empty() || one.index == two.index)
        };
        let here: Vec<usize> = all.iter().copied().filter(fits).collect();
        let index = |position: &usize| self.items[*position].address.own.index;
        if !target.own.index.is_empty() {
            found.extend(here.into_iter().filter(|position| index(position) == target.own.index));
        } else if here.len() > 1 && by_index && !own_index.is_empty() {
            found.extend(here.into_iter().filter(|position| index(position) == own_index));
        } else {
            found.extend(here);
        }
    }
}

impl<'a> Step<'a> {
    fn without_index(text: &'a str) -> &'a str {
        text.split('[').next().unwrap_or(text)
    }
}

/// The member of this very name: names of Terraform differ by letter case.
fn exact<'a>(node: Node<'a>, name: &str) -> Option<Node<'a>> {
    node.raw_members().find(|(other, _)| *other == name).map(|(_, member)| member)
}

fn path_of(modules: &[Step<'_>]) -> String {
    modules.iter().map(|step| step.name).collect::<Vec<_>>().join(".")
}

fn name_of(address: &Address<'_>) -> String {
    name_in(&address.modules, address)
}

/// The name of a resource as seen from inside these modules.
fn name_in(modules: &[Step<'_>], target: &Address<'_>) -> String {
    let data = if target.data { "data." } else { "" };
    format!("{}/{data}{}.{}", path_of(modules), target.kind, target.own.name)
}
