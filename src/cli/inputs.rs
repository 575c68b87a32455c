//! Reading the network and the tags, and saying what was odd about them.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use jiff::civil::Date;

use super::CliError;
use super::arguments::{ExportsArgs, SidesArgs, TagsArgs};
use crate::analyze::findings;
use crate::compile::network::{CompileOptions, CompiledNetwork};
use crate::ingest::azure::{self, Deployment, Side, tags};
use crate::ingest::edit::Edits;
use crate::ingest::facts::Facts;
use crate::ingest::source;
use crate::model::assumptions::{Assumptions, Clause};
use crate::model::finding::Finding;
use crate::model::id::ResourceId;
use crate::model::index::{NicIndex, VnetIndex};
use crate::model::network::Network;
use crate::model::tag::TagCatalog;
use crate::report::inputs::Inputs;
use crate::report::time::counted;

/// How many findings are shown one by one.
const FINDINGS_SHOWN: usize = 20;

/// A tag file is old after this many days: Microsoft publishes one every week.
const OLD_DAYS: i32 = 30;

/// A network that was read and compiled.
pub(super) struct Loaded {
    pub(super) compiled: Arc<CompiledNetwork>,
    pub(super) inputs: Inputs,
}

/// Reads the tags that the arguments name.
pub(super) fn tags(args: &TagsArgs, quiet: bool) -> Result<Arc<TagCatalog>, CliError> {
    let (catalog, findings) = match args.tags.as_deref() {
        Some(path) if path == Path::new("none") => (TagCatalog::default(), Vec::new()),
        Some(path) => tags::load(path)?,
        None => (tags::bundled(), Vec::new()),
    };
    if !quiet {
        show(&findings);
        warn_if_old(&catalog, args.tags.is_none());
    }
    Ok(Arc::new(catalog))
}

fn warn_if_old(catalog: &TagCatalog, bundled: bool) {
    let Some(date) = catalog.source.as_ref().and_then(|source| source.date.as_deref()) else { return };
    let Ok(day) = date.parse::<Date>() else { return };
    let today = jiff::Zoned::now().date();
    let Ok(age) = today.since(day) else { return };
    if age.get_days() > OLD_DAYS {
        let which = if bundled { "built-in service tags" } else { "service tags" };
        eprintln!(
            "warning: the {which} are of {date}, {} old: --tags FILE takes a newer file",
            counted(u64::try_from(age.get_days()).unwrap_or_default(), "day")
        );
    }
}

/// Reads and compiles one network.
pub(super) fn network(
    paths: &[PathBuf],
    exports: &ExportsArgs,
    tags: &Arc<TagCatalog>,
    quiet: bool,
) -> Result<Loaded, CliError> {
    let (loaded, facts) = load(paths, exports, tags)?;
    Ok(compile(loaded, exports, facts.as_ref(), tags, quiet, &[])?.0)
}

/// Reads one network, with the facts that are stated about it.
fn load(
    paths: &[PathBuf],
    exports: &ExportsArgs,
    tags: &Arc<TagCatalog>,
) -> Result<(azure::Loaded, Option<Facts>), CliError> {
    let mut loaded = azure::load_deployed(paths, Some(tags), &exports.deployment.deployment()?)?;
    let facts = facts(exports)?;
    if let Some(facts) = &facts {
        facts.apply(&mut [&mut loaded.network])?;
    }
    Ok((loaded, facts))
}

/// Reads one network and compiles it under two states of the service tags. Files are read twice.
pub(super) fn under_both(
    paths: &[PathBuf],
    exports: &ExportsArgs,
    [old, new]: [&Arc<TagCatalog>; 2],
    quiet: bool,
) -> Result<[Loaded; 2], CliError> {
    if paths.iter().any(|path| source::is_stdin(path)) {
        return Err(CliError::usage(
            "standard input can be read only once: a network under two states of the tags is files",
        ));
    }
    // What is odd about the exports is so under both.
    Ok([network(paths, exports, old, quiet)?, network(paths, exports, new, true)?])
}

/// Reads and compiles two networks, a base and a candidate. The candidate may be the base with edits. Where else one is
/// not given the other is a Terraform plan, which is between the two; it may stand beside other exports, which both
/// networks then hold.
pub(super) fn sides(
    sides: &SidesArgs,
    exports: &ExportsArgs,
    tags: &Arc<TagCatalog>,
    quiet: bool,
) -> Result<[Loaded; 2], CliError> {
    let deployment = exports.deployment.deployment()?;
    let read = |paths: &[PathBuf], side| {
        azure::load_deployed(paths, Some(tags), &Deployment { side, ..deployment.clone() })
    };
    let edits = sides.edit.as_ref().map(|path| edits(path)).transpose()?;
    let (mut base, mut candidate) = match (&sides.base[..], &sides.cand[..]) {
        (base, _) if let Some(edits) = &edits => {
            // A plan counts as what it leads to.
            azure::load_edited(base, Some(tags), &deployment, edits)?.into()
        }
        (alone, []) | ([], alone) => {
            if alone.iter().any(|path| source::is_stdin(path)) {
                return Err(CliError::usage(
                    "standard input can be read only once: a plan that is given alone is a file",
                ));
            }
            let both = (read(alone, Side::Base)?, read(alone, Side::Candidate)?);
            if !both.0.has_plan {
                return Err(CliError::usage(
                    "only one of --base and --cand is given and it holds no Terraform plan: expected both",
                ));
            }
            both
        }
        // A plan among several exports counts as what it leads to.
        (base, candidate) => (read(base, deployment.side)?, read(candidate, deployment.side)?),
    };
    let facts = facts(exports)?;
    if let Some(facts) = &facts {
        facts.apply(&mut [&mut base.network, &mut candidate.network])?;
    }
    let compile = |loaded, known: &[_]| compile(loaded, exports, facts.as_ref(), tags, quiet, known);
    let (base, told) = compile(base, &[])?;
    // Of an edited network only what the edits brought about is news.
    let known = if edits.is_some() { &told[..] } else { &[] };
    let (mut candidate, _) = compile(candidate, known)?;
    if let Some(edits) = edits {
        candidate.inputs.network = None;
        candidate.inputs.edit = Some(hash(edits.digest));
    }
    Ok([base, candidate])
}

/// Reads a file of edits.
fn edits(path: &Path) -> Result<Edits, CliError> {
    if source::is_stdin(path) {
        return Err(CliError::usage("--edit: standard input is for exports and captures: expected a file"));
    }
    Ok(Edits::read(path)?)
}

/// A hash as results name it.
fn hash(digest: blake3::Hash) -> String {
    format!("blake3:{}", digest.to_hex())
}

/// Reads the facts that the arguments name.
fn facts(exports: &ExportsArgs) -> Result<Option<Facts>, CliError> {
    let Some(path) = &exports.facts else { return Ok(None) };
    if source::is_stdin(path) {
        return Err(CliError::usage("--facts: standard input is for exports and captures: expected a file"));
    }
    Ok(Some(Facts::read(path)?))
}

fn compile(
    loaded: azure::Loaded,
    exports: &ExportsArgs,
    facts: Option<&Facts>,
    tags: &Arc<TagCatalog>,
    quiet: bool,
    known: &[Finding],
) -> Result<(Loaded, Vec<Finding>), CliError> {
    let assumptions = exports.assumptions()?;
    let (read, places) = (loaded.findings, &loaded.nsg_places);
    let findings = findings::all(read, &loaded.network, tags, places, assumptions);
    if !quiet || exports.strict {
        let news: Vec<Finding> =
            findings.iter().filter(|finding| known.binary_search(finding).is_err()).cloned().collect();
        show(&news);
    }
    let rejected = findings.iter().filter(|finding| !finding.code.is_warning()).count();
    if exports.strict && rejected > 0 {
        return Err(CliError::Strict(counted(rejected as u64, "finding")));
    }
    if !quiet {
        tell_internet(&loaded.network, assumptions);
    }
    let options = CompileOptions {
        partial_inventory: exports.partial_inventory,
        assumptions,
        ..CompileOptions::default()
    };
    let compiled = CompiledNetwork::new(Arc::new(loaded.network), Arc::clone(tags), options);
    let inputs = made_from(loaded.digest, &compiled, facts);
    Ok((Loaded { compiled: Arc::new(compiled), inputs }, findings))
}

/// What a compiled network was made from.
fn made_from(digest: blake3::Hash, compiled: &CompiledNetwork, facts: Option<&Facts>) -> Inputs {
    let inputs = Inputs::new(Some(hash(digest)), compiled.tags.source.clone());
    let inputs = inputs.of(&compiled.network, compiled.assumptions);
    Inputs { facts: facts.map(|facts| hash(facts.digest)), ..inputs }
}

/// A network to look at, with all that was found while it was read and where its rules stand.
pub(super) struct ToLint {
    pub(super) compiled: CompiledNetwork,
    pub(super) findings: Vec<Finding>,
    pub(super) nsg_places: Vec<String>,
    pub(super) rule_places: Vec<Vec<String>>,
    pub(super) inputs: Inputs,
}

/// Reads a network whose findings are the answer: they are shown on standard error only where they reject it.
pub(super) fn to_lint(
    paths: &[PathBuf],
    exports: &ExportsArgs,
    tags: &Arc<TagCatalog>,
    quiet: bool,
) -> Result<ToLint, CliError> {
    let (loaded, facts) = load(paths, exports, tags)?;
    let assumptions = exports.assumptions()?;
    let findings = findings::all(loaded.findings, &loaded.network, tags, &loaded.nsg_places, assumptions);
    let rejected = findings.iter().filter(|finding| !finding.code.is_warning()).count();
    if exports.strict && rejected > 0 {
        show(&findings);
        return Err(CliError::Strict(counted(rejected as u64, "finding")));
    }
    if !quiet {
        tell_internet(&loaded.network, assumptions);
    }
    // No packet is looked up.
    let options =
        CompileOptions { partial_inventory: exports.partial_inventory, assumptions, linear_only: true };
    let compiled = CompiledNetwork::new(Arc::new(loaded.network), Arc::clone(tags), options);
    let inputs = made_from(loaded.digest, &compiled, facts.as_ref());
    let (nsg_places, rule_places) = (loaded.nsg_places, loaded.rule_places);
    Ok(ToLint { compiled, findings, nsg_places, rule_places, inputs })
}

/// Names the list of `Internet`, where an export brought one (TAG-20).
fn tell_internet(network: &Network, assumptions: Assumptions) {
    let Some(observed) = &network.observed_internet else { return };
    let date = observed.date.as_ref().map(|date| format!(", of {date}")).unwrap_or_default();
    eprintln!("note: the list of Internet is that of {}{date}", observed.source);
    let assumed = assumptions.of(Clause::Tag20);
    // The known lists differ in IPv4 alone.
    let void = observed.covers_family_of([0; 4].into());
    if void && assumptions.overridden().any(|choice| choice == assumed) {
        eprintln!("warning: {assumed} has no effect: the list of the export goes first");
    }
}

fn show(findings: &[Finding]) {
    for finding in findings.iter().take(FINDINGS_SHOWN) {
        eprintln!("warning: {finding}");
    }
    if findings.len() > FINDINGS_SHOWN {
        let left = (findings.len() - FINDINGS_SHOWN) as u64;
        eprintln!("warning: and {}", counted(left, "more finding"));
    }
}

/// The one interface that a name or ID stands for: its own, or its machine's.
pub(super) fn one_nic(network: &Network, text: &str) -> Result<NicIndex, CliError> {
    one("interface", text, &nics(network, text), |nic| network.nics[nic.get()].id.as_str())
}

/// The interfaces of this name or ID, or else those of the machine of this name or ID.
pub(super) fn nics(network: &Network, text: &str) -> Vec<NicIndex> {
    let own = network.find_nic(text);
    if !own.is_empty() {
        return own;
    }
    let named = |machine: &ResourceId| {
        machine.as_str().eq_ignore_ascii_case(text) || machine.name().eq_ignore_ascii_case(text)
    };
    let nics = network.nics.iter().enumerate();
    nics.filter(|(_, nic)| nic.machine.as_ref().is_some_and(named))
        .map(|(position, _)| NicIndex::new(position))
        .collect()
}

/// The one virtual network that a name or ID stands for.
pub(super) fn one_vnet(network: &Network, text: &str) -> Result<VnetIndex, CliError> {
    let found = network.find_vnet(text);
    one("virtual network", text, &found, |vnet| network.vnets[vnet.get()].id.as_str())
}

fn one<'n, I: Copy>(kind: &str, text: &str, found: &[I], id: impl Fn(I) -> &'n str) -> Result<I, CliError> {
    match found {
        [one] => Ok(*one),
        [] => Err(CliError::usage(format!("`{text}`: no {kind} of this name or ID in the network"))),
        several => {
            let ids: Vec<&str> = several.iter().map(|index| id(*index)).collect();
            Err(CliError::usage(format!(
                "`{text}`: several {kind}s are called so, give the ID: {}",
                ids.join(", ")
            )))
        }
    }
}
