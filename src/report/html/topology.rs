//! A drawing of the network: virtual networks with their subnets, interfaces and NSGs, and the peerings between them.
//!
//! Networks stand below each other, subnets flow inside them, and peerings run down the right-hand side in lanes of their
//! own, so that no line crosses a box. What there is too much of becomes a number.

use std::cmp::Reverse;
use std::collections::BTreeMap;

use super::svg::{Anchor, Svg, fitted};
use super::topology_table::{self, Table};
use crate::model::index::{NicIndex, PrivateEndpointIndex, Reference, SubnetIndex, VnetIndex};
use crate::model::network::{Network, PeeringState};
use crate::report::time::counted;

/// How many virtual networks are drawn: those with the most peerings.
const MOST_VNETS: usize = 24;
/// How many subnets of each.
const MOST_SUBNETS: usize = 12;
/// How many interfaces and private endpoints of each subnet.
const MOST_ENDS: usize = 6;
/// With more interfaces than these in the network none is drawn by itself.
const MOST_NICS: usize = 300;
/// How many trunks of peerings may run beside each other.
const MOST_LANES: usize = 10;

const WIDTH: f64 = 1120.0;
const LANE: f64 = 16.0;
const MARGIN: f64 = 12.0;
/// Of a network's box above its subnets.
const HEAD: f64 = 46.0;
const GAP: f64 = 12.0;
const COLUMNS: usize = 4;
/// Of a subnet's box above its interfaces.
const SUBNET_HEAD: f64 = 58.0;
const END: f64 = 30.0;
/// About how wide a letter is.
const LETTER: f64 = 6.4;

/// The drawing and the table that says the same.
pub(super) struct Topology {
    /// The drawing; nothing for a network without virtual networks.
    pub(super) drawing: Option<String>,
    /// What the drawing leaves out, in words.
    pub(super) left_out: Vec<String>,
    pub(super) table: Table,
}

/// A virtual network that is drawn.
struct Placed {
    vnet: VnetIndex,
    subnets: Vec<SubnetIndex>,
    top: f64,
    height: f64,
    /// How many lines end at it so far.
    ends: usize,
}

impl Placed {
    /// Where the next line ends at its right-hand side.
    fn next_end(&mut self) -> f64 {
        self.ends += 1;
        self.top + (14.0 + 12.0 * (self.ends - 1) as f64).min(self.height - 8.0)
    }
}

/// What is in each subnet.
struct Contents<'n> {
    network: &'n Network,
    nics: BTreeMap<SubnetIndex, Vec<NicIndex>>,
    endpoints: BTreeMap<SubnetIndex, Vec<PrivateEndpointIndex>>,
    /// Interfaces are drawn one by one.
    one_by_one: bool,
}

impl Topology {
    pub(super) fn new(network: &Network) -> Self {
        let contents = Contents::new(network);
        let mut vnets: Vec<VnetIndex> = (0..network.vnets.len()).map(VnetIndex::new).collect();
        vnets.sort_by_key(|vnet| Reverse(network.vnets[vnet.get()].peerings.len()));
        let mut left_out = Vec::new();
        if vnets.len() > MOST_VNETS {
            left_out.push(counted((vnets.len() - MOST_VNETS) as u64, "virtual network"));
            vnets.truncate(MOST_VNETS);
        }
        let strays =
            network.nics.iter().filter(|nic| nic.subnet.as_ref().and_then(Reference::here).is_none());
        let strays = strays.count() as u64;
        if strays > 0 {
            left_out.push(format!("{} whose subnet the export lacks", counted(strays, "interface")));
        }
        let drawing = (!vnets.is_empty()).then(|| draw(&contents, &vnets, &mut left_out));
        Self { drawing, left_out, table: topology_table::table(network) }
    }
}

fn draw(contents: &Contents<'_>, vnets: &[VnetIndex], left_out: &mut Vec<String>) -> String {
    let network = contents.network;
    let mut top = MARGIN;
    let mut placed: Vec<Placed> = Vec::new();
    for vnet in vnets {
        let all = &network.vnets[vnet.get()].subnets;
        let subnets: Vec<SubnetIndex> = all.iter().take(MOST_SUBNETS).copied().collect();
        let lines: f64 = subnets.chunks(COLUMNS).map(|line| contents.line_height(line) + GAP).sum();
        let more = if all.len() > MOST_SUBNETS { 22.0 } else { 0.0 };
        let height = HEAD + lines.max(GAP) + more;
        placed.push(Placed { vnet: *vnet, subnets, top, height, ends: 0 });
        top += height + GAP;
    }
    let bottom = top - GAP + MARGIN;
    let (lanes, undrawn) = lanes(network, &placed);
    if undrawn > 0 {
        left_out.push(counted(undrawn, "peering"));
    }
    let lane_count = lanes.iter().map(|line| line.lane + 1).max().unwrap_or(0);
    let right = WIDTH - MARGIN - if lane_count > 0 { LANE * (lane_count + 1) as f64 } else { 0.0 };

    let shows = format!(
        "{}, {}, {}, {}. The table below it names them.",
        counted(network.vnets.len() as u64, "virtual network"),
        counted(network.subnets.len() as u64, "subnet"),
        counted(network.nics.len() as u64, "interface"),
        counted(network.nsgs.len() as u64, "network security group")
    );
    let mut svg = Svg::described("topology", (WIDTH, bottom), "The network's topology", &shows);
    for place in &placed {
        draw_vnet(&mut svg, contents, place, right);
    }
    let mut starts: BTreeMap<usize, f64> = BTreeMap::new();
    for line in &lanes {
        let from = *starts.entry(line.from).or_insert_with(|| placed[line.from].next_end());
        let to = placed[line.to].next_end();
        draw_peering(&mut svg, line, (from, to), right);
    }
    svg.finish()
}

fn draw_vnet(svg: &mut Svg, contents: &Contents<'_>, place: &Placed, right: f64) {
    let network = contents.network;
    let vnet = &network.vnets[place.vnet.get()];
    let ranges: Vec<String> = vnet.address_space.iter().map(ToString::to_string).collect();
    let ranges = ranges.join(", ");
    let left = MARGIN;
    svg.open("vnet", &format!("virtual network {}\n{ranges}", vnet.id));
    svg.round("vnet-box", (left, place.top), (right - left, place.height), 8.0);
    let room = (right - left) / 2.0 - 24.0;
    svg.text("vnet-name", (left + 14.0, place.top + 20.0), Anchor::Start, &fitted(vnet.id.name(), room, 7.6));
    svg.text("small", (left + 14.0, place.top + 36.0), Anchor::Start, &fitted(&ranges, room, LETTER));
    let about = topology_table::about(network, place.vnet);
    svg.text("small", (right - 14.0, place.top + 20.0), Anchor::End, &fitted(&about, room, LETTER));
    svg.close();

    let width = (right - left - GAP * (COLUMNS + 1) as f64) / COLUMNS as f64;
    let mut top = place.top + HEAD;
    for line in place.subnets.chunks(COLUMNS) {
        let height = contents.line_height(line);
        for (column, subnet) in line.iter().enumerate() {
            let x = left + GAP + (width + GAP) * column as f64;
            draw_subnet(svg, contents, *subnet, (x, top), (width, height));
        }
        top += height + GAP;
    }
    let more = vnet.subnets.len() - place.subnets.len();
    if more > 0 {
        let words = format!("and {}", counted(more as u64, "more subnet"));
        svg.text("small", (left + 14.0, top + 8.0), Anchor::Start, &words);
    }
}

fn draw_subnet(
    svg: &mut Svg,
    contents: &Contents<'_>,
    subnet: SubnetIndex,
    (x, y): (f64, f64),
    (width, height): (f64, f64),
) {
    let network = contents.network;
    let resource = &network.subnets[subnet.get()];
    let ranges = topology_table::ranges(&resource.prefixes);
    let nsg = topology_table::nsg(network, resource.nsg.as_ref());
    let said = nsg.as_deref().unwrap_or("no NSG");
    svg.open("subnet", &format!("subnet {}\n{ranges}\n{said}", resource.id.name()));
    svg.round("subnet-box", (x, y), (width, height), 5.0);
    let room = width - 20.0;
    svg.text("subnet-name", (x + 10.0, y + 17.0), Anchor::Start, &fitted(resource.id.name(), room, 7.0));
    svg.text("small", (x + 10.0, y + 31.0), Anchor::Start, &fitted(&ranges, room, LETTER));
    badge(svg, nsg.as_deref(), (x + 10.0, y + 37.0), room);
    svg.close();

    let mut top = y + SUBNET_HEAD;
    let (shown, more) = contents.shown(subnet);
    for end in shown {
        svg.open("end", &end.title);
        svg.round(end.class, (x + 10.0, top), (width - 20.0, END - 4.0), 4.0);
        let half = if end.nsg.is_some() { (width - 20.0) * 0.52 } else { width - 32.0 };
        svg.text("end-name", (x + 16.0, top + 11.0), Anchor::Start, &fitted(&end.name, half - 6.0, LETTER));
        svg.text("tiny", (x + 16.0, top + 22.0), Anchor::Start, &fitted(&end.address, half - 6.0, 5.6));
        if end.nsg.is_some() {
            let room = width - 20.0 - half - 6.0;
            let right = x + width - 16.0;
            let wide = badge_width(end.nsg.as_deref(), room);
            badge(svg, end.nsg.as_deref(), (right - wide, top + 5.0), room);
        }
        svg.close();
        top += END;
    }
    if let Some(more) = more {
        svg.text("small", (x + 10.0, top + 12.0), Anchor::Start, &more);
    }
}

/// An NSG at what it guards; an open outline where there is none.
fn badge(svg: &mut Svg, nsg: Option<&str>, (x, y): (f64, f64), room: f64) {
    let words = fitted(nsg.unwrap_or("no NSG"), room - 14.0, LETTER);
    let width = badge_width(nsg, room);
    svg.round(if nsg.is_some() { "nsg-badge" } else { "no-badge" }, (x, y), (width, 16.0), 8.0);
    let class = if nsg.is_some() { "nsg-name" } else { "small" };
    svg.text(class, (x + width / 2.0, y + 11.5), Anchor::Middle, &words);
}

fn badge_width(nsg: Option<&str>, room: f64) -> f64 {
    let letters = nsg.unwrap_or("no NSG").chars().count();
    (letters as f64 * LETTER + 14.0).min(room)
}

/// An interface or private endpoint as it is drawn.
struct End {
    class: &'static str,
    name: String,
    address: String,
    nsg: Option<String>,
    title: String,
}

impl<'n> Contents<'n> {
    fn new(network: &'n Network) -> Self {
        let mut nics: BTreeMap<SubnetIndex, Vec<NicIndex>> = BTreeMap::new();
        for nic in (0..network.nics.len()).map(NicIndex::new) {
            if let Some(subnet) = network.subnet_of(nic) {
                nics.entry(subnet).or_default().push(nic);
            }
        }
        let mut endpoints: BTreeMap<SubnetIndex, Vec<PrivateEndpointIndex>> = BTreeMap::new();
        for (position, endpoint) in network.private_endpoints.iter().enumerate() {
            if let Some(subnet) = endpoint.subnet.as_ref().and_then(Reference::here) {
                endpoints.entry(subnet).or_default().push(PrivateEndpointIndex::new(position));
            }
        }
        Self { network, nics, endpoints, one_by_one: network.nics.len() <= MOST_NICS }
    }

    fn count(&self, subnet: SubnetIndex) -> (usize, usize) {
        (self.nics.get(&subnet).map_or(0, Vec::len), self.endpoints.get(&subnet).map_or(0, Vec::len))
    }

    /// How many ends are drawn one by one, and whether a line says how many more there are.
    fn extent(&self, subnet: SubnetIndex) -> (usize, bool) {
        let (nics, endpoints) = self.count(subnet);
        let all = nics + endpoints;
        let shown = if self.one_by_one { all.min(MOST_ENDS) } else { 0 };
        (shown, all > shown)
    }

    fn line_height(&self, line: &[SubnetIndex]) -> f64 {
        let height = |subnet: &SubnetIndex| {
            let (shown, more) = self.extent(*subnet);
            SUBNET_HEAD + END * shown as f64 + if more { 20.0 } else { 2.0 }
        };
        line.iter().map(height).fold(0.0, f64::max)
    }

    /// The ends that are drawn one by one, and how many more there are, in words.
    fn shown(&self, subnet: SubnetIndex) -> (Vec<End>, Option<String>) {
        let (shown, is_more) = self.extent(subnet);
        let nics = self.nics.get(&subnet).into_iter().flatten().map(|nic| self.nic(*nic));
        let endpoints =
            self.endpoints.get(&subnet).into_iter().flatten().map(|endpoint| self.endpoint(*endpoint));
        let ends: Vec<End> = nics.chain(endpoints).take(shown).collect();
        let (nics, endpoints) = self.count(subnet);
        let more = if shown > 0 {
            format!("and {} more", nics + endpoints - shown)
        } else if endpoints > 0 {
            let endpoints = counted(endpoints as u64, "private endpoint");
            format!("{}, {endpoints}", counted(nics as u64, "interface"))
        } else {
            counted(nics as u64, "interface")
        };
        (ends, is_more.then_some(more))
    }

    fn nic(&self, nic: NicIndex) -> End {
        let resource = &self.network.nics[nic.get()];
        let addresses: Vec<String> = resource
            .ip_configurations
            .iter()
            .filter_map(|configuration| configuration.address)
            .map(|address| address.to_string())
            .collect();
        let nsg = topology_table::nsg(self.network, resource.nsg.as_ref());
        let own = nsg.as_deref().map_or_else(String::new, |nsg| format!("\n{nsg}"));
        let title = format!("interface {}\n{}{own}", resource.id.name(), addresses.join(", "));
        End {
            class: "nic-box",
            name: resource.id.name().to_owned(),
            address: addresses.join(", "),
            nsg,
            title,
        }
    }

    fn endpoint(&self, endpoint: PrivateEndpointIndex) -> End {
        let resource = &self.network.private_endpoints[endpoint.get()];
        let addresses: Vec<String> = resource.addresses.iter().map(ToString::to_string).collect();
        let address = addresses.join(", ");
        End {
            class: "endpoint-box",
            name: resource.id.name().to_owned(),
            title: format!("private endpoint {}\n{address}", resource.id.name()),
            address: format!("private endpoint {address}"),
            nsg: None,
        }
    }
}

/// A peering between two networks that are drawn, by their positions from the top.
struct Line {
    from: usize,
    to: usize,
    lane: usize,
    connected: bool,
    title: String,
}

/// The peerings in their lanes, short trunks innermost, and how many found none.
fn lanes(network: &Network, placed: &[Placed]) -> (Vec<Line>, u64) {
    let position = |vnet: VnetIndex| placed.iter().position(|place| place.vnet == vnet);
    let mut pairs: BTreeMap<(usize, usize), Vec<(VnetIndex, PeeringState)>> = BTreeMap::new();
    for (own, place) in placed.iter().enumerate() {
        for peering in &network.vnets[place.vnet.get()].peerings {
            let Some(remote) = peering.remote.here().and_then(position) else { continue };
            pairs.entry((own.min(remote), own.max(remote))).or_default().push((place.vnet, peering.state));
        }
    }
    pairs.retain(|(from, to), _| from != to);
    // The peerings of the upper network are branches of one trunk: a hub needs one lane, however many spokes it has.
    let mut trunks: BTreeMap<usize, usize> = BTreeMap::new();
    for (from, to) in pairs.keys() {
        let lowest = trunks.entry(*from).or_default();
        *lowest = (*lowest).max(*to);
    }
    let mut trunks: Vec<(usize, usize)> = trunks.into_iter().collect();
    trunks.sort_by_key(|(from, to)| (to - from, *from));
    let mut taken: Vec<Vec<(usize, usize)>> = Vec::new();
    let mut lane_of: BTreeMap<usize, usize> = BTreeMap::new();
    for (from, to) in trunks {
        let is_free = |lane: &Vec<(usize, usize)>| lane.iter().all(|(start, end)| to < *start || *end < from);
        let lane = taken.iter().position(is_free).unwrap_or(taken.len());
        if lane == MOST_LANES {
            continue;
        }
        if lane == taken.len() {
            taken.push(Vec::new());
        }
        taken[lane].push((from, to));
        lane_of.insert(from, lane);
    }
    let mut lines = Vec::new();
    let mut undrawn = 0;
    for ((from, to), sides) in pairs {
        let Some(lane) = lane_of.get(&from).copied() else {
            undrawn += 1;
            continue;
        };
        let name = |place: usize| network.vnets[placed[place].vnet.get()].id.name();
        let said: Vec<String> = sides
            .iter()
            .map(|(vnet, state)| {
                format!("{}: {}", network.vnets[vnet.get()].id.name(), topology_table::state(*state))
            })
            .collect();
        let connected = sides.len() > 1 && sides.iter().all(|(_, state)| *state == PeeringState::Connected);
        let title = format!("peering of {} and {}\n{}", name(from), name(to), said.join("\n"));
        lines.push(Line { from, to, lane, connected, title });
    }
    (lines, undrawn)
}

fn draw_peering(svg: &mut Svg, line: &Line, (from, to): (f64, f64), right: f64) {
    let x = right + LANE * (line.lane + 1) as f64;
    svg.open("peering", &line.title);
    let class = if line.connected { "peering-line" } else { "peering-line unconnected" };
    svg.polyline(class, &[(right, from), (x, from), (x, to), (right, to)]);
    svg.dot("peering-end", (right, from), 3.5);
    svg.dot("peering-end", (right, to), 3.5);
    svg.close();
}
