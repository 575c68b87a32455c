//! Exports of Azure networks.
//!
//! In: documents as `az`, the REST API, Resource Graph and Terraform print them, and templates, recognised by content,
//! never by name. Out: one [`Network`] of everything they hold, and a [`Finding`] for whatever Azure would refuse, or we
//! had to interpret. What cannot be read without a guess is an error with its place; nothing is left out silently.

mod accounts;
mod admin;
pub mod answers;
mod assemble;
mod balancer;
mod cloud;
mod collect;
mod documents;
mod edit;
mod endpoint_limits;
mod endpoints;
mod findings;
mod internet;
mod kind;
mod limits;
mod nic;
mod node;
mod nsg;
mod resolve;
mod routing;
mod settings;
pub mod tags;
mod template;
mod terms;
mod terraform;
mod topology;
mod tree;
mod validate;
mod vnet;

use std::borrow::Borrow;
use std::path::{Path, PathBuf};

use super::edit::Edits;
use super::error::IngestError;
use super::source;
use crate::model::finding::{Finding, FindingCode};
use crate::model::network::Network;
use crate::model::tag::TagCatalog;

/// The most that is read of one export, unpacked.
const LIMIT_BYTES: u64 = 512 << 20;

/// One input, whole.
#[derive(Clone, Debug)]
pub struct Document {
    /// How messages name it.
    pub name: String,
    /// Its content, unpacked.
    pub bytes: Vec<u8>,
}

/// Where templates are deployed, and with what: they do not say it themselves (JSON-8).
#[derive(Clone, Debug)]
pub struct Deployment {
    /// ID of the subscription.
    pub subscription: String,
    /// Name of the resource group.
    pub resource_group: String,
    /// A file of values for the templates' parameters.
    pub parameters: Option<Document>,
    /// Which of the two networks of a Terraform plan is read.
    pub side: Side,
}

impl Default for Deployment {
    /// A subscription that none is, and a resource group that shows where its name comes from.
    fn default() -> Self {
        Self {
            subscription: "00000000-0000-0000-0000-000000000000".to_owned(),
            resource_group: "template".to_owned(),
            parameters: None,
            side: Side::default(),
        }
    }
}

impl Deployment {
    /// Takes the values of parameters from a file, plain or packed.
    ///
    /// # Errors
    ///
    /// Fails if the file cannot be read.
    pub fn read_parameters(&mut self, path: &Path) -> Result<(), IngestError> {
        let bytes = source::read(path, LIMIT_BYTES)?;
        self.parameters = Some(Document { name: source::shown(path), bytes });
        Ok(())
    }
}

/// What the documents hold.
#[derive(Debug)]
pub struct Loaded {
    /// The network.
    pub network: Network,
    /// What was odd, sorted, each once.
    pub findings: Vec<Finding>,
    /// Where each NSG stands, as findings tell it, in the order of [`Network::nsgs`].
    pub nsg_places: Vec<String>,
    /// Where each rule of each NSG stands, in the order of [`Nsg::rules`](crate::model::nsg::Nsg::rules); of a default rule,
    /// where its NSG does.
    pub rule_places: Vec<Vec<String>>,
    /// Of the documents' contents; their order and their names do not count.
    pub digest: blake3::Hash,
    /// A Terraform plan is among the documents: they hold a network before it and one after it.
    pub has_plan: bool,
}

/// Which of the two networks of a Terraform plan is read (JSON-9); everything else holds one.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub enum Side {
    /// What there is before the plan is applied.
    Base,
    /// What there will be afterwards.
    #[default]
    Candidate,
}

/// Reads exports from files, folders and standard input (`-`), plain or packed. Of a Terraform plan it takes what it
/// leads to; [`load_deployed`] takes either side.
///
/// With a catalogue of tags, the tags that rules name are looked up in it; without one they are not. What a folder holds
/// beside exports, such as notes, is named in a finding and left alone; a file that was asked for must be an export.
///
/// # Errors
///
/// Fails on what cannot be read, and as [`from_documents`] does.
pub fn load(paths: &[PathBuf], tags: Option<&TagCatalog>) -> Result<Loaded, IngestError> {
    load_deployed(paths, tags, &Deployment::default())
}

/// As [`load`], with what templates need to know.
///
/// # Errors
///
/// Fails as [`load`] does, and on a parameters file that is none or that no template asks for.
pub fn load_deployed(
    paths: &[PathBuf],
    tags: Option<&TagCatalog>,
    deployment: &Deployment,
) -> Result<Loaded, IngestError> {
    let Documents { documents, left } = Documents::read(paths)?;
    let mut loaded = from_documents_deployed(documents, tags, deployment)?;
    tell_left(&mut loaded, &left);
    Ok(loaded)
}

/// Reads exports once and takes them twice: as they are, and with edits applied.
///
/// # Errors
///
/// Fails as [`load_deployed`] does, and, with line and column, on an edit of something that the exports do not hold or
/// that several resources are called, of a default rule, and on one that gives two rules a name or, in a direction, a
/// priority (NSG-2, NSG-3).
pub fn load_edited(
    paths: &[PathBuf],
    tags: Option<&TagCatalog>,
    deployment: &Deployment,
    edits: &Edits,
) -> Result<[Loaded; 2], IngestError> {
    let Documents { documents, left } = Documents::read(paths)?;
    let mut both = from_documents_edited(&documents, tags, deployment, edits)?;
    both.iter_mut().for_each(|loaded| tell_left(loaded, &left));
    Ok(both)
}

/// What is behind paths.
struct Documents {
    documents: Vec<Document>,
    /// Files that are no exports.
    left: Vec<String>,
}

impl Documents {
    fn read(paths: &[PathBuf]) -> Result<Self, IngestError> {
        let (mut documents, mut left) = (Vec::new(), Vec::new());
        for path in paths {
            let behind = source::find(path)?;
            for source in behind.sources {
                let (name, bytes) = (source.name(), source.read(LIMIT_BYTES)?);
                if behind.is_folder && !may_be_json(&bytes) {
                    left.push(name);
                } else {
                    documents.push(Document { name, bytes });
                }
            }
        }
        Ok(Self { documents, left })
    }
}

fn tell_left(loaded: &mut Loaded, left: &[String]) {
    loaded.findings.extend(left.iter().map(|place| Finding {
        place: place.clone(),
        code: FindingCode::UnknownKind,
        nsg: None,
        rule: None,
        message: "left out: the file is not JSON".to_owned(),
    }));
    loaded.findings.sort();
}

/// Whether a text begins as the JSON of an export does, in UTF-8 or any encoding that is refused by name later.
fn may_be_json(bytes: &[u8]) -> bool {
    let marks: [&[u8]; 3] = [b"\xef\xbb\xbf", b"\xff\xfe", b"\xfe\xff"];
    let start = marks.iter().find_map(|mark| bytes.strip_prefix(*mark)).unwrap_or(bytes);
    let mut letters = start.iter().filter(|byte| !byte.is_ascii_whitespace() && **byte != 0);
    letters.next().is_none_or(|first| matches!(first, b'{' | b'['))
}

/// Reads exports that are in memory. Where two documents hold the same resource, the later one counts.
///
/// # Errors
///
/// Fails on a document that is not JSON or has a shape that is not read, and on values that leave nothing to
/// evaluate, such as an unknown direction; the message names the place.
pub fn from_documents(documents: Vec<Document>, tags: Option<&TagCatalog>) -> Result<Loaded, IngestError> {
    from_documents_deployed(documents, tags, &Deployment::default())
}

/// As [`from_documents`], with what templates need to know.
///
/// # Errors
///
/// Fails as [`from_documents`] does, and on a parameters file that is none or that no template asks for.
pub fn from_documents_deployed(
    documents: Vec<Document>,
    tags: Option<&TagCatalog>,
    deployment: &Deployment,
) -> Result<Loaded, IngestError> {
    let digest = digest(documents.iter().chain(&deployment.parameters));
    taken(documents, digest, tags, deployment, None)
}

/// Reads exports that are in memory: as they are, and with edits applied.
///
/// # Errors
///
/// Fails as [`load_edited`] does.
pub fn from_documents_edited(
    documents: &[Document],
    tags: Option<&TagCatalog>,
    deployment: &Deployment,
    edits: &Edits,
) -> Result<[Loaded; 2], IngestError> {
    let digest = digest(documents.iter().chain(&deployment.parameters));
    let taken = |edits| taken(documents, digest, tags, deployment, edits);
    Ok([taken(None)?, taken(Some(edits))?])
}

/// Each document is let go of once it is parsed, where it is given and not lent.
fn taken<D: Borrow<Document>>(
    documents: impl IntoIterator<Item = D>,
    digest: blake3::Hash,
    tags: Option<&TagCatalog>,
    deployment: &Deployment,
    edits: Option<&Edits>,
) -> Result<Loaded, IngestError> {
    let mut trees = Vec::new();
    for document in documents {
        let document = document.borrow();
        trees.push(tree::Tree::parse(&document.name, &document.bytes)?);
    }
    let mut findings = findings::Findings::default();
    let mut collection = collect::Collection::default();
    let parameters = template::Parameters::parse(deployment.parameters.as_ref())?;
    parameters.check_declared(&trees)?;
    let mut has_plan = false;
    for tree in &mut trees {
        for member in tree.repeated() {
            let message = "the object names this member twice: the last one counts";
            findings.add(FindingCode::DuplicateMember, member, message);
        }
        if template::is_template(tree.root()) {
            *tree = template::expand(tree, &parameters, deployment)?;
        } else if documents::is_terraform(tree.root()) {
            has_plan |= terraform::is_plan(tree);
            *tree = terraform::translate(tree, deployment.side, &mut findings)?;
        }
    }
    for tree in &trees {
        documents::read(tree.root(), &mut collection, &mut findings)?;
    }
    let rewritten = match edits {
        Some(edits) => edit::rewrite(edits, &mut collection, &mut findings)?,
        None => Vec::new(),
    };
    for resource in &rewritten {
        collection.replace(resource.kind, &resource.id, resource.tree.root());
    }
    let assemble::Assembled { network, findings, nsg_places, rule_places } =
        assemble::network(collection, findings, tags)?;
    Ok(Loaded { network, findings, nsg_places, rule_places, digest, has_plan })
}

fn digest<'d>(documents: impl Iterator<Item = &'d Document>) -> blake3::Hash {
    let mut hashes: Vec<[u8; 32]> =
        documents.map(|document| *blake3::hash(&document.bytes).as_bytes()).collect();
    hashes.sort_unstable();
    blake3::hash(&hashes.concat())
}
