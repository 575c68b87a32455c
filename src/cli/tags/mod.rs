//! `nsgsim tags`: which service tags hold an address, what a tag holds, and what another state of the tags changes.

mod drift;

use std::cmp::Reverse;
use std::net::IpAddr;

use clap::Subcommand;

use crate::cli::arguments::{OutputArgs, TagsArgs, TextJsonOrCsv};
use crate::cli::{CliError, Status, inputs, output};
use crate::compile::resolve::fixed_tag;
use crate::model::prefix::Prefix;
use crate::model::tag::{TagCatalog, TagName};
use crate::report::inputs::Inputs;
use crate::report::tags::{Holder, TagShown, TagsOf};

/// How many names are offered for one that is unknown.
const OFFERED: usize = 5;

/// Which service tags hold an address, what a tag holds, what another state of the tags changes
#[derive(clap::Args, Debug)]
#[command(disable_help_subcommand = true)]
pub(super) struct Args {
    #[command(subcommand)]
    question: Question,
}

#[derive(Debug, Subcommand)]
enum Question {
    /// Every tag that holds an address, most specific first
    Of(OfArgs),
    /// A tag's prefixes, region and service
    Show(ShowArgs),
    Drift(Box<drift::Args>),
}

#[derive(clap::Args, Debug)]
struct OfArgs {
    /// IP addresses
    #[arg(value_name = "ADDRESS", required = true)]
    addresses: Vec<IpAddr>,
    #[command(flatten)]
    reading: Reading,
}

#[derive(clap::Args, Debug)]
struct ShowArgs {
    /// The tag's name, in any letter case
    #[arg(value_name = "TAG")]
    tag: String,
    #[command(flatten)]
    reading: Reading,
}

#[derive(clap::Args, Debug)]
struct Reading {
    #[command(flatten)]
    tags: TagsArgs,
    /// table, md, json or csv
    #[arg(long, default_value = "table")]
    format: TextJsonOrCsv,
    #[command(flatten)]
    output: OutputArgs,
}

pub(super) fn run(args: &Args) -> Result<Status, CliError> {
    let reading = match &args.question {
        Question::Of(args) => &args.reading,
        Question::Show(args) => &args.reading,
        Question::Drift(args) => return drift::run(args),
    };
    let catalog = inputs::tags(&reading.tags, reading.output.quiet)?;
    let inputs = Inputs::new(None, catalog.source.clone());
    let style = |form| reading.output.style(form);
    let text = match &args.question {
        Question::Drift(args) => return drift::run(args),
        Question::Of(args) => {
            let answer = |address: &IpAddr| (*address, holders(&catalog, *address));
            let tags = TagsOf { answers: args.addresses.iter().map(answer).collect(), inputs };
            match reading.format {
                TextJsonOrCsv::Json => tags.json(),
                TextJsonOrCsv::Csv => tags.csv(),
                text => tags.table(style(text.form())),
            }
        }
        Question::Show(args) => {
            let tag = shown(&catalog, &args.tag, inputs)?;
            match reading.format {
                TextJsonOrCsv::Json => tag.json(),
                TextJsonOrCsv::Csv => tag.csv(),
                text => tag.table(style(text.form())),
            }
        }
    };
    output::write(reading.output.output.as_deref(), &text)?;
    Ok(Status::Clean)
}

/// Every tag that holds the address, the longest prefix first, then by name. `VirtualNetwork` and `Internet` are not
/// among them: what they hold depends on the subnet that asks.
fn holders(catalog: &TagCatalog, address: IpAddr) -> Vec<Holder> {
    // PERF: a plain scan. The whole command takes 0.02 s with the built-in 110,000 prefixes, 0.05 to 0.11 s with a
    // gzipped file of 96,000 (release build, 2 cores): an index would cost more than it saves.
    let longest = |prefixes: &[Prefix]| {
        let holding = prefixes.iter().filter(|prefix| prefix.contains(&address)).copied();
        holding.max_by_key(Prefix::prefix_len)
    };
    let listed = catalog.iter().filter_map(|tag| {
        Some(Holder {
            name: tag.name.to_string(),
            prefix: longest(&tag.prefixes)?,
            region: tag.region.clone(),
            system_service: tag.system_service.clone(),
        })
    });
    let computed = TagName::COMPUTED.iter().filter_map(|name| {
        Some(Holder {
            name: (*name).to_owned(),
            prefix: longest(&fixed_tag(&TagName::new(name))?)?,
            region: String::new(),
            system_service: String::new(),
        })
    });
    let mut holders: Vec<Holder> = listed.chain(computed).collect();
    holders.sort_by_cached_key(|holder| (Reverse(holder.prefix.prefix_len()), TagName::new(&holder.name)));
    holders
}

fn shown(catalog: &TagCatalog, text: &str, inputs: Inputs) -> Result<TagShown, CliError> {
    let name = TagName::new(text);
    if let Some(name) = TagName::COMPUTED.iter().find(|computed| name.is(computed)) {
        return Ok(TagShown {
            name: (*name).to_owned(),
            region: String::new(),
            system_service: String::new(),
            computed: true,
            prefixes: fixed_tag(&TagName::new(name)),
            inputs,
        });
    }
    let Some(tag) = catalog.get(&name) else {
        let near = near(catalog, &name);
        let offer = match near.as_slice() {
            [] => String::new(),
            names => format!("; did you mean {}?", names.join(", ")),
        };
        return Err(CliError::usage(format!("`{text}`: no service tag of this name{offer}")));
    };
    Ok(TagShown {
        name: tag.name.to_string(),
        region: tag.region.clone(),
        system_service: tag.system_service.clone(),
        computed: false,
        prefixes: Some(tag.prefixes.clone()),
        inputs,
    })
}

/// Names that differ from this one by a slip or two, the nearest first.
fn near(catalog: &TagCatalog, wanted: &TagName) -> Vec<String> {
    let most = (wanted.folded().chars().count() / 4).max(2);
    let computed: Vec<TagName> = TagName::COMPUTED.iter().map(|name| TagName::new(name)).collect();
    let names = catalog.iter().map(|tag| &tag.name).chain(&computed);
    let mut near: Vec<(usize, &TagName)> = names
        .map(|name| (strsim::osa_distance(wanted.folded(), name.folded()), name))
        .filter(|(distance, _)| *distance <= most)
        .collect();
    near.sort();
    near.into_iter().take(OFFERED).map(|(_, name)| name.to_string()).collect()
}

#[cfg(test)]
mod tests {
    use super::{holders, near, shown};
    use crate::model::tag::{ServiceTag, TagCatalog, TagName, TagSource};
    use crate::report::inputs::Inputs;

    fn catalog() -> TagCatalog {
        let mut catalog = TagCatalog::new(TagSource::default());
        let tags: [(&str, &[&str]); 4] = [
            ("AzureCloud", &["20.0.0.0/8", "20.60.0.0/16"]),
            ("Storage", &["20.60.0.0/16"]),
            ("Storage.WestEurope", &["20.60.4.0/24", "2603:1020::/32"]),
            ("Sql", &["40.0.0.0/8"]),
        ];
        for (name, prefixes) in tags {
            catalog.insert(ServiceTag {
                name: TagName::new(name),
                region: String::new(),
                system_service: String::new(),
                prefixes: prefixes.iter().map(|prefix| prefix.parse().unwrap()).collect(),
            });
        }
        catalog
    }

    fn found(address: &str) -> Vec<(String, String)> {
        let holders = holders(&catalog(), address.parse().unwrap());
        holders.into_iter().map(|holder| (holder.name, holder.prefix.to_string())).collect()
    }

    fn pairs(pairs: &[(&str, &str)]) -> Vec<(String, String)> {
        pairs.iter().map(|(name, prefix)| ((*name).to_owned(), (*prefix).to_owned())).collect()
    }

    #[test]
    fn the_longest_prefix_goes_first_and_names_part_equals() {
        let expected = [
            ("Storage.WestEurope", "20.60.4.0/24"),
            ("AzureCloud", "20.60.0.0/16"),
            ("Storage", "20.60.0.0/16"),
        ];
        assert_eq!(found("20.60.4.10"), pairs(&expected));
        assert_eq!(found("20.61.0.1"), pairs(&[("AzureCloud", "20.0.0.0/8")]));
        assert_eq!(found("10.0.0.1"), []);
    }

    #[test]
    fn tag_7_and_11_computed_tags_hold_fixed_addresses() {
        let expected = [("AzureLoadBalancer", "168.63.129.16/32"), ("AzurePlatformDNS", "168.63.129.16/32")];
        assert_eq!(found("168.63.129.16"), pairs(&expected));
        assert_eq!(found("169.254.169.254"), pairs(&[("AzurePlatformIMDS", "169.254.169.254/32")]));
    }

    #[test]
    fn a_slip_is_offered_what_was_meant() {
        assert_eq!(near(&catalog(), &TagName::new("storage.WestEuorpe")), ["Storage.WestEurope"]);
        assert_eq!(near(&catalog(), &TagName::new("Internte")), ["Internet"]);
        let error = shown(&catalog(), "Zzzzzzzz", Inputs::default()).err().unwrap();
        assert_eq!(error.to_string(), "`Zzzzzzzz`: no service tag of this name");
    }

    #[test]
    fn tag_8_what_depends_on_the_subnet_has_no_prefixes_of_its_own() {
        let tag = shown(&catalog(), "virtualnetwork", Inputs::default()).unwrap();
        assert_eq!((tag.name.as_str(), tag.computed, tag.prefixes), ("VirtualNetwork", true, None));
    }
}
