//! Templates, exported and hand-written, as the resources that they deploy (JSON-8).
//!
//! In: a template, what it is deployed with, and where. Out: a list of resources as the REST API has them, each value
//! with its place in the template. An expression without a value is left to whoever reads the value: most are of no
//! interest to packets, the others make their resource undetermined, or refuse the template with their place.

mod evaluate;
mod expression;
mod functions;
mod ids;
mod value;
mod write;

use std::cell::RefCell;
use std::collections::HashMap;
use std::rc::Rc;

use self::evaluate::{Budget, Scope, literal, unknown};
use self::value::{Data, Unknown};
use self::write::{Writer, refused};
use super::kind::{self, Recognised};
use super::node::{Node, shorten};
use super::tree::Tree;
use super::{Deployment, Document};
use crate::ingest::error::IngestError;

/// Deployments in each other: what Azure takes.
const MOST_DEPLOYMENTS: usize = 5;
/// Types in each other: what Azure takes, and some.
const MOST_CHILDREN: usize = 16;

/// The type of a template within a template.
const DEPLOYMENTS: &str = "Microsoft.Resources/deployments";

/// Members of a resource that say nothing of what it is, or are dealt with here.
const SETTLED: [&str; 13] = [
    "type",
    "name",
    "id",
    "apiVersion",
    "dependsOn",
    "copy",
    "condition",
    "resources",
    "comments",
    "metadata",
    "tags",
    "location",
    "existing",
];

/// Whether an object is a template.
pub(super) fn is_template(node: Node<'_>) -> bool {
    node.member("$schema").is_some() && node.raw_member("resources").is_some()
}

/// The values of a parameters file.
pub(super) struct Parameters {
    tree: Option<Tree>,
}

impl Parameters {
    /// Parses the file, if there is one.
    pub(super) fn parse(document: Option<&Document>) -> Result<Self, IngestError> {
        let tree = document.map(|document| Tree::parse(&document.name, &document.bytes)).transpose()?;
        let parameters = Self { tree };
        for (_, entry) in parameters.entries() {
            if entry.raw_member("value").is_none() && entry.raw_member("reference").is_none() {
                return Err(entry.error("the parameter has neither `value` nor `reference`"));
            }
        }
        if let Some(tree) = &parameters.tree
            && (!tree.root().is_object() || parameters.object().is_none_or(|object| !object.is_object()))
        {
            return Err(tree.root().error("not a parameters file: expected an object with `parameters`"));
        }
        Ok(parameters)
    }

    fn object(&self) -> Option<Node<'_>> {
        self.tree.as_ref()?.root().raw_member("parameters")
    }

    fn entries(&self) -> impl Iterator<Item = (&str, Node<'_>)> {
        self.object().into_iter().flat_map(Node::raw_members)
    }

    /// Fails on a value for a parameter that none of the templates declares: a slip of the pen would go unnoticed.
    pub(super) fn check_declared(&self, trees: &[Tree]) -> Result<(), IngestError> {
        let roots: Vec<Node<'_>> = trees.iter().map(Tree::root).filter(|root| is_template(*root)).collect();
        // Of two networks that are compared one may be no template.
        if roots.is_empty() {
            return Ok(());
        }
        let declared: Vec<Node<'_>> =
            roots.into_iter().filter_map(|root| root.raw_member("parameters")).collect();
        for (name, entry) in self.entries() {
            if !declared.iter().any(|declared| declared.raw_member(name).is_some()) {
                return Err(entry.error(format!("no template declares the parameter `{}`", shorten(name))));
            }
        }
        Ok(())
    }

    fn given(&self) -> HashMap<String, Data> {
        let value = |(name, entry): (&str, Node<'_>)| {
            let value = match entry.raw_member("value") {
                Some(value) => literal(value),
                None => {
                    let reason = format!("the value of parameter `{}` is kept in a vault", shorten(name));
                    Data::Unknown(unknown(entry, reason))
                }
            };
            (name.to_ascii_lowercase(), value)
        };
        self.entries().map(value).collect()
    }
}

/// The resources of a template, as a list of objects.
pub(super) fn expand(
    tree: &Tree,
    parameters: &Parameters,
    deployment: &Deployment,
) -> Result<Tree, IngestError> {
    let root = tree.root();
    let scope = Scope {
        given: parameters.given(),
        declared: root.raw_member("parameters"),
        variables: root.raw_member("variables"),
        subscription: deployment.subscription.clone(),
        resource_group: deployment.resource_group.clone(),
        loops: RefCell::default(),
        budget: Rc::new(Budget::default()),
    };
    let mut expansion = Expansion { writer: Writer::new(&tree.name, &root.place()), deployments: 0 };
    let target = Target {
        subscription: deployment.subscription.clone(),
        resource_group: deployment.resource_group.clone(),
    };
    expansion.template(&scope, &target, root)?;
    Ok(expansion.writer.finish())
}

/// Where resources are deployed to.
struct Target {
    subscription: String,
    resource_group: String,
}

/// The resource that others are written into.
struct Parent<'p, 'a> {
    kind: &'p str,
    name: Option<Node<'a>>,
    outer: Option<&'p Parent<'p, 'a>>,
    depth: usize,
}

struct Expansion {
    writer: Writer,
    /// How many deployments are around.
    deployments: usize,
}

impl Expansion {
    fn template<'a>(
        &mut self,
        scope: &Scope<'a>,
        target: &Target,
        template: Node<'a>,
    ) -> Result<(), IngestError> {
        let resources = template.raw_member("resources");
        let resources = resources.ok_or_else(|| template.lacks("resources", "a list of resources"))?;
        self.resources(scope, target, resources, None)
    }

    /// A list of resources, or an object of them by symbolic names.
    fn resources<'a>(
        &mut self,
        scope: &Scope<'a>,
        target: &Target,
        resources: Node<'a>,
        parent: Option<&Parent<'_, 'a>>,
    ) -> Result<(), IngestError> {
        let all = match resources.as_list() {
            Some(items) => items,
            None if resources.is_object() => resources.raw_members().map(|(_, item)| item).collect(),
            None if resources.is_empty() => return Ok(()),
            None => return Err(resources.wrong("a list of resources")),
        };
        all.into_iter().try_for_each(|resource| self.resource(scope, target, resource, parent))
    }

    fn resource<'a>(
        &mut self,
        scope: &Scope<'a>,
        target: &Target,
        node: Node<'a>,
        parent: Option<&Parent<'_, 'a>>,
    ) -> Result<(), IngestError> {
        if !node.is_object() {
            return Err(node.wrong("an object"));
        }
        let own = node.raw_member("type").ok_or_else(|| node.lacks("type", "a type of resources"))?.text()?;
        // A type that begins with a provider is whole; others are parts of their parent's.
        let whole = own.split('/').next().is_some_and(|provider| provider.contains('.'));
        let kind = match parent {
            Some(parent) if !whole => format!("{}/{own}", parent.kind),
            _ => own.to_owned(),
        };
        // The names of the parents belong to a part's.
        let inherits = parent.filter(|parent| !whole || is_below(&kind, parent.kind));
        let existing =
            node.raw_member("existing").is_some_and(|flag| matches!(literal(flag), Data::Bool(true)));
        let read =
            matches!(kind::recognise(Some(&kind), None), Some(Recognised::Resource(_) | Recognised::Child));
        let is_deployment = kind.eq_ignore_ascii_case(DEPLOYMENTS);
        if existing {
            // It is somewhere else, and not deployed.
        } else if read || is_deployment {
            let once = |expansion: &mut Self| {
                if !is_deployed(scope, node)? {
                    Ok(())
                } else if is_deployment {
                    expansion.deployment(scope, target, node)
                } else {
                    expansion.write(scope, target, node, &kind, inherits)
                }
            };
            match node.raw_member("copy").filter(|copy| copy.is_object()) {
                None => once(self)?,
                Some(copy) => {
                    let count = scope.count(copy).map_err(|reason| uncounted(copy, &reason))?;
                    let name = copy.raw_member("name").and_then(Node::as_text).unwrap_or_default();
                    scope.rounds(true, name, count, || once(self))?;
                }
            }
        } else {
            let object = self.writer.resource(node)?;
            self.writer.text(object, "type", &kind, node)?;
        }
        if let Some(inner) = node.raw_member("resources") {
            let depth = parent.map_or(0, |parent| parent.depth) + 1;
            if depth > MOST_CHILDREN {
                return Err(
                    inner.error(format!("resources are nested more than {MOST_CHILDREN} levels deep"))
                );
            }
            let this = Parent { kind: &kind, name: node.raw_member("name"), outer: inherits, depth };
            self.resources(scope, target, inner, Some(&this))?;
        }
        Ok(())
    }

    /// Writes a resource that is read.
    fn write<'a>(
        &mut self,
        scope: &Scope<'a>,
        target: &Target,
        node: Node<'a>,
        kind: &str,
        parent: Option<&Parent<'_, 'a>>,
    ) -> Result<(), IngestError> {
        if let Some(other) = node.raw_member("scope") {
            return Err(other.error("a resource of another scope is not read"));
        }
        let name_node = node.raw_member("name").ok_or_else(|| node.lacks("name", "a text"))?;
        let mut name = name(scope, name_node)?;
        let parts = kind.split('/').count() - 1;
        let mut around = parent;
        while let Some(parent) = around
            && name.split('/').count() < parts
        {
            let outer = parent.name.ok_or_else(|| node.error("the resource around it has no name"))?;
            name = format!("{}/{name}", self::name(scope, outer)?);
            around = parent.outer;
        }
        let names: Vec<&str> = name.split('/').collect();
        // Management groups are above subscriptions.
        let base = if kind.to_ascii_lowercase().starts_with("microsoft.management/") {
            String::new()
        } else {
            format!("/subscriptions/{}/resourceGroups/{}", target.subscription, target.resource_group)
        };
        let id = ids::join(&base, kind, &names).ok_or_else(|| {
            let shown = shorten(&name);
            name_node.error(format!("name `{shown}` has {} parts: `{kind}` takes {parts}", names.len()))
        })?;
        let object = self.writer.resource(node)?;
        self.writer.text(object, "id", &id, name_node)?;
        self.writer.text(object, "name", names.last().copied().unwrap_or_default(), name_node)?;
        self.writer.text(object, "type", kind, node)?;
        // A region that is not known is not there.
        if let Some(location) = node.raw_member("location")
            && let Ok(Data::Text(region)) = scope.value(location)
            && region.opaque.is_none()
        {
            self.writer.text(object, "location", &region.text, location)?;
        }
        for (member, value) in node.raw_members() {
            if SETTLED.iter().any(|settled| settled.eq_ignore_ascii_case(member)) {
                continue;
            }
            if member.eq_ignore_ascii_case("properties") && !value.is_object() && !value.is_empty() {
                // Readers look for single properties: they would take all of them for absent.
                match scope.value(value).map_err(|reason| because(value, &reason))? {
                    Data::Object(_) => {}
                    _ => return Err(value.wrong("an object")),
                }
            }
            self.writer.member(object, member, scope, value)?;
        }
        Ok(())
    }

    /// A template within the template. One that is linked is named as left out, as a kind that is not read.
    fn deployment<'a>(
        &mut self,
        scope: &Scope<'a>,
        target: &Target,
        node: Node<'a>,
    ) -> Result<(), IngestError> {
        let properties = node.raw_member("properties");
        let Some(template) = properties.and_then(|properties| properties.raw_member("template")) else {
            let object = self.writer.resource(node)?;
            return self.writer.text(object, "type", DEPLOYMENTS, node);
        };
        if self.deployments >= MOST_DEPLOYMENTS {
            return Err(
                node.error(format!("deployments are nested more than {MOST_DEPLOYMENTS} levels deep"))
            );
        }
        let elsewhere = |member: &str, here: &str| match node.raw_member(member) {
            Some(place) => name(scope, place),
            None => Ok(here.to_owned()),
        };
        let target = Target {
            subscription: elsewhere("subscriptionId", &target.subscription)?,
            resource_group: elsewhere("resourceGroup", &target.resource_group)?,
        };
        let options = properties.and_then(|properties| properties.raw_member("expressionEvaluationOptions"));
        let inner = match options.and_then(|options| options.raw_member("scope")) {
            Some(scope) => scope.one_of(&[("inner", true), ("outer", false), ("notSpecified", false)])?,
            None => false,
        };
        self.deployments += 1;
        if inner {
            let parameters = properties.and_then(|properties| properties.raw_member("parameters"));
            let value = |(name, entry): (&str, Node<'a>)| {
                let value = match entry.raw_member("value") {
                    Some(value) => scope.value(value).unwrap_or_else(Data::Unknown),
                    None => Data::Unknown(unknown(entry, "the parameter has no value")),
                };
                (name.to_ascii_lowercase(), value)
            };
            let scope = Scope {
                given: parameters.into_iter().flat_map(Node::raw_members).map(value).collect(),
                declared: template.raw_member("parameters"),
                variables: template.raw_member("variables"),
                subscription: target.subscription.clone(),
                resource_group: target.resource_group.clone(),
                loops: RefCell::default(),
                budget: Rc::clone(&scope.budget),
            };
            self.template(&scope, &target, template)?;
        } else {
            self.template(scope, &target, template)?;
        }
        self.deployments -= 1;
        Ok(())
    }
}

/// Whether the type is one of a part of the other.
fn is_below(kind: &str, parent: &str) -> bool {
    let start = kind.get(..parent.len()).is_some_and(|start| start.eq_ignore_ascii_case(parent));
    start && kind.as_bytes().get(parent.len()) == Some(&b'/')
}

/// Whether the condition of a resource holds.
fn is_deployed<'a>(scope: &Scope<'a>, node: Node<'a>) -> Result<bool, IngestError> {
    let Some(condition) = node.raw_member("condition") else { return Ok(true) };
    match scope.value(condition).map_err(|reason| because(condition, &reason))? {
        Data::Bool(value) => Ok(value),
        Data::Text(text) if text.opaque.is_none() && text.text.eq_ignore_ascii_case("true") => Ok(true),
        Data::Text(text) if text.opaque.is_none() && text.text.eq_ignore_ascii_case("false") => Ok(false),
        Data::Text(text) => match text.opaque {
            Some(reason) => Err(because(condition, &reason)),
            None => Err(condition.wrong("true or false")),
        },
        _ => Err(condition.wrong("true or false")),
    }
}

/// The name that a value comes to, which may stand for one that is not known.
fn name<'a>(scope: &Scope<'a>, node: Node<'a>) -> Result<String, IngestError> {
    match scope.value(node).map_err(|reason| because(node, &reason))? {
        Data::Text(text) if !text.text.is_empty() => Ok(text.text.to_string()),
        Data::Integer(number) => Ok(number.to_string()),
        _ => Err(node.wrong("a text that is not empty")),
    }
}

/// The error of an expression that must have a value.
fn because(node: Node<'_>, reason: &Unknown) -> IngestError {
    let shown = shorten(node.as_text().unwrap_or("..."));
    let place = if reason.place == node.place() { String::new() } else { format!(" ({})", reason.place) };
    node.error(format!("{} `{shown}` is not evaluated: {}{place}", node.key(), reason.reason))
}

/// The error of a loop whose number of rounds is not known, at the place of its count.
fn uncounted(copy: Node<'_>, reason: &Unknown) -> IngestError {
    match copy.raw_member("count") {
        Some(count) if count.place() != reason.place => because(count, reason),
        _ => refused(reason),
    }
}
