//! What another state of the service tags changes, as text or JSON.

use std::collections::{BTreeMap, BTreeSet};

use serde::Serialize;

use super::diff::DiffReport;
use super::inputs::Inputs;
use super::sheet::{Sheet, Table};
use super::style::Style;
use super::time::{counted, grouped};
use super::whatif::WhatIfReport;
use crate::analyze::drift::{Lives, Naming, Presence, TagChange};
use crate::compile::address_set::AddressSet;
use crate::model::index::NsgIndex;
use crate::model::network::Network;
use crate::model::rule::Direction;
use crate::model::tag::TagName;
use crate::model::verdict::RulePlace;

/// A drift to report on.
pub struct DriftReport<'a> {
    /// The tags that changed.
    pub changes: &'a [TagChange],
    /// What it means for a network, where one was given.
    pub effect: Option<Effect<'a>>,
    /// What it was made from.
    pub inputs: Inputs,
}

/// What a drift means for a network.
pub struct Effect<'a> {
    /// The network.
    pub network: &'a Network,
    /// The rules and routes that name a tag that changed.
    pub concerned: &'a BTreeMap<Naming, BTreeSet<TagName>>,
    /// The rules that become shadowed or alive.
    pub lives: &'a Lives,
    /// Every possible packet that flips; the base is the network with the older tags.
    pub difference: DiffReport<'a>,
    /// The flows that were seen and flip, where traffic was given.
    pub traffic: Option<WhatIfReport<'a>>,
}

#[derive(Serialize)]
struct DriftJson<'a, D: Serialize, T: Serialize> {
    schema: &'static str,
    tags: Vec<TagJson<'a>>,
    #[serde(flatten)]
    effect: Option<EffectJson<D, T>>,
    inputs: &'a Inputs,
}

#[derive(Serialize)]
struct TagJson<'a> {
    name: &'a TagName,
    change: &'static str,
    gained: Vec<String>,
    lost: Vec<String>,
}

#[derive(Serialize)]
struct EffectJson<D: Serialize, T: Serialize> {
    rules: Vec<NamingJson>,
    routes: Vec<NamingJson>,
    /// Rules that no packet reaches any more, and rules that packets reach now.
    died: Vec<NamingJson>,
    revived: Vec<NamingJson>,
    difference: D,
    #[serde(skip_serializing_if = "Option::is_none")]
    traffic: Option<T>,
}

/// A rule or route that names tags that changed.
#[derive(Serialize)]
struct NamingJson {
    /// The NSG, the network manager or the route table.
    of: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    direction: Option<Direction>,
    name: String,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    tags: Vec<String>,
}

impl<'a> From<&'a TagChange> for TagJson<'a> {
    fn from(change: &'a TagChange) -> Self {
        let texts = |set: &AddressSet| set.prefixes().iter().map(ToString::to_string).collect();
        Self {
            name: &change.name,
            change: word(change.presence),
            gained: texts(&change.gained),
            lost: texts(&change.lost),
        }
    }
}

impl NamingJson {
    fn new(network: &Network, naming: Naming, tags: &BTreeSet<TagName>) -> Self {
        let (of, direction, name) = match naming {
            Naming::Rule(RulePlace::Nsg { nsg, rule }) => {
                let rule = &network.nsgs[nsg.get()].rules[rule as usize];
                (network.nsg_name(nsg), Some(rule.direction), &rule.name)
            }
            Naming::Rule(RulePlace::Admin(place)) => {
                let rule = network.admin_rule(place);
                (network.manager_name(place), Some(rule.direction), &rule.name)
            }
            Naming::Route(table, route) => {
                let table = &network.route_tables[table.get()];
                (table.id.name(), None, &table.routes[route as usize].name)
            }
        };
        let tags = tags.iter().map(TagName::to_string).collect();
        Self { of: of.to_owned(), direction, name: name.clone(), tags }
    }
}

impl DriftReport<'_> {
    /// The report as `nsgsim/tags-drift/1`.
    ///
    /// # Panics
    ///
    /// Never: the shape holds nothing that JSON cannot.
    #[must_use]
    pub fn json(&self) -> String {
        let effect = self.effect.as_ref().map(|effect| {
            let (routes, rules) = effect
                .concerned
                .iter()
                .partition::<Vec<_>, _>(|(naming, _)| matches!(naming, Naming::Route(..)));
            let shown = |named: Vec<(&Naming, &BTreeSet<TagName>)>| {
                let named = named.into_iter();
                named.map(|(naming, tags)| NamingJson::new(effect.network, *naming, tags)).collect()
            };
            let rules_of = |rules: &BTreeSet<(NsgIndex, u32)>| {
                let place = |(nsg, rule): &(NsgIndex, u32)| {
                    let naming = Naming::Rule(RulePlace::Nsg { nsg: *nsg, rule: *rule });
                    NamingJson::new(effect.network, naming, &BTreeSet::new())
                };
                rules.iter().map(place).collect()
            };
            EffectJson {
                died: rules_of(&effect.lives.died),
                revived: rules_of(&effect.lives.revived),
                rules: shown(rules),
                routes: shown(routes),
                difference: effect.difference.shape(),
                traffic: effect.traffic.as_ref().map(WhatIfReport::shape),
            }
        });
        let json = DriftJson {
            schema: "nsgsim/tags-drift/1",
            tags: self.changes.iter().map(TagJson::from).collect(),
            effect,
            inputs: &self.inputs,
        };
        serde_json::to_string_pretty(&json).expect("the shape holds nothing that JSON cannot") + "\n"
    }

    /// The report for people: of a network's drift only the tags that it names one by one.
    #[must_use]
    pub fn table(&self, style: Style) -> String {
        let mut sheet = Sheet::new(style);
        self.tags(&mut sheet);
        if let Some(effect) = &self.effect {
            effect.write(&mut sheet);
        }
        let (old, new) = (self.inputs.tags.as_ref(), self.inputs.candidate_tags.as_ref());
        let line = format!("from {} to {}", Inputs::tags_words(old), Inputs::tags_words(new));
        sheet.line(&format!("\n  {}", style.faint(&line)));
        sheet.finish()
    }

    fn tags(&self, sheet: &mut Sheet) {
        let named = |change: &&TagChange| match &self.effect {
            Some(effect) => effect.concerned.values().any(|tags| tags.contains(&change.name)),
            None => true,
        };
        let (shown, left): (Vec<_>, Vec<_>) = self.changes.iter().partition(named);
        sheet.section("Tags that changed");
        if shown.is_empty() {
            sheet.line(if left.is_empty() { "  none" } else { "  none that the network names" });
        } else {
            let mut table = Table::new(&["tag", "", "blocks gained", "blocks lost"], &[2, 3]);
            for change in shown {
                let blocks = |set: &AddressSet| grouped(set.prefixes().len() as u64);
                let (gained, lost) = (blocks(&change.gained), blocks(&change.lost));
                table.add_row([change.name.to_string(), word(change.presence).to_owned(), gained, lost]);
            }
            sheet.table(&table);
        }
        if !left.is_empty() {
            let left = counted(left.len() as u64, "other tag");
            sheet.line(&format!("  and {left} that nothing in the network names: --format json has all"));
        }
    }
}

impl Effect<'_> {
    fn write(&self, sheet: &mut Sheet) {
        sheet.section("Rules and routes that name them");
        if self.concerned.is_empty() {
            sheet.line("  none");
        }
        for (naming, tags) in self.concerned {
            let NamingJson { of, direction, name, tags } = NamingJson::new(self.network, *naming, tags);
            let direction = direction.map(|direction| format!("{direction} ")).unwrap_or_default();
            sheet.line(&format!("  {of} {direction}{name}: {}", tags.join(", ")));
        }
        for (rules, words) in [
            (&self.lives.died, "Rules that no packet reaches any more"),
            (&self.lives.revived, "Rules that no packet reached before"),
        ] {
            if rules.is_empty() {
                continue;
            }
            sheet.section(words);
            for (nsg, rule) in rules {
                let naming = Naming::Rule(RulePlace::Nsg { nsg: *nsg, rule: *rule });
                let NamingJson { of, direction, name, .. } =
                    NamingJson::new(self.network, naming, &BTreeSet::new());
                let direction = direction.map(|direction| format!("{direction} ")).unwrap_or_default();
                sheet.line(&format!("  {of} {direction}{name}"));
            }
        }
        sheet.section("Every possible packet");
        self.difference.write(sheet);
        if let Some(traffic) = &self.traffic {
            sheet.section("Traffic that was seen");
            traffic.write(sheet);
        }
    }
}

/// How a tag changed, in a word.
fn word(presence: Presence) -> &'static str {
    match presence {
        Presence::Both => "changed",
        Presence::NewOnly => "new",
        Presence::OldOnly => "gone",
    }
}
