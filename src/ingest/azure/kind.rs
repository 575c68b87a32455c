//! Which kind of resource an object is: by its `type`, else by the type segments of its ID (JSON-11).

use crate::model::id::ResourceId;

/// Declares the kinds with the names of their lists in an inventory object and their types.
macro_rules! kinds {
    ($($name:ident $list:literal $type:literal),+ $(,)?) => {
        /// A kind of resource that is read.
        #[derive(Clone, Copy, Debug, Eq, Ord, PartialEq, PartialOrd)]
        pub(super) enum Kind { $($name),+ }

        /// Each kind, its list's name, its type.
        const KINDS: &[(Kind, &str, &str)] = &[$((Kind::$name, $list, $type)),+];
    };
}

kinds! {
    Nsg "networkSecurityGroups" "Microsoft.Network/networkSecurityGroups",
    Asg "applicationSecurityGroups" "Microsoft.Network/applicationSecurityGroups",
    Vnet "virtualNetworks" "Microsoft.Network/virtualNetworks",
    Nic "networkInterfaces" "Microsoft.Network/networkInterfaces",
    PublicIp "publicIPAddresses" "Microsoft.Network/publicIPAddresses",
    RouteTable "routeTables" "Microsoft.Network/routeTables",
    LoadBalancer "loadBalancers" "Microsoft.Network/loadBalancers",
    NatGateway "natGateways" "Microsoft.Network/natGateways",
    PrivateEndpoint "privateEndpoints" "Microsoft.Network/privateEndpoints",
    PrivateLinkService "privateLinkServices" "Microsoft.Network/privateLinkServices",
    Gateway "virtualNetworkGateways" "Microsoft.Network/virtualNetworkGateways",
    LocalGateway "localNetworkGateways" "Microsoft.Network/localNetworkGateways",
    Connection "connections" "Microsoft.Network/connections",
    EndpointPolicy "serviceEndpointPolicies" "Microsoft.Network/serviceEndpointPolicies",
    StorageAccount "storageAccounts" "Microsoft.Storage/storageAccounts",
    Vault "vaults" "Microsoft.KeyVault/vaults",
    SqlServer "sqlServers" "Microsoft.Sql/servers",
    Bastion "bastionHosts" "Microsoft.Network/bastionHosts",
    ApplicationGateway "applicationGateways" "Microsoft.Network/applicationGateways",
    NetworkManager "networkManagers" "Microsoft.Network/networkManagers",
    ManagementGroup "managementGroups" "Microsoft.Management/managementGroups",
    Subscription "subscriptions" "Microsoft.Resources/subscriptions",
    Machine "virtualMachines" "Microsoft.Compute/virtualMachines",
    // The project's own: what the machine behind an interface does (ROUTE-15).
    Appliance "appliances" "nsgsim/appliances",
}

/// Types of instances of scale sets' interfaces, which are not resources of the network provider (TOP-7).
const SCALE_SET_NIC: &str = "Microsoft.Compute/virtualMachineScaleSets/virtualMachines/networkInterfaces";

/// Types of children that may be exported on their own; they are merged into their parents.
const CHILDREN: &[&str] = &[
    "Microsoft.Network/loadBalancers/backendAddressPools",
    "Microsoft.Network/loadBalancers/frontendIPConfigurations",
    "Microsoft.Network/loadBalancers/inboundNatRules",
    "Microsoft.Network/loadBalancers/loadBalancingRules",
    "Microsoft.Network/loadBalancers/outboundRules",
    "Microsoft.Network/loadBalancers/probes",
    "Microsoft.Network/networkInterfaces/ipConfigurations",
    "Microsoft.Network/networkManagers/networkGroups",
    "Microsoft.Network/networkManagers/networkGroups/staticMembers",
    "Microsoft.Network/networkManagers/securityAdminConfigurations",
    "Microsoft.Network/networkManagers/securityAdminConfigurations/ruleCollections",
    "Microsoft.Network/networkManagers/securityAdminConfigurations/ruleCollections/rules",
    "Microsoft.Network/networkSecurityGroups/defaultSecurityRules",
    "Microsoft.Network/networkSecurityGroups/securityRules",
    "Microsoft.Network/routeTables/routes",
    "Microsoft.Network/serviceEndpointPolicies/serviceEndpointPolicyDefinitions",
    "Microsoft.Network/virtualNetworks/subnets",
    "Microsoft.Network/virtualNetworks/virtualNetworkPeerings",
    "Microsoft.Sql/servers/firewallRules",
    "Microsoft.Sql/servers/virtualNetworkRules",
];

/// What a type stands for.
#[derive(Debug, Eq, PartialEq)]
pub(super) enum Recognised {
    /// A resource that is read.
    Resource(Kind),
    /// A part of one, exported on its own.
    Child,
    /// A resource that is not read, by its type.
    Other(String),
}

/// What `type` stands for; where it is not there, what the ID's type segments stand for.
pub(super) fn recognise(type_text: Option<&str>, id: Option<&ResourceId>) -> Option<Recognised> {
    let of_type = type_text.filter(|text| text.contains('/')).map(str::to_owned);
    let name = of_type.or_else(|| type_of(id?))?;
    let is = |other: &str| other.eq_ignore_ascii_case(&name);
    if let Some((kind, ..)) = KINDS.iter().find(|(.., kind)| is(kind)) {
        return Some(Recognised::Resource(*kind));
    }
    if is(SCALE_SET_NIC) {
        return Some(Recognised::Resource(Kind::Nic));
    }
    Some(if CHILDREN.iter().any(|child| is(child)) { Recognised::Child } else { Recognised::Other(name) })
}

/// The kind whose list in an inventory object is named so.
pub(super) fn of_list(name: &str) -> Option<Kind> {
    KINDS.iter().find(|(_, list, _)| list.eq_ignore_ascii_case(name)).map(|(kind, ..)| *kind)
}

/// The kind of the resource that the ID names, or that it is a child of.
pub(super) fn of_owner(id: &ResourceId) -> Option<Kind> {
    let name = type_of(id)?;
    let starts = |kind: &str| {
        name.get(..kind.len()).is_some_and(|start| start.eq_ignore_ascii_case(kind))
            && matches!(name.as_bytes().get(kind.len()), None | Some(b'/'))
    };
    let kind = KINDS.iter().find(|(.., kind)| starts(kind)).map(|(kind, ..)| *kind);
    kind.or_else(|| starts(SCALE_SET_NIC).then_some(Kind::Nic))
}

/// The type that the segments of an ID spell: provider, then each type without the names between.
fn type_of(id: &ResourceId) -> Option<String> {
    let segments: Vec<&str> = id.as_str().split('/').collect();
    let providers = segments.iter().rposition(|segment| segment.eq_ignore_ascii_case("providers"))?;
    let provider = segments.get(providers + 1)?;
    let types: Vec<&str> = segments[providers + 2..].iter().step_by(2).copied().collect();
    (!types.is_empty()).then(|| format!("{provider}/{}", types.join("/")))
}

#[cfg(test)]
mod tests {
    use super::{Kind, Recognised, of_owner, recognise};
    use crate::model::id::ResourceId;

    #[test]
    fn json_11_types_are_read_off_an_id_by_position() {
        let of = |text: &str| recognise(None, ResourceId::new(text).as_ref());
        let group = "/subscriptions/0/resourceGroups/providers/providers";
        assert_eq!(
            of(&format!("{group}/Microsoft.Network/NETWORKINTERFACES/subnets")),
            Some(Recognised::Resource(Kind::Nic))
        );
        assert_eq!(
            of(&format!("{group}/Microsoft.Network/virtualNetworks/v/subnets/virtualNetworks")),
            Some(Recognised::Child)
        );
        assert_eq!(
            of(&format!(
                "{group}/Microsoft.Compute/virtualMachineScaleSets/s/virtualMachines/0/networkInterfaces/n"
            )),
            Some(Recognised::Resource(Kind::Nic))
        );
        assert_eq!(
            of(&format!("{group}/Microsoft.Compute/disks/d")),
            Some(Recognised::Other("Microsoft.Compute/disks".to_owned()))
        );
        assert_eq!(of("root"), None);
    }

    #[test]
    fn a_configuration_belongs_to_its_interface() {
        let id =
            ResourceId::new("/providers/Microsoft.Network/networkInterfaces/n/ipConfigurations/c").unwrap();
        assert_eq!(of_owner(&id), Some(Kind::Nic));
        let id = ResourceId::new("/providers/Microsoft.Network/networkInterfacesOld/n").unwrap();
        assert_eq!(of_owner(&id), None);
    }
}
