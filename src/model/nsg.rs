//! A network security group and the six rules that every one of them has.

use super::id::ResourceId;
use super::prefix::PortRange;
use super::rule::{Access, AddressTerm, Direction, PortTerm, Priority, ProtocolMatch, Rule};
use super::tag::TagName;

/// A network security group.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Nsg {
    /// Its ID.
    pub id: ResourceId,
    /// Its GUID, by which VNet flow logs know it (LOG-6).
    pub resource_guid: Option<String>,
    /// Existing flows are evaluated again when the rules change (NSG-20).
    pub flush_connection: bool,
    /// The subnets that hold it by its own account. The subnets' own account goes first: this one counts only for
    /// subnets that the inventory lacks (JSON-3).
    pub attached_subnets: Vec<ResourceId>,
    /// Custom and default rules of both directions.
    ///
    /// INVARIANT: sorted by [`Nsg::sort`]; exactly the six default rules of DEF-1 are among them.
    pub rules: Vec<Rule>,
}

impl Nsg {
    /// An NSG of these custom rules and the six default ones.
    #[must_use]
    pub fn new(id: ResourceId, custom: Vec<Rule>) -> Self {
        let mut nsg = Self {
            id,
            resource_guid: None,
            flush_connection: false,
            attached_subnets: Vec::new(),
            rules: custom,
        };
        nsg.rules.extend(default_rules());
        nsg.sort();
        nsg
    }

    /// Puts the rules into the order in which they are tried: inbound before outbound, then by priority; equal
    /// priorities keep the order of the input, custom rules ahead of default ones (NSG-4).
    pub fn sort(&mut self) {
        self.rules.sort_by_key(|rule| (rule.direction, rule.priority, rule.is_default));
    }

    /// The rules of one direction with their positions in [`Nsg::rules`], first tried first.
    pub fn list(&self, direction: Direction) -> impl Iterator<Item = (usize, &Rule)> {
        self.rules.iter().enumerate().filter(move |(_, rule)| rule.direction == direction)
    }
}

/// The six rules of DEF-1, in the API's spelling.
#[must_use]
pub fn default_rules() -> [Rule; 6] {
    let rule = |name: &str, priority, direction, access, source, destination| Rule {
        name: name.to_owned(),
        priority: Priority(priority),
        direction,
        access,
        protocol: ProtocolMatch::Any,
        source: vec![source],
        source_ports: vec![PortTerm::Range(PortRange::ALL)],
        destination: vec![destination],
        destination_ports: vec![PortTerm::Range(PortRange::ALL)],
        is_default: true,
    };
    let tag = |name: &str| AddressTerm::Tag(TagName::new(name));
    let any = || AddressTerm::Any;
    let (vnet, internet) = (TagName::VIRTUAL_NETWORK, TagName::INTERNET);
    let probes = TagName::AZURE_LOAD_BALANCER;
    use {Access::*, Direction::*};
    [
        rule("AllowVnetInBound", 65000, Inbound, Allow, tag(vnet), tag(vnet)),
        rule("AllowAzureLoadBalancerInBound", 65001, Inbound, Allow, tag(probes), any()),
        rule("DenyAllInBound", 65500, Inbound, Deny, any(), any()),
        rule("AllowVnetOutBound", 65000, Outbound, Allow, tag(vnet), tag(vnet)),
        rule("AllowInternetOutBound", 65001, Outbound, Allow, any(), tag(internet)),
        rule("DenyAllOutBound", 65500, Outbound, Deny, any(), any()),
    ]
}
