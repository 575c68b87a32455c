//! Pairs of rules of opposite access that share packets, neither covering the other.

use super::cut::{Cut, Place};
use crate::analyze::regions::bits::Bits;
use crate::model::flow::FiveTuple;
use crate::model::rule::Access;

/// A rule in terms of the classes of a cut.
struct Shape {
    rule: u32,
    access: Access,
    parts: Vec<Part>,
}

/// One item of it.
struct Part {
    item: usize,
    /// By family the classes of sources and of destinations.
    ends: [[Bits; 2]; 2],
    services: Bits,
}

/// The pairs, each with a packet that both match: the rule ahead, the one behind, the packet.
pub(super) fn overlaps(cut: &Cut, is_asked: impl Fn(u32) -> bool) -> Vec<(u32, u32, FiveTuple)> {
    let mut shapes: Vec<Shape> = Vec::new();
    for (number, item) in cut.items.iter().enumerate() {
        let Some(rule) = item.rule.filter(|rule| is_asked(*rule)) else { continue };
        let ends = [0, 1].map(|family| {
            let classes = &cut.families[family];
            [&classes.sources, &classes.destinations].map(|classes| {
                let holding = (0..classes.len()).filter(|class| classes[*class].items.contains(number));
                Bits::of(classes.len(), holding)
            })
        });
        let part = Part { item: number, ends, services: item.services.clone() };
        match shapes.last_mut() {
            Some(shape) if shape.rule == rule => shape.parts.push(part),
            _ => shapes.push(Shape { rule, access: item.access, parts: vec![part] }),
        }
    }
    let mut found = Vec::new();
    for (place, ahead) in shapes.iter().enumerate() {
        for behind in shapes[place + 1..].iter().filter(|behind| behind.access != ahead.access) {
            if ahead.covers(behind, cut) || behind.covers(ahead, cut) {
                continue;
            }
            if let Some(packet) = ahead.shared(behind, cut) {
                found.push((ahead.rule, behind.rule, packet));
            }
        }
    }
    found
}

impl Shape {
    /// Whether a part of it holds each part of the other, wherever that matches.
    fn covers(&self, other: &Self, cut: &Cut) -> bool {
        other.parts.iter().all(|other| {
            let holds = |own: &Part| {
                cut.items[own.item].matches_with(&cut.items[other.item])
                    && other.services.is_within(&own.services)
                    && own.ends.iter().zip(&other.ends).all(|(own, other)| {
                        other.iter().any(Bits::is_empty)
                            || (other[0].is_within(&own[0]) && other[1].is_within(&own[1]))
                    })
            };
            self.parts.iter().any(holds)
        })
    }

    fn certain_parts(&self, cut: &Cut) -> impl Iterator<Item = &Part> {
        self.parts.iter().filter(|part| cut.items[part.item].is_certain())
    }

    /// A packet that both certainly match.
    fn shared(&self, other: &Self, cut: &Cut) -> Option<FiveTuple> {
        for own in self.certain_parts(cut) {
            for other in other.certain_parts(cut) {
                let services = own.services.and(&other.services);
                if services.is_empty() {
                    continue;
                }
                for family in [0, 1] {
                    let [sources, destinations] =
                        [0, 1].map(|side| own.ends[family][side].and(&other.ends[family][side]));
                    for source in sources.iter() {
                        for destination in destinations.iter() {
                            let place = Place { family, source, destination };
                            if cut.row(place).is_some() {
                                return Some(cut.packet(place, &services));
                            }
                        }
                    }
                }
            }
        }
        None
    }
}
