//! Network interfaces and public addresses (JSON-5, JSON-6).

use super::collect::Resource;
use super::kind::{self, Kind};
use super::node::Node;
use super::resolve::Reader;
use crate::ingest::error::IngestError;
use crate::model::finding::FindingCode;
use crate::model::index::{AsgIndex, Reference};
use crate::model::network::{IpConfiguration, Nic, PublicIp, PublicIpSku};

/// An interface with its IP configurations, not resolved yet.
pub(super) struct NicDraft<'a> {
    pub resource: Resource<'a>,
    pub configurations: Vec<Resource<'a>>,
}

/// Reads an interface.
pub(super) fn read<'a>(reader: &mut Reader<'a>, draft: &NicDraft<'a>) -> Result<Nic, IngestError> {
    let node = draft.resource.node;
    let mut ip_configurations = Vec::with_capacity(draft.configurations.len());
    let mut subnet = None;
    for configuration in &draft.configurations {
        ip_configurations.push(read_configuration(reader, configuration)?);
        let Some(named) =
            reader.reference_of(configuration.node, "subnet", |positions| &positions.subnets)?
        else {
            continue;
        };
        match &subnet {
            None => subnet = Some(named),
            Some(first) if *first == named => {}
            Some(_) => reader.findings.add(
                FindingCode::InvalidTopology,
                configuration.node,
                "the interface's configurations name different subnets: the first one is used (TOP-4)",
            ),
        }
    }
    if let [only] = &mut ip_configurations[..] {
        // Exactly one is primary (TOP-4), whether the export says so or not.
        only.primary = true;
    }
    Ok(Nic {
        id: draft.resource.id.clone(),
        ip_configurations,
        subnet,
        nsg: reader.reference_of(node, "networkSecurityGroup", |positions| &positions.nsgs)?,
        ip_forwarding: node.flag_of("enableIPForwarding")?.unwrap_or(false),
        mac: node.member("macAddress").map(mac).transpose()?,
        machine: node.reference_of("virtualMachine")?.map(|(id, _)| id),
    })
}

fn read_configuration<'a>(
    reader: &mut Reader<'a>,
    resource: &Resource<'a>,
) -> Result<IpConfiguration, IngestError> {
    let node = resource.node;
    let mut asgs: Vec<AsgIndex> = Vec::new();
    for asg in node.references_of("applicationSecurityGroups")? {
        // To be in a group that is not known is to be, perhaps, in any.
        if asg.1.unresolved().is_some() {
            return Err(asg.1.wrong("a resource ID"));
        }
        // Every group that a configuration names is in the network's list, exported or not.
        if let Reference::Here(asg) = reader.resolve(asg, |positions| &positions.asgs) {
            asgs.push(asg);
        }
    }
    asgs.sort();
    asgs.dedup();
    reader.know(&resource.id);
    if node.is_of_template() && node.member("privateIPAddress").is_none() {
        let message = "Azure picks the address when it deploys: packets to and from it cannot be recognised";
        reader.findings.add(FindingCode::UnknownValue, node, message);
    }
    Ok(IpConfiguration {
        id: resource.id.clone(),
        address: node.address_of("privateIPAddress")?,
        primary: node.flag_of("primary")?.unwrap_or(false),
        public_ip: reader.reference_of(node, "publicIPAddress", |positions| &positions.public_ips)?,
        asgs,
        backend_pools: reader.ids_of(node, "loadBalancerBackendAddressPools")?,
        inbound_nat_rules: reader.ids_of(node, "loadBalancerInboundNatRules")?,
    })
}

/// Reads `00-0D-3A-11-22-33`, with dashes, colons or neither.
fn mac(node: Node<'_>) -> Result<[u8; 6], IngestError> {
    let wrong = || node.wrong("a MAC address");
    let digits: Vec<u8> = node.text()?.bytes().filter(|byte| !matches!(byte, b'-' | b':')).collect();
    if digits.len() != 12 {
        return Err(wrong());
    }
    let mut mac = [0; 6];
    for (byte, pair) in mac.iter_mut().zip(digits.chunks_exact(2)) {
        let digit = |digit: u8| (digit as char).to_digit(16).ok_or_else(wrong);
        *byte = u8::try_from(digit(pair[0])? * 16 + digit(pair[1])?).map_err(|_| wrong())?;
    }
    Ok(mac)
}

/// Reads a public address.
pub(super) fn public_ip<'a>(
    reader: &mut Reader<'a>,
    resource: &Resource<'a>,
) -> Result<PublicIp, IngestError> {
    let node = resource.node;
    let sku = node.member("sku").map(|sku| sku.text_of("name")).transpose()?.flatten();
    let user = node.reference_of("ipConfiguration")?.map(|(id, place)| {
        // What uses an address may be of a kind that is not read; those that are read must be there.
        let is_read = matches!(kind::of_owner(&id), Some(Kind::Nic | Kind::LoadBalancer));
        if is_read { reader.expect((id, place)) } else { id }
    });
    Ok(PublicIp {
        id: resource.id.clone(),
        address: node.address_of("ipAddress")?,
        sku: sku.and_then(|sku| match sku {
            _ if sku.eq_ignore_ascii_case("Basic") => Some(PublicIpSku::Basic),
            _ if sku.eq_ignore_ascii_case("Standard") || sku.eq_ignore_ascii_case("StandardV2") => {
                Some(PublicIpSku::Standard)
            }
            _ => None,
        }),
        user,
        idle_timeout_min: node.number_of("idleTimeoutInMinutes", "a number of minutes")?,
    })
}
