#!/usr/bin/env python3
"""Writes the example network: `data/example` as it is, `data/example-candidate` as a change would leave it.

The files have the shape that `az network ... list` prints. Run without arguments; the same bytes come out each time.
`data/README.md` draws the network and lists what the candidate changes. Needs Python 3.9, standard library only.
"""

import ipaddress
import json
import uuid
from pathlib import Path

DATA = Path(__file__).resolve().parents[2] / "data"
SUBSCRIPTION = "00000000-0000-0000-0000-000000000000"
LOCATION = "westeurope"


def resource_id(group, kind, name):
    return f"/subscriptions/{SUBSCRIPTION}/resourceGroups/{group}/providers/{kind}/{name}"


def network_id(group, kind, name):
    return resource_id(group, f"Microsoft.Network/{kind}", name)


def guid(text):
    """A number that looks like Azure's and is the same on every run."""
    return str(uuid.uuid5(uuid.NAMESPACE_URL, text))


def etag(text):
    return f'W/"{guid("etag " + text)}"'


def resource(group, kind, name, **members):
    """What all resources have."""
    own = network_id(group, kind, name)
    common = {
        "etag": etag(own),
        "id": own,
        "location": LOCATION,
        "name": name,
        "provisioningState": "Succeeded",
        "resourceGroup": group,
        "resourceGuid": guid(own),
        "type": f"Microsoft.Network/{kind}",
    }
    return dict(sorted({**common, **members}.items()))


def child(parent, kind, name, **members):
    """What all parts of resources have."""
    own = f"{parent['id']}/{kind}/{name}"
    common = {
        "etag": etag(own),
        "id": own,
        "name": name,
        "provisioningState": "Succeeded",
        "resourceGroup": parent["resourceGroup"],
        "type": f"{parent['type']}/{kind}",
    }
    return dict(sorted({**common, **members}.items()))


def reference(own):
    return {"id": own, "resourceGroup": own.split("/")[4]}


# ---------------------------------------------------------------------------------------------------------------------
# Security groups: (name, priority, access, protocol, source, source ports, destination, destination ports).
# A side is a prefix, a tag, a list of prefixes, or an application security group written `asg:NAME`.

SUPPORT = "10.10.1.0/24"
DNS = "10.10.1.4/32"
PROBES = ("AllowProbesInBound", 4095, "Allow", "*", "AzureLoadBalancer", "*", "*")
NO_VNET = ("DenyVnetInBound", 4096, "Deny", "*", "VirtualNetwork", "VirtualNetwork", "*")
SSH = ("AllowSshFromShared", 120, "Allow", "Tcp", SUPPORT, "*", "22")


def groups(candidate):
    """Name of each security group: (resource group, inbound rules, outbound rules)."""
    ssh_to_web = SUPPORT if candidate else "10.0.0.0/8"
    storage = "Storage.WestEurope" if candidate else "Storage"
    to_postgres = [("AllowAppToPostgres", 130, "Allow", "Tcp", "asg:asg-app", "asg:asg-db", "5432")]
    no_internet = [("DenyInternetOutBound", 4000, "Deny", "*", "*", "Internet", "*")]
    return {
        "nsg-bastion": (
            "rg-hub",
            [
                ("AllowHttpsInBound", 120, "Allow", "Tcp", "Internet", "*", "443"),
                ("AllowGatewayManagerInBound", 130, "Allow", "Tcp", "GatewayManager", "*", "443"),
                ("AllowAzureLoadBalancerInBound", 140, "Allow", "Tcp", "AzureLoadBalancer", "*", "443"),
                ("AllowBastionHostCommunication", 150, "Allow", "*", "VirtualNetwork", "VirtualNetwork", ["8080", "5701"]),
            ],
            [
                ("AllowSshRdpOutBound", 100, "Allow", "*", "*", "VirtualNetwork", ["22", "3389"]),
                ("AllowAzureCloudOutBound", 110, "Allow", "Tcp", "*", "AzureCloud", "443"),
                ("AllowBastionCommunication", 120, "Allow", "*", "VirtualNetwork", "VirtualNetwork", ["8080", "5701"]),
                ("AllowHttpOutBound", 130, "Allow", "*", "*", "Internet", "80"),
            ],
        ),
        "nsg-shared": (
            "rg-hub",
            [
                ("AllowDnsFromSpokes", 100, "Allow", "Udp", ["10.10.0.0/16", "10.20.0.0/16", "10.30.0.0/16"], DNS, "53"),
                ("AllowBastion", 110, "Allow", "Tcp", "10.10.0.0/26", "*", ["22", "3389"]),
                ("AllowPing", 120, "Allow", "Icmp", "VirtualNetwork", "*", "*"),
                PROBES,
                NO_VNET,
            ],
            [],
        ),
        "nsg-nva": (
            "rg-hub",
            [
                ("AllowForwardedFromBatch", 100, "Allow", "*", "10.20.4.0/24", "*", "*"),
                SSH,
                NO_VNET,
            ],
            [("AllowForwardedToInternet", 100, "Allow", "*", "10.20.4.0/24", "Internet", "*")],
        ),
        "nsg-web": (
            "rg-app",
            [
                ("AllowHttpsFromInternet", 100, "Allow", "Tcp", "Internet", "asg:asg-web", "443"),
                ("AllowWebPeers", 110, "Allow", "Tcp", "fd00:20:0:1::/64", "fd00:20:0:1::/64", "8443"),
                ("AllowSshFromCorp", 120, "Allow", "Tcp", ssh_to_web, "*", "22"),
                ("AllowPingFromShared", 130, "Allow", "Icmp", SUPPORT, "*", "*"),
                ("DenyRdpFromInternet", 4000, "Deny", "Tcp", "Internet", "*", "3389"),
                PROBES,
                NO_VNET,
            ],
            [
                ("AllowWebToApp", 100, "Allow", "Tcp", "asg:asg-web", "asg:asg-app", "8080"),
                ("AllowDns", 110, "Allow", "Udp", "*", DNS, "53"),
                ("AllowWebPeersOut", 120, "Allow", "Tcp", "fd00:20:0:1::/64", "fd00:20:0:1::/64", "8443"),
                ("DenyWebToDb", 200, "Deny", "*", "asg:asg-web", "asg:asg-db", "*"),
            ],
        ),
        "nsg-web-1": (
            "rg-app",
            [
                ("AllowHttps", 100, "Allow", "Tcp", "*", "*", "443"),
                ("AllowSshFromHub", 110, "Allow", "Tcp", "10.10.0.0/16", "*", "22"),
                ("AllowWebPeers", 120, "Allow", "Tcp", "fd00:20:0:1::/64", "*", "8443"),
            ],
            [],
        ),
        "nsg-app": (
            "rg-app",
            [
                ("AllowWebToApp", 100, "Allow", "Tcp", "asg:asg-web", "asg:asg-app", "8080"),
                ("AllowAppPeers", 110, "Allow", "Tcp", "asg:asg-app", "asg:asg-app", "9300-9400"),
                SSH,
                PROBES,
                NO_VNET,
            ],
            [
                ("AllowAppToDb", 100, "Allow", "Tcp", "asg:asg-app", "asg:asg-db", "1433"),
                ("AllowDns", 110, "Allow", "Udp", "*", DNS, "53"),
                ("AllowMonitor", 120, "Allow", "Tcp", "*", "AzureMonitor", "443"),
                ("AllowKeyVault", 130, "Allow", "Tcp", "*", "AzureKeyVault.WestEurope", "443"),
            ]
            + (no_internet if candidate else []),
        ),
        "nsg-db": (
            "rg-app",
            [
                ("AllowAppToSql", 100, "Allow", "Tcp", "asg:asg-app", "asg:asg-db", "1433"),
                ("AllowReplication", 110, "Allow", "Tcp", "asg:asg-db", "asg:asg-db", "5022"),
                SSH,
                PROBES,
                NO_VNET,
            ]
            + (to_postgres if candidate else []),
            [
                ("AllowReplicationOut", 100, "Allow", "Tcp", "asg:asg-db", "asg:asg-db", "5022"),
                ("AllowDns", 110, "Allow", "Udp", "*", DNS, "53"),
            ],
        ),
        "nsg-db-2": (
            "rg-app",
            [
                ("AllowReplicationFromFirst", 100, "Allow", "Tcp", "10.20.3.4/32", "*", "5022"),
                SSH,
                NO_VNET,
            ],
            [],
        ),
        "nsg-batch": (
            "rg-app",
            [SSH],
            [
                ("AllowDns", 100, "Allow", "Udp", "*", DNS, "53"),
                ("AllowHttpsOutBound", 110, "Allow", "Tcp", "*", "Internet", "443"),
                ("DenyInternetOutBound", 4000, "Deny", "*", "*", "Internet", "*"),
            ],
        ),
        "nsg-ml-compute": (
            "rg-ml",
            [
                ("AllowClusterPeers", 100, "Allow", "*", "10.30.1.0/24", "10.30.1.0/24", "*"),
                SSH,
                PROBES,
                NO_VNET,
            ],
            [
                ("AllowAzureActiveDirectory", 100, "Allow", "Tcp", "*", "AzureActiveDirectory", ["80", "443"]),
                ("AllowAzureMachineLearning", 110, "Allow", "Tcp", "*", "AzureMachineLearning", ["443", "8787", "18881"]),
                ("AllowAzureMachineLearningUdp", 120, "Allow", "Udp", "*", "AzureMachineLearning", "5831"),
                ("AllowBatchNodeManagement", 130, "Allow", "*", "*", "BatchNodeManagement.WestEurope", "443"),
                ("AllowAzureResourceManager", 140, "Allow", "Tcp", "*", "AzureResourceManager", "443"),
                ("AllowStorage", 150, "Allow", "Tcp", "*", storage, ["443", "445"]),
                ("AllowFrontDoorFrontend", 160, "Allow", "Tcp", "*", "AzureFrontDoor.Frontend", "443"),
                ("AllowMicrosoftContainerRegistry", 170, "Allow", "Tcp", "*", "MicrosoftContainerRegistry.WestEurope", "443"),
                ("AllowFrontDoorFirstParty", 180, "Allow", "Tcp", "*", "AzureFrontDoor.FirstParty", "443"),
                ("AllowAzureMonitor", 190, "Allow", "Tcp", "*", "AzureMonitor", "443"),
                ("AllowKeyVault", 200, "Allow", "Tcp", "*", "AzureKeyVault.WestEurope", "443"),
                ("AllowPrivateEndpoints", 210, "Allow", "Tcp", "*", "10.30.2.0/24", "443"),
                ("AllowDns", 220, "Allow", "Udp", "*", DNS, "53"),
                # On purpose: no such region, so no file has the tag. What hangs on this rule is undetermined (TAG-15).
                ("AllowContainerRegistry", 300, "Allow", "Tcp", "*", "AzureContainerRegistry.WestEuorpe", "443"),
                ("DenyInternetOutBound", 4000, "Deny", "*", "*", "Internet", "*"),
            ],
        ),
        "nsg-ml-endpoints": (
            "rg-ml",
            [
                ("AllowHttpsFromCompute", 100, "Allow", "Tcp", "10.30.1.0/24", "10.30.2.0/24", "443"),
                NO_VNET,
            ],
            [],
        ),
    }


ASGS = {"asg-web": "rg-app", "asg-app": "rg-app", "asg-db": "rg-app"}

DEFAULT_RULES = [
    ("AllowVnetInBound", 65000, "Inbound", "Allow", "VirtualNetwork", "VirtualNetwork", "Allow inbound traffic from all VMs in VNET"),
    ("AllowAzureLoadBalancerInBound", 65001, "Inbound", "Allow", "AzureLoadBalancer", "*", "Allow inbound traffic from azure load balancer"),
    ("DenyAllInBound", 65500, "Inbound", "Deny", "*", "*", "Deny all inbound traffic"),
    ("AllowVnetOutBound", 65000, "Outbound", "Allow", "VirtualNetwork", "VirtualNetwork", "Allow outbound traffic from all VMs to all VMs in VNET"),
    ("AllowInternetOutBound", 65001, "Outbound", "Allow", "*", "Internet", "Allow outbound traffic from all VMs to Internet"),
    ("DenyAllOutBound", 65500, "Outbound", "Deny", "*", "*", "Deny all outbound traffic"),
]


def side(word, value):
    """The members of one side of a rule; `word` is `source` or `destination`."""
    if isinstance(value, str) and value.startswith("asg:"):
        name = value.removeprefix("asg:")
        own = network_id(ASGS[name], "applicationSecurityGroups", name)
        return {f"{word}AddressPrefixes": [], f"{word}ApplicationSecurityGroups": [reference(own)]}
    if isinstance(value, list):
        return {f"{word}AddressPrefixes": value}
    return {f"{word}AddressPrefix": value, f"{word}AddressPrefixes": []}


def ports(word, value):
    if isinstance(value, list):
        return {f"{word}PortRanges": value}
    return {f"{word}PortRange": value, f"{word}PortRanges": []}


def rule(parent, direction, name, priority, access, protocol, source, destination, destination_ports):
    return child(
        parent,
        "securityRules",
        name,
        priority=priority,
        direction=direction,
        access=access,
        protocol=protocol,
        **side("source", source),
        **side("destination", destination),
        **ports("source", "*"),
        **ports("destination", destination_ports),
    )


def default_rule(parent, name, priority, direction, access, source, destination, description):
    made = rule(parent, direction, name, priority, access, "*", source, destination, "*")
    own = f"{parent['id']}/defaultSecurityRules/{name}"
    made.update(id=own, etag=etag(own), type=parent["type"] + "/defaultSecurityRules", description=description)
    return dict(sorted(made.items()))


# ---------------------------------------------------------------------------------------------------------------------
# Networks: subnet: (prefixes, further members).


def nsg_of(name):
    return {"networkSecurityGroup": reference(network_id(groups(False)[name][0], "networkSecurityGroups", name))}


def nat_of(group, name):
    return {"natGateway": reference(network_id(group, "natGateways", name))}


ROUTES = {"routeTable": reference(network_id("rg-app", "routeTables", "rt-via-nva"))}

NETWORKS = {
    "vnet-hub": (
        "rg-hub",
        ["10.10.0.0/16"],
        {
            "AzureBastionSubnet": (["10.10.0.0/26"], nsg_of("nsg-bastion")),
            "snet-shared": (["10.10.1.0/24"], nsg_of("nsg-shared")),
            "snet-nva": (["10.10.2.0/24"], nsg_of("nsg-nva")),
            "snet-legacy": (["10.10.3.0/24"], {}),
        },
        ["vnet-app", "vnet-ml"],
    ),
    "vnet-app": (
        "rg-app",
        ["10.20.0.0/16", "fd00:20::/48"],
        {
            "snet-web": (["10.20.1.0/24", "fd00:20:0:1::/64"], nsg_of("nsg-web")),
            "snet-app": (["10.20.2.0/24"], {**nsg_of("nsg-app"), **nat_of("rg-app", "nat-app")}),
            "snet-db": (["10.20.3.0/24"], {**nsg_of("nsg-db"), "defaultOutboundAccess": False}),
            "snet-batch": (["10.20.4.0/24"], {**nsg_of("nsg-batch"), **ROUTES}),
        },
        ["vnet-hub"],
    ),
    "vnet-ml": (
        "rg-ml",
        ["10.30.0.0/16"],
        {
            "snet-compute": (["10.30.1.0/24"], {**nsg_of("nsg-ml-compute"), **nat_of("rg-ml", "nat-ml")}),
            "snet-endpoints": (
                ["10.30.2.0/24"],
                {**nsg_of("nsg-ml-endpoints"), "privateEndpointNetworkPolicies": "NetworkSecurityGroupEnabled"},
            ),
        },
        ["vnet-hub"],
    ),
}


def subnet_id(network, subnet):
    return f"{network_id(NETWORKS[network][0], 'virtualNetworks', network)}/subnets/{subnet}"


# Interfaces: (network, subnet, addresses, members).

NICS = {
    "nic-dns-1": ("vnet-hub", "snet-shared", ["10.10.1.4"], {}),
    "nic-mgmt-1": ("vnet-hub", "snet-shared", ["10.10.1.5"], {}),
    "nic-nva-1": ("vnet-hub", "snet-nva", ["10.10.2.4"], {"forwards": True}),
    "nic-jump-old": ("vnet-hub", "snet-legacy", ["10.10.3.4"], {"public": "pip-jump-old"}),
    "nic-web-1": (
        "vnet-app",
        "snet-web",
        ["10.20.1.4", "fd00:20:0:1::4"],
        {"asg": "asg-web", "public": "pip-web-1", "nsg": "nsg-web-1"},
    ),
    "nic-web-2": ("vnet-app", "snet-web", ["10.20.1.5", "fd00:20:0:1::5"], {"asg": "asg-web"}),
    "nic-web-3": ("vnet-app", "snet-web", ["10.20.1.6", "fd00:20:0:1::6"], {"asg": "asg-web"}),
    "nic-app-1": ("vnet-app", "snet-app", ["10.20.2.4"], {"asg": "asg-app"}),
    "nic-app-2": ("vnet-app", "snet-app", ["10.20.2.5"], {"asg": "asg-app"}),
    "nic-db-1": ("vnet-app", "snet-db", ["10.20.3.4"], {"asg": "asg-db"}),
    "nic-db-2": ("vnet-app", "snet-db", ["10.20.3.5"], {"asg": "asg-db", "nsg": "nsg-db-2"}),
    "nic-batch-1": ("vnet-app", "snet-batch", ["10.20.4.4"], {}),
    "nic-compute-1": ("vnet-ml", "snet-compute", ["10.30.1.4"], {}),
    "nic-compute-2": ("vnet-ml", "snet-compute", ["10.30.1.5"], {}),
    "pe-workspace.nic": ("vnet-ml", "snet-endpoints", ["10.30.2.4"], {"endpoint": "pe-workspace"}),
    "pe-storage-blob.nic": ("vnet-ml", "snet-endpoints", ["10.30.2.5"], {"endpoint": "pe-storage-blob"}),
    "pe-vault.nic": ("vnet-ml", "snet-endpoints", ["10.30.2.6"], {"endpoint": "pe-vault"}),
    "pe-registry.nic": ("vnet-ml", "snet-endpoints", ["10.30.2.7"], {"endpoint": "pe-registry"}),
}

ENDPOINTS = {
    "pe-workspace": ("Microsoft.MachineLearningServices/workspaces", "mlw-example", "amlworkspace", "mlw-example.westeurope.api.azureml.ms"),
    "pe-storage-blob": ("Microsoft.Storage/storageAccounts", "stexample", "blob", "stexample.blob.core.windows.net"),
    "pe-vault": ("Microsoft.KeyVault/vaults", "kv-example", "vault", "kv-example.vault.azure.net"),
    "pe-registry": ("Microsoft.ContainerRegistry/registries", "crexample", "registry", "crexample.azurecr.io"),
}

# Public addresses: (resource group, address, SKU, the user's member and ID).

PUBLIC = {
    "pip-web-1": ("rg-app", "203.0.113.10", "Standard"),
    "pip-nat-app": ("rg-app", "203.0.113.20", "Standard"),
    "pip-nat-ml": ("rg-ml", "203.0.113.30", "Standard"),
    "pip-bastion": ("rg-hub", "203.0.113.40", "Standard"),
    "pip-jump-old": ("rg-hub", "203.0.113.66", "Basic"),
}

NATS = {"nat-app": ("rg-app", "pip-nat-app", "vnet-app", "snet-app"), "nat-ml": ("rg-ml", "pip-nat-ml", "vnet-ml", "snet-compute")}


def public_id(name):
    return network_id(PUBLIC[name][0], "publicIPAddresses", name)


def nic_id(name):
    return network_id(NETWORKS[NICS[name][0]][0], "networkInterfaces", name)


def configuration_name(version):
    return "ipconfig1" if version == 4 else "ipconfig-v6"


def security_groups(candidate):
    made = []
    for name, (group, inbound, outbound) in groups(candidate).items():
        parent = resource(group, "networkSecurityGroups", name)
        rules = [rule(parent, "Inbound", *columns) for columns in inbound]
        rules += [rule(parent, "Outbound", *columns) for columns in outbound]
        parent["securityRules"] = rules
        if name == "nsg-web":
            parent["defaultSecurityRules"] = [default_rule(parent, *columns) for columns in DEFAULT_RULES]
        subnets = [
            reference(subnet_id(network, subnet))
            for network, (_, _, subnets, _) in NETWORKS.items()
            for subnet, (_, members) in subnets.items()
            if members.get("networkSecurityGroup", {}).get("id") == parent["id"]
        ]
        nics = [reference(nic_id(nic)) for nic, (_, _, _, members) in NICS.items() if members.get("nsg") == name]
        if subnets:
            parent["subnets"] = subnets
        if nics:
            parent["networkInterfaces"] = nics
        made.append(dict(sorted(parent.items())))
    return made


def virtual_networks():
    made = []
    for name, (group, space, subnets, peers) in NETWORKS.items():
        parent = resource(group, "virtualNetworks", name)
        parent.update(
            addressSpace={"addressPrefixes": space},
            enableDdosProtection=False,
            privateEndpointVNetPolicies="Disabled",
        )
        parent["subnets"] = []
        for subnet, (prefixes, members) in subnets.items():
            one = {"addressPrefix": prefixes[0]} if len(prefixes) == 1 else {"addressPrefixes": prefixes}
            used = [
                reference(f"{nic_id(nic)}/ipConfigurations/{configuration_name(ipaddress.ip_address(address).version)}")
                for nic, (of_network, of_subnet, addresses, _) in NICS.items()
                for address in addresses
                if (of_network, of_subnet) == (name, subnet)
            ]
            if used:
                one["ipConfigurations"] = used
            parent["subnets"].append(
                child(
                    parent,
                    "subnets",
                    subnet,
                    delegations=[],
                    privateEndpointNetworkPolicies=members.get("privateEndpointNetworkPolicies", "Disabled"),
                    privateLinkServiceNetworkPolicies="Enabled",
                    **one,
                    **{word: value for word, value in members.items() if word != "privateEndpointNetworkPolicies"},
                )
            )
        parent["virtualNetworkPeerings"] = []
        for peer in peers:
            peer_group, peer_space, _, _ = NETWORKS[peer]
            parent["virtualNetworkPeerings"].append(
                child(
                    parent,
                    "virtualNetworkPeerings",
                    f"{name}-to-{peer}",
                    allowForwardedTraffic=True,
                    allowGatewayTransit=False,
                    allowVirtualNetworkAccess=True,
                    doNotVerifyRemoteGateways=False,
                    peerCompleteVnets=True,
                    peeringState="Connected",
                    peeringSyncLevel="FullyInSync",
                    remoteAddressSpace={"addressPrefixes": peer_space},
                    remoteVirtualNetwork=reference(network_id(peer_group, "virtualNetworks", peer)),
                    remoteVirtualNetworkAddressSpace={"addressPrefixes": peer_space},
                    useRemoteGateways=False,
                )
            )
        made.append(dict(sorted(parent.items())))
    return made


def interfaces():
    made = []
    for number, (name, (network, subnet, addresses, members)) in enumerate(NICS.items(), 1):
        group = NETWORKS[network][0]
        parent = resource(group, "networkInterfaces", name)
        configurations = []
        for index, address in enumerate(addresses):
            version = ipaddress.ip_address(address).version
            more = {}
            if "asg" in members:
                asg = network_id(ASGS[members["asg"]], "applicationSecurityGroups", members["asg"])
                more["applicationSecurityGroups"] = [reference(asg)]
            if "public" in members and version == 4:
                more["publicIPAddress"] = reference(public_id(members["public"]))
            configurations.append(
                child(
                    parent,
                    "ipConfigurations",
                    configuration_name(version),
                    primary=index == 0,
                    privateIPAddress=address,
                    privateIPAddressVersion=f"IPv{version}",
                    privateIPAllocationMethod="Dynamic",
                    subnet=reference(subnet_id(network, subnet)),
                    **more,
                )
            )
        parent.update(
            auxiliaryMode="None",
            auxiliarySku="None",
            disableTcpStateTracking=False,
            dnsSettings={"appliedDnsServers": [], "dnsServers": []},
            enableAcceleratedNetworking="endpoint" not in members,
            enableIPForwarding=members.get("forwards", False),
            hostedWorkloads=[],
            ipConfigurations=configurations,
            macAddress=f"00-0D-3A-20-00-{number:02X}" if "endpoint" not in members else "",
            nicType="Standard",
            tapConfigurations=[],
            vnetEncryptionSupported=False,
        )
        if "nsg" in members:
            parent.update(nsg_of(members["nsg"]))
        if "endpoint" in members:
            parent["privateEndpoint"] = reference(network_id(group, "privateEndpoints", members["endpoint"]))
        else:
            machine = resource_id(group, "Microsoft.Compute/virtualMachines", "vm-" + name.removeprefix("nic-"))
            parent.update(primary=True, virtualMachine=reference(machine))
        made.append(dict(sorted(parent.items())))
    return made


def public_addresses():
    made = []
    for name, (group, address, sku) in PUBLIC.items():
        user = {}
        for nic, (_, _, _, members) in NICS.items():
            if members.get("public") == name:
                user["ipConfiguration"] = reference(f"{nic_id(nic)}/ipConfigurations/ipconfig1")
        for nat, (nat_group, public, _, _) in NATS.items():
            if public == name:
                user["natGateway"] = reference(network_id(nat_group, "natGateways", nat))
        if name == "pip-bastion":
            bastion = network_id("rg-hub", "bastionHosts", "bas-hub")
            user["ipConfiguration"] = reference(f"{bastion}/bastionHostIpConfigurations/IpConf")
        made.append(
            resource(
                group,
                "publicIPAddresses",
                name,
                ddosSettings={"protectionMode": "VirtualNetworkInherited"},
                idleTimeoutInMinutes=4,
                ipAddress=address,
                ipTags=[],
                publicIPAddressVersion="IPv4",
                publicIPAllocationMethod="Static",
                sku={"name": sku, "tier": "Regional"},
                **user,
            )
        )
    return made


def nat_gateways():
    return [
        resource(
            group,
            "natGateways",
            name,
            idleTimeoutInMinutes=4,
            publicIpAddresses=[reference(public_id(public))],
            sku={"name": "Standard"},
            subnets=[reference(subnet_id(network, subnet))],
        )
        for name, (group, public, network, subnet) in NATS.items()
    ]


def route_tables():
    table = resource("rg-app", "routeTables", "rt-via-nva", disableBgpRoutePropagation=True)
    route = {"addressPrefix": "0.0.0.0/0", "hasBgpOverride": False, "nextHopIpAddress": "10.10.2.4", "nextHopType": "VirtualAppliance"}
    table["routes"] = [child(table, "routes", "default-via-nva", **route)]
    table["subnets"] = [reference(subnet_id("vnet-app", "snet-batch"))]
    return [dict(sorted(table.items()))]


def private_endpoints():
    made = []
    for name, (kind, target, subresource, host) in ENDPOINTS.items():
        nic = f"{name}.nic"
        parent = resource("rg-ml", "privateEndpoints", name)
        del parent["resourceGuid"]
        service = resource_id("rg-ml", kind, target)
        parent.update(
            customDnsConfigs=[{"fqdn": host, "ipAddresses": NICS[nic][2]}],
            customNetworkInterfaceName="",
            ipConfigurations=[],
            manualPrivateLinkServiceConnections=[],
            networkInterfaces=[reference(nic_id(nic))],
            privateLinkServiceConnections=[
                child(
                    parent,
                    "privateLinkServiceConnections",
                    name,
                    groupIds=[subresource],
                    privateLinkServiceConnectionState={"actionsRequired": "None", "description": "Auto-Approved", "status": "Approved"},
                    privateLinkServiceId=service,
                )
            ],
            subnet=reference(subnet_id("vnet-ml", "snet-endpoints")),
        )
        made.append(dict(sorted(parent.items())))
    return made


def bastion_hosts():
    host = resource("rg-hub", "bastionHosts", "bas-hub")
    del host["resourceGuid"]
    configuration = child(
        host,
        "bastionHostIpConfigurations",
        "IpConf",
        privateIPAllocationMethod="Dynamic",
        publicIPAddress=reference(public_id("pip-bastion")),
        subnet=reference(subnet_id("vnet-hub", "AzureBastionSubnet")),
    )
    host.update(
        disableCopyPaste=False,
        dnsName="bst-00000000-0000-0000-0000-000000000000.bastion.azure.com",
        enableTunneling=True,
        ipConfigurations=[configuration],
        scaleUnits=2,
        sku={"name": "Standard"},
    )
    return [dict(sorted(host.items()))]


def main():
    for folder, candidate in (("example", False), ("example-candidate", True)):
        files = {
            "nsg.json": security_groups(candidate),
            "asg.json": [resource(group, "applicationSecurityGroups", name) for name, group in ASGS.items()],
            "vnet.json": virtual_networks(),
            "nic.json": interfaces(),
            "public-ip.json": public_addresses(),
            "nat-gateway.json": nat_gateways(),
            "route-table.json": route_tables(),
            "private-endpoint.json": private_endpoints(),
            "bastion.json": bastion_hosts(),
        }
        (DATA / folder).mkdir(exist_ok=True)
        for name, content in files.items():
            (DATA / folder / name).write_text(json.dumps(content, indent=2) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
