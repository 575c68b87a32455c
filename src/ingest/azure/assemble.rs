//! From the collected resources to a [`Network`]: sorts them, gives them their indices, reads each family in turn.

use std::collections::{BTreeMap, BTreeSet, HashMap};

use super::collect::{Collection, Resource};
use super::endpoints::EndpointDraft;
use super::findings::Findings;
use super::kind::Kind;
use super::nic::NicDraft;
use super::node::Node;
use super::resolve::{Positions, Reader, positions};
use super::{
    accounts, admin, balancer, cloud, endpoint_limits, endpoints, internet, limits, nic, nsg, routing,
    settings, topology, validate, vnet,
};
use crate::ingest::error::IngestError;
use crate::model::finding::Finding;
use crate::model::id::ResourceId;
use crate::model::index::{
    AsgIndex, GatewayIndex, LocalGatewayIndex, NatGatewayIndex, NicIndex, NsgIndex, PublicIpIndex,
    RouteTableIndex, SubnetIndex, VnetIndex,
};
use crate::model::network::{Asg, Network};
use crate::model::services::ServiceKind;
use crate::model::tag::TagCatalog;

/// Where the elements that are checked as a whole stand in the input, in the order of their lists.
#[derive(Default)]
pub(super) struct Nodes<'a> {
    pub vnets: Vec<Node<'a>>,
    /// Of each network.
    pub peerings: Vec<Vec<Node<'a>>>,
    pub subnets: Vec<Node<'a>>,
    pub nics: Vec<Node<'a>>,
    /// Of each interface.
    pub configurations: Vec<Vec<Node<'a>>>,
    /// Of each private endpoint its own object, or where only its interface is known, that one.
    pub private_endpoints: Vec<Node<'a>>,
    pub route_tables: Vec<Node<'a>>,
    /// Those that were exported.
    pub asgs: Vec<(ResourceId, Node<'a>)>,
}

/// A network and what was found while it was built.
pub(super) struct Assembled {
    pub network: Network,
    pub findings: Vec<Finding>,
    /// Where each NSG stands in the input, in the order of the network's list.
    pub nsg_places: Vec<String>,
    /// Where each rule of each NSG stands, in the order of its list.
    pub rule_places: Vec<Vec<String>>,
}

/// Builds the network.
pub(super) fn network<'a>(
    mut collection: Collection<'a>,
    mut findings: Findings,
    tags: Option<&'a TagCatalog>,
) -> Result<Assembled, IngestError> {
    let vnets = collection.take(Kind::Vnet);
    let (subnets, subnets_of) = subnets(&mut collection, &vnets, &mut findings)?;
    let (nics, endpoint_drafts) = interfaces(&mut collection, &mut findings)?;
    let exported_asgs = collection.take(Kind::Asg);
    let asgs = asgs(&exported_asgs, &nics)?;
    let nsgs = collection.take(Kind::Nsg);
    let public_ips = collection.take(Kind::PublicIp);
    let route_tables = collection.take(Kind::RouteTable);
    let nat_gateways = collection.take(Kind::NatGateway);
    let gateways = collection.take(Kind::Gateway);
    let local_gateways = collection.take(Kind::LocalGateway);
    let all = Positions {
        vnets: positions(ids(&vnets), VnetIndex::new),
        subnets: positions(subnets.iter().map(|(subnet, _)| &subnet.id), SubnetIndex::new),
        nics: positions(nics.iter().map(|nic| &nic.resource.id), NicIndex::new),
        nsgs: positions(ids(&nsgs), NsgIndex::new),
        asgs: positions(&asgs, AsgIndex::new),
        public_ips: positions(ids(&public_ips), PublicIpIndex::new),
        route_tables: positions(ids(&route_tables), RouteTableIndex::new),
        nat_gateways: positions(ids(&nat_gateways), NatGatewayIndex::new),
        gateways: positions(ids(&gateways), GatewayIndex::new),
        local_gateways: positions(ids(&local_gateways), LocalGatewayIndex::new),
    };
    let mut nodes = Nodes {
        vnets: vnets.iter().map(|vnet| vnet.node).collect(),
        subnets: subnets.iter().map(|(subnet, _)| subnet.node).collect(),
        nics: nics.iter().map(|nic| nic.resource.node).collect(),
        configurations: nics
            .iter()
            .map(|nic| nic.configurations.iter().map(|configuration| configuration.node).collect())
            .collect(),
        route_tables: route_tables.iter().map(|table| table.node).collect(),
        asgs: exported_asgs.iter().map(|asg| (asg.id.clone(), asg.node)).collect(),
        peerings: Vec::new(),
        private_endpoints: endpoint_drafts.values().filter_map(EndpointDraft::node).collect(),
    };
    let mut reader = Reader::new(collection, findings, all, tags);
    let mut network = Network { asgs: asgs.into_iter().map(|id| Asg { id }).collect(), ..Network::default() };

    for (resource, subnets) in vnets.iter().zip(subnets_of) {
        let (vnet, peerings) = vnet::read(&mut reader, resource, subnets)?;
        network.vnets.push(vnet);
        nodes.peerings.push(peerings);
    }
    network.subnets = read_all(&subnets, |(subnet, vnet)| vnet::subnet(&mut reader, subnet, *vnet))?;
    network.nics = read_all(&nics, |nic| nic::read(&mut reader, nic))?;
    network.public_ips = read_all(&public_ips, |one| nic::public_ip(&mut reader, one))?;
    network.route_tables = read_all(&route_tables, |one| routing::table(&mut reader, one))?;
    network.nat_gateways = read_all(&nat_gateways, |one| routing::nat_gateway(&mut reader, one))?;
    network.gateways = read_all(&gateways, |one| routing::gateway(&mut reader, one))?;
    network.local_gateways = read_all(&local_gateways, |one| routing::local_gateway(&mut reader, one))?;
    for (id, draft) in endpoint_drafts {
        network.private_endpoints.push(endpoints::private_endpoint(&mut reader, id, &draft)?);
    }
    read_services(&mut reader, &mut network)?;

    let names = names(&nsgs);
    let mut drafts = Vec::with_capacity(nsgs.len());
    for (resource, name) in nsgs.into_iter().zip(names) {
        drafts.push(nsg::read(&mut reader, resource, name)?);
    }
    let effective = std::mem::take(&mut reader.collection.effective_rules);
    let mut findings = reader.finish();
    network.observed_internet = internet::observed(&effective, &mut findings)?;
    validate::check(&drafts, &network, &mut findings);
    topology::check(&network, &nodes, &mut findings);
    limits::check(&network, &drafts, &nodes, &mut findings);
    endpoint_limits::check(&network, &drafts, &mut findings);
    settings::check(&network, &drafts, &nodes, &mut findings);
    cloud::check(tags, &drafts, &nodes, &mut findings);
    let nsg_places = drafts.iter().map(|draft| draft.node.place()).collect();
    let rule_places = drafts.iter().map(nsg::NsgDraft::rule_places).collect();
    network.nsgs = drafts.into_iter().map(nsg::NsgDraft::finish).collect();
    Ok(Assembled { network, findings: findings.finish(), nsg_places, rule_places })
}

fn read_services(reader: &mut Reader<'_>, network: &mut Network) -> Result<(), IngestError> {
    network.connections = take_all(reader, Kind::Connection, routing::connection)?;
    network.load_balancers = take_all(reader, Kind::LoadBalancer, balancer::read)?;
    network.private_link_services =
        take_all(reader, Kind::PrivateLinkService, endpoints::private_link_service)?;
    network.bastions = take_all(reader, Kind::Bastion, endpoints::bastion)?;
    network.application_gateways =
        take_all(reader, Kind::ApplicationGateway, endpoints::application_gateway)?;
    network.endpoint_policies = take_all(reader, Kind::EndpointPolicy, endpoints::policy)?;
    network.network_managers = take_all(reader, Kind::NetworkManager, admin::manager)?;
    network.management_groups =
        take_all(reader, Kind::ManagementGroup, |_, one| admin::management_group(one))?;
    let subscriptions = take_all(reader, Kind::Subscription, |_, one| admin::subscription(one))?;
    network.subscriptions = subscriptions.into_iter().flatten().collect();
    network.subscriptions.sort_by_cached_key(|subscription| subscription.id.to_ascii_lowercase());
    let machines = take_all(reader, Kind::Machine, |_, one| admin::flexible_machine(one))?;
    network.flexible_machines = machines.into_iter().flatten().collect();
    network.appliances = take_all(reader, Kind::Appliance, admin::appliance)?;
    for (kind, service) in [
        (Kind::StorageAccount, ServiceKind::Storage),
        (Kind::Vault, ServiceKind::KeyVault),
        (Kind::SqlServer, ServiceKind::Sql),
    ] {
        let accounts = take_all(reader, kind, |reader, one| accounts::read(reader, one, service))?;
        network.service_accounts.extend(accounts);
    }
    network.service_accounts.sort_by(|one, two| one.id.cmp(&two.id));
    let effective = std::mem::take(&mut reader.collection.effective_admin_rules);
    network.effective_admin_rules = admin::effective_rules(reader, &effective)?.into_iter().collect();
    Ok(())
}

/// Reads all resources of a kind, in order of their IDs.
fn take_all<'a, T>(
    reader: &mut Reader<'a>,
    kind: Kind,
    read: impl Fn(&mut Reader<'a>, &Resource<'a>) -> Result<T, IngestError>,
) -> Result<Vec<T>, IngestError> {
    let resources = reader.collection.take(kind);
    read_all(&resources, |one| read(reader, one))
}

fn read_all<R, T>(list: &[R], read: impl FnMut(&R) -> Result<T, IngestError>) -> Result<Vec<T>, IngestError> {
    list.iter().map(read).collect()
}

fn ids<'r>(resources: &'r [Resource<'_>]) -> impl Iterator<Item = &'r ResourceId> {
    resources.iter().map(|resource| &resource.id)
}

type Subnets<'a> = (Vec<(Resource<'a>, VnetIndex)>, Vec<Vec<SubnetIndex>>);

/// All subnets in the order of their networks, and the subnets of each network.
fn subnets<'a>(
    collection: &mut Collection<'a>,
    vnets: &[Resource<'a>],
    findings: &mut Findings,
) -> Result<Subnets<'a>, IngestError> {
    let (mut all, mut of_vnets) = (Vec::new(), Vec::with_capacity(vnets.len()));
    for (position, vnet) in vnets.iter().enumerate() {
        let mut own = Vec::new();
        for subnet in collection.children(vnet, "subnets", "subnets", findings)? {
            if subnet.id.name().is_empty() {
                return Err(subnet.node.lacks("id", "a resource ID"));
            }
            own.push(SubnetIndex::new(all.len()));
            all.push((subnet, VnetIndex::new(position)));
        }
        of_vnets.push(own);
    }
    Ok((all, of_vnets))
}

type Interfaces<'a> = (Vec<NicDraft<'a>>, BTreeMap<ResourceId, EndpointDraft<'a>>);

/// The ordinary interfaces, and the private endpoints with theirs (JSON-5).
fn interfaces<'a>(
    collection: &mut Collection<'a>,
    findings: &mut Findings,
) -> Result<Interfaces<'a>, IngestError> {
    let mut endpoints: BTreeMap<ResourceId, EndpointDraft<'a>> = BTreeMap::new();
    let mut endpoint_of: HashMap<ResourceId, ResourceId> = HashMap::new();
    for resource in collection.take(Kind::PrivateEndpoint) {
        for (nic, _) in resource.node.references_of("networkInterfaces")? {
            endpoint_of.insert(nic, resource.id.clone());
        }
        endpoints.insert(resource.id.clone(), EndpointDraft { resource: Some(resource), nics: Vec::new() });
    }
    let mut nics = Vec::new();
    for resource in collection.take(Kind::Nic) {
        let configurations =
            collection.children(&resource, "ipConfigurations", "ipConfigurations", findings)?;
        let own = resource.node.reference_of("privateEndpoint")?.map(|(id, _)| id);
        let endpoint = own.or_else(|| endpoint_of.remove(&resource.id));
        let nic = NicDraft { resource, configurations };
        match endpoint {
            Some(endpoint) => endpoints.entry(endpoint).or_default().nics.push(nic),
            None => nics.push(nic),
        }
    }
    Ok((nics, endpoints))
}

/// IDs of the groups that were exported or that some IP configuration names.
fn asgs(exported: &[Resource<'_>], nics: &[NicDraft<'_>]) -> Result<BTreeSet<ResourceId>, IngestError> {
    let mut asgs: BTreeSet<ResourceId> = exported.iter().map(|asg| asg.id.clone()).collect();
    for configuration in nics.iter().flat_map(|nic| &nic.configurations) {
        for (id, node) in configuration.node.references_of("applicationSecurityGroups")? {
            // A name that stands for one that is not known may be another group's, unless the template makes it.
            if id.name().contains('{') && !asgs.contains(&id) {
                return Err(node.error(format!("`{id}` hangs on a name that is not known: expected a name")));
            }
            asgs.insert(id);
        }
    }
    Ok(asgs)
}

/// How findings name each NSG: by its name, or by its ID where others share the name (SIM-8).
fn names(nsgs: &[Resource<'_>]) -> Vec<String> {
    let mut uses: HashMap<String, usize> = HashMap::new();
    for nsg in nsgs {
        *uses.entry(nsg.id.name().to_ascii_lowercase()).or_default() += 1;
    }
    let name = |nsg: &Resource<'_>| {
        let shared = uses[&nsg.id.name().to_ascii_lowercase()] > 1;
        if shared { nsg.id.as_str().to_owned() } else { nsg.id.name().to_owned() }
    };
    nsgs.iter().map(name).collect()
}
