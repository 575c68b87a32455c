//! Which service tags hold an address, and what a tag holds.

use std::fmt::Write as _;
use std::net::IpAddr;

use serde::{Serialize, Serializer};

use super::inputs::Inputs;
use super::sheet::{Sheet, Table};
use super::style::Style;
use super::time::counted;
use crate::model::prefix::Prefix;

/// A tag that holds an address.
#[derive(Clone, Debug, Eq, PartialEq, Serialize)]
pub struct Holder {
    /// The tag.
    pub name: String,
    /// The longest of its prefixes that hold the address.
    #[serde(serialize_with = "as_text")]
    pub prefix: Prefix,
    /// Its region; empty for a tag that is not regional.
    pub region: String,
    /// Its service; may be empty.
    pub system_service: String,
}

fn as_text<S: Serializer>(prefix: &Prefix, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.collect_str(prefix)
}

/// The tags of some addresses.
pub struct TagsOf {
    /// The addresses with their tags, most specific first.
    pub answers: Vec<(IpAddr, Vec<Holder>)>,
    /// What it was made from.
    pub inputs: Inputs,
}

#[derive(Serialize)]
struct TagsOfJson<'a> {
    schema: &'static str,
    address: IpAddr,
    tags: &'a [Holder],
    inputs: &'a Inputs,
}

impl TagsOf {
    /// One `nsgsim/tags-of/1` for each address, in the order of the question.
    ///
    /// # Panics
    ///
    /// Never: the shape holds nothing that JSON cannot.
    #[must_use]
    pub fn json(&self) -> String {
        let answer = |(address, tags): &(IpAddr, Vec<Holder>)| {
            json(&TagsOfJson { schema: "nsgsim/tags-of/1", address: *address, tags, inputs: &self.inputs })
        };
        self.answers.iter().map(answer).collect()
    }

    /// One line for each address and tag; an address without a tag has none.
    ///
    /// # Panics
    ///
    /// Never: writing to memory works.
    #[must_use]
    pub fn csv(&self) -> String {
        let rows = self.answers.iter().flat_map(|(address, tags)| {
            tags.iter().map(|tag| {
                let texts = [tag.name.clone(), tag.prefix.to_string()];
                let [name, prefix] = texts;
                [address.to_string(), name, prefix, tag.region.clone(), tag.system_service.clone()]
            })
        });
        csv(["address", "name", "prefix", "region", "system_service"], rows)
    }

    /// A table for each address.
    #[must_use]
    pub fn table(&self, style: Style) -> String {
        let mut sheet = Sheet::new(style);
        for (address, tags) in &self.answers {
            sheet.section(&address.to_string());
            if tags.is_empty() {
                sheet.line("  no service tag holds it");
            } else {
                let mut table = Table::new(&["prefix", "tag", "region", "service"], &[]);
                for tag in tags {
                    let prefix = tag.prefix.to_string();
                    table.add_row([prefix, tag.name.clone(), tag.region.clone(), tag.system_service.clone()]);
                }
                sheet.table(&table);
            }
        }
        sheet.line(&format!("\n  {}", style.faint(&self.inputs.tags_shown())));
        sheet.finish()
    }
}

/// What a tag holds.
pub struct TagShown {
    /// Its name, as the file spells it.
    pub name: String,
    /// Its region; empty for a tag that is not regional.
    pub region: String,
    /// Its service; may be empty.
    pub system_service: String,
    /// No file defines it (TAG-6).
    pub computed: bool,
    /// Its prefixes; nothing for a tag that depends on the subnet.
    pub prefixes: Option<Vec<Prefix>>,
    /// What it was made from.
    pub inputs: Inputs,
}

#[derive(Serialize)]
struct TagShownJson<'a> {
    schema: &'static str,
    name: &'a str,
    region: &'a str,
    system_service: &'a str,
    computed: bool,
    counts: Option<CountsJson>,
    prefixes: Option<Vec<String>>,
    inputs: &'a Inputs,
}

/// How many prefixes of each family.
#[derive(Serialize)]
struct CountsJson {
    ipv4: usize,
    ipv6: usize,
}

impl TagShown {
    fn counts(&self) -> Option<CountsJson> {
        let prefixes = self.prefixes.as_ref()?;
        let ipv4 = prefixes.iter().filter(|prefix| prefix.addr().is_ipv4()).count();
        Some(CountsJson { ipv4, ipv6: prefixes.len() - ipv4 })
    }

    /// The tag as `nsgsim/tag/1`.
    ///
    /// # Panics
    ///
    /// Never: the shape holds nothing that JSON cannot.
    #[must_use]
    pub fn json(&self) -> String {
        json(&TagShownJson {
            schema: "nsgsim/tag/1",
            name: &self.name,
            region: &self.region,
            system_service: &self.system_service,
            computed: self.computed,
            counts: self.counts(),
            prefixes: self.prefixes.as_ref().map(|list| list.iter().map(Prefix::to_string).collect()),
            inputs: &self.inputs,
        })
    }

    /// One line for each prefix.
    ///
    /// # Panics
    ///
    /// Never: writing to memory works.
    #[must_use]
    pub fn csv(&self) -> String {
        let prefixes = self.prefixes.iter().flatten();
        let row = |prefix: &Prefix| {
            [self.name.clone(), prefix.to_string(), self.region.clone(), self.system_service.clone()]
        };
        csv(["name", "prefix", "region", "system_service"], prefixes.map(row))
    }

    /// The tag for people.
    ///
    /// # Panics
    ///
    /// Never: writing to a string works.
    #[must_use]
    pub fn table(&self, style: Style) -> String {
        let write = "writing to a string works";
        let mut sheet = Sheet::new(style);
        sheet.section(&self.name);
        if !self.region.is_empty() {
            writeln!(sheet, "  region   {}", self.region).expect(write);
        }
        if !self.system_service.is_empty() {
            writeln!(sheet, "  service  {}", self.system_service).expect(write);
        }
        match (&self.prefixes, self.counts()) {
            (Some(prefixes), Some(counts)) => {
                let (v4, v6) = (counts.ipv4 as u64, counts.ipv6 as u64);
                writeln!(sheet, "  holds    {}, {}", counted(v4, "IPv4 block"), counted(v6, "IPv6 block"))
                    .expect(write);
                for prefix in prefixes {
                    writeln!(sheet, "    {prefix}").expect(write);
                }
            }
            _ => sheet.line(
                "  computed: what it holds depends on the subnet; nsgsim effective --nic NIC --expand shows it",
            ),
        }
        writeln!(sheet, "\n  {}", style.faint(&self.inputs.tags_shown())).expect(write);
        sheet.finish()
    }
}

fn json(value: &impl Serialize) -> String {
    serde_json::to_string_pretty(value).expect("the shape holds nothing that JSON cannot") + "\n"
}

fn csv<const N: usize>(header: [&str; N], rows: impl Iterator<Item = [String; N]>) -> String {
    let write = "writing to memory works";
    let mut writer = csv::Writer::from_writer(Vec::new());
    writer.write_record(header).expect(write);
    for row in rows {
        writer.write_record(row).expect(write);
    }
    String::from_utf8(writer.into_inner().expect(write)).expect("texts are UTF-8")
}
