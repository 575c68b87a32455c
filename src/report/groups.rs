//! Flows by hour, or by what lies at their ends.

use std::cmp::Reverse;
use std::collections::BTreeMap;
use std::fmt::Write as _;

use serde::Serialize;

use super::ledger::HitsJson;
use super::places::place;
use super::sheet::{Sheet, Table};
use super::time::{counted, grouped, rfc3339};
use crate::model::network::Network;
use crate::model::verdict::VerdictKind;
use crate::replay::digest::groups::{Group, Grouping, Groups, HOUR_NS, Way};
use crate::replay::digest::zones::Zone;
use crate::replay::digest::{ByVerdict, Volume};

/// How many marks a line of them has at most.
const MOST_MARKS: u64 = 72;

/// From a little to the most; nothing has a blank.
const MARKS: [char; 8] = ['▁', '▂', '▃', '▄', '▅', '▆', '▇', '█'];

/// The verdicts in the order of their columns.
const KINDS: [VerdictKind; 4] =
    [VerdictKind::Allow, VerdictKind::Deny, VerdictKind::Mixed, VerdictKind::Undetermined];

/// Groups to report on.
pub(super) struct GroupsReport<'a> {
    pub(super) network: &'a Network,
    pub(super) groups: &'a Groups,
}

/// What a group is called; members that have no meaning for it are left out.
#[derive(Serialize)]
pub(super) struct GroupJson {
    /// When the hour begins; null for flows of which no time is known.
    #[serde(skip_serializing_if = "Option::is_none")]
    hour: Option<Option<String>>,
    /// Whether the flows come from it or go to it.
    #[serde(skip_serializing_if = "Option::is_none")]
    way: Option<&'static str>,
    /// Null for flows with none at either end.
    #[serde(skip_serializing_if = "Option::is_none")]
    nic: Option<Option<String>>,
    /// As with `nic`.
    #[serde(skip_serializing_if = "Option::is_none")]
    tag: Option<Option<String>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    place: Option<PlaceJson>,
    #[serde(skip_serializing_if = "Option::is_none")]
    from: Option<PlaceJson>,
    #[serde(skip_serializing_if = "Option::is_none")]
    to: Option<PlaceJson>,
    allow: HitsJson,
    deny: HitsJson,
    mixed: HitsJson,
    undetermined: HitsJson,
}

/// A subnet, or what else an address lies in.
#[derive(Serialize)]
struct PlaceJson {
    name: String,
    #[serde(skip_serializing_if = "String::is_empty")]
    within: String,
}

impl<'a> GroupsReport<'a> {
    /// Hours in their order, other groups by how many flows they have.
    fn sorted(&self) -> Vec<(&'a Group, &'a ByVerdict)> {
        let mut groups: Vec<_> = self.groups.groups.iter().collect();
        if self.groups.grouping != Grouping::Hour {
            groups.sort_by_key(|(group, volumes)| (Reverse(volumes.all().flows), *group));
        }
        groups
    }

    pub(super) fn json(&self) -> Vec<GroupJson> {
        self.sorted().into_iter().map(|(group, volumes)| self.group(group, volumes)).collect()
    }

    fn group(&self, group: &Group, volumes: &ByVerdict) -> GroupJson {
        let hits = |kind| {
            let Volume { flows, packets, bytes } = *volumes.of(kind);
            HitsJson { packets, bytes, flows }
        };
        let place = |zone| {
            let place = place(self.network, zone);
            PlaceJson { name: place.name, within: place.within }
        };
        let mut json = GroupJson {
            hour: None,
            way: None,
            nic: None,
            tag: None,
            place: None,
            from: None,
            to: None,
            allow: hits(VerdictKind::Allow),
            deny: hits(VerdictKind::Deny),
            mixed: hits(VerdictKind::Mixed),
            undetermined: hits(VerdictKind::Undetermined),
        };
        match group {
            Group::Hour(hour) => json.hour = Some(hour.map(|hour| rfc3339(hour * HOUR_NS))),
            Group::Nic(way, nic) => {
                (json.way, json.nic) =
                    (Some(way_word(*way)), Some(Some(self.network.nic_name(*nic).to_owned())));
            }
            Group::NoNic => json.nic = Some(None),
            Group::Zone(way, zone) => (json.way, json.place) = (Some(way_word(*way)), Some(place(*zone))),
            Group::Pair(from, to) => (json.from, json.to) = (Some(place(*from)), Some(place(*to))),
            Group::Tag(way, tag) => {
                (json.way, json.tag) = (Some(way_word(*way)), Some(Some(tag.to_string())));
            }
            Group::NoTag => json.tag = Some(None),
        }
        json
    }

    pub(super) fn table(&self, sheet: &mut Sheet) {
        let write = "writing to a string works";
        let (heading, header): (_, &[&'static str]) = match self.groups.grouping {
            Grouping::Hour => ("Flows by the hour in which they began", &["hour"]),
            Grouping::Nic => ("Flows by the interfaces at their ends", &["", "interface"]),
            Grouping::Subnet => ("Flows by the subnets at their ends", &["", "subnet", "in"]),
            Grouping::Pair => ("Flows from subnet to subnet", &["from", "to"]),
            Grouping::Tag => ("Flows by the service tags of their ends", &["", "tag"]),
        };
        sheet.section(heading);
        let groups = self.sorted();
        if self.groups.grouping == Grouping::Hour {
            self.marks(sheet);
        }
        let shown: Vec<VerdictKind> = KINDS
            .into_iter()
            .filter(|kind| {
                *kind != VerdictKind::Mixed || groups.iter().any(|(_, volumes)| volumes.of(*kind).flows > 0)
            })
            .collect();
        let mut columns = header.to_vec();
        columns.extend(shown.iter().map(|kind| kind.word()));
        columns.extend(["packets", "bytes"]);
        let right: Vec<usize> = (header.len()..columns.len()).collect();
        let mut table = Table::new(&columns, &right);
        for (group, volumes) in groups {
            let mut row = self.words(group);
            row.extend(shown.iter().map(|kind| grouped(volumes.of(*kind).flows)));
            let all = volumes.all();
            row.extend([grouped(all.packets), grouped(all.bytes)]);
            table.add_row(row);
        }
        sheet.table(&table);
        let remark = match self.groups.grouping {
            Grouping::Hour | Grouping::Pair => return,
            Grouping::Nic => {
                "a flow between two interfaces counts at both, one of a log at the one that logged it"
            }
            Grouping::Subnet => "a flow counts at both of its ends",
            Grouping::Tag => "a flow counts with each tag that holds an address of its ends",
        };
        writeln!(sheet, "  {remark}").expect(write);
    }

    /// The cells that name a group.
    fn words(&self, group: &Group) -> Vec<String> {
        let line = |zone: Zone| {
            let place = place(self.network, zone);
            if place.within.is_empty() { place.name } else { format!("{} ({})", place.name, place.within) }
        };
        match group {
            Group::Hour(Some(hour)) => vec![hour_shown(*hour)],
            Group::Hour(None) => vec!["time unknown".to_owned()],
            Group::Nic(way, nic) => vec![way_word(*way).to_owned(), self.network.nic_name(*nic).to_owned()],
            Group::NoNic => vec![String::new(), "(none that the export lists)".to_owned()],
            Group::Zone(way, zone) => {
                let place = place(self.network, *zone);
                vec![way_word(*way).to_owned(), place.name, place.within]
            }
            Group::Pair(from, to) => vec![line(*from), line(*to)],
            Group::Tag(way, tag) => vec![way_word(*way).to_owned(), tag.to_string()],
            Group::NoTag => vec![String::new(), "(none)".to_owned()],
        }
    }

    /// A line of marks for each verdict: how many flows each hour, or each few hours, had of it.
    fn marks(&self, sheet: &mut Sheet) {
        let hours: BTreeMap<u64, &ByVerdict> = self
            .groups
            .groups
            .iter()
            .filter_map(|(group, volumes)| match group {
                Group::Hour(hour) => Some(((*hour)?, volumes)),
                _ => None,
            })
            .collect();
        let (Some((first, _)), Some((last, _))) = (hours.first_key_value(), hours.last_key_value()) else {
            return;
        };
        if first == last {
            return;
        }
        let write = "writing to a string works";
        let width = (last - first + 1).div_ceil(MOST_MARKS);
        for kind in KINDS {
            let mut sums = vec![0; usize::try_from((last - first) / width + 1).unwrap_or_default()];
            for (hour, volumes) in &hours {
                sums[usize::try_from((hour - first) / width).unwrap_or_default()] += volumes.of(kind).flows;
            }
            let most = sums.iter().copied().max().unwrap_or_default();
            if most == 0 {
                continue;
            }
            let line: String = sums.iter().map(|flows| mark(*flows, most)).collect();
            let each = if width == 1 { "an hour".to_owned() } else { format!("in {width} hours") };
            writeln!(sheet, "  {:<12}  {line}  at most {} {each}", kind.word(), counted(most, "flow"))
                .expect(write);
        }
    }
}

/// The mark of a count where the largest is `most`.
fn mark(count: u64, most: u64) -> char {
    if count == 0 {
        return ' ';
    }
    let eighths = (u128::from(count) * MARKS.len() as u128).div_ceil(u128::from(most));
    MARKS[usize::try_from(eighths).unwrap_or(MARKS.len()).clamp(1, MARKS.len()) - 1]
}

/// `2026-11-30T18:00Z`.
fn hour_shown(hour: u64) -> String {
    let time = rfc3339(hour * HOUR_NS);
    time.get(..16).map_or_else(|| time.clone(), |start| format!("{start}Z"))
}

fn way_word(way: Way) -> &'static str {
    match way {
        Way::From => "from",
        Way::To => "to",
    }
}

#[cfg(test)]
mod tests {
    use super::{hour_shown, mark};

    #[test]
    fn marks_rise_with_counts_and_only_nothing_is_blank() {
        let line: String = [0, 1, 50, 51, 399, 400].into_iter().map(|count| mark(count, 400)).collect();
        assert_eq!(line, " ▁▁▂██");
        assert_eq!(mark(u64::MAX, u64::MAX), '█');
    }

    #[test]
    fn hours_are_shown_in_utc() {
        assert_eq!(hour_shown(491_034), "2026-01-06T18:00Z");
    }
}
