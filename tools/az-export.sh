#!/bin/sh
# Exports the network of a subscription or a resource group into a folder that `nsgsim -s` takes.
# Only reads: every call is a `list` or a `show`.

set -u
# A missing extension is reported like any failed call, not installed and not asked about.
export AZURE_EXTENSION_USE_DYNAMIC_INSTALL=no
export AZURE_CORE_NO_COLOR=true

usage() {
    cat <<'END'
Usage: az-export.sh -o DIR [-g GROUP] [--subscription SUBSCRIPTION] [--location LOCATION] [--force]

Exports NSGs, networks, interfaces and what belongs to them, as `az` prints them, and the service tags:

    az-export.sh -o export
    nsgsim replay -s export --tags export/service-tags.json capture.pcap

  -o DIR                  folder to write; it is made if need be, and must be empty
  -g GROUP                only this resource group; networks that are peered from other groups are then missing
  --subscription NAME     another subscription than the one that `az account show` names
  --location LOCATION     where to ask for the service tags (default: that of the first network); the list is that
                          of the whole cloud all the same
  --force                 replace what an earlier run left in DIR; files that it did not write stay
  -h, --help              this text

Needs the Azure CLI, signed in (`az login`), and a role that can read; `Reader` is enough for all but learned routes
and the rules of network managers. The calls for Bastion and network managers need the extensions `bastion` and
`virtual-network-manager` (`az extension add --name ...`).

Exit status: 0 everything was exported; 1 some call failed: they are listed in DIR/incomplete.txt, and what they would
have told is missing; 2 nothing was written.
END
}

die() {
    printf 'az-export.sh: %s\n' "$*" >&2
    exit 2
}

output='' group='' subscription='' location='' force=no
while [ $# -gt 0 ]; do
    case $1 in
        -h | --help) usage; exit 0 ;;
        --force) force=yes; shift; continue ;;
        -o | --output | -g | --resource-group | --subscription | --location) ;;
        *) usage >&2; die "unknown argument \`$1\`" ;;
    esac
    if [ $# -lt 2 ] || [ -z "$2" ]; then
        die "\`$1\` needs a value"
    fi
    case $1 in
        -o | --output) output=$2 ;;
        -g | --resource-group) group=$2 ;;
        --subscription) subscription=$2 ;;
        --location) location=$2 ;;
    esac
    shift 2
done
[ -n "$output" ] || { usage >&2; die "no folder: expected \`-o DIR\`"; }
command -v az >/dev/null 2>&1 || die "the command \`az\` is not there: install the Azure CLI"

# A name that starts with a dash would be an option of every command below.
case $output in -*) output=./$output ;; esac
if [ -e "$output" ] && [ ! -d "$output" ]; then
    die "\`$output\` is not a folder"
fi
if [ -d "$output" ] && [ -n "$(ls -A "$output")" ] && [ "$force" = no ]; then
    die "\`$output\` is not empty: expected an empty folder, or \`--force\`"
fi

made=no
[ -d "$output" ] || made=yes
mkdir -p "$output" || die "\`$output\` cannot be made"
# Beside what is there, on the same file system, hidden from readers; renamed when all of it is whole.
new=$(mktemp -d "$output/.az-export.XXXXXX") || die "\`$output\` cannot be written"
leave() {
    rm -rf "$new"
    [ "$made" = no ] || rmdir "$output" 2>/dev/null
}
trap leave EXIT
trap 'exit 130' INT
trap 'exit 143' TERM
said=$new/.said lists=$new/.lists failed=$new/.failed
mkdir "$lists"
: >"$failed"

# az_read ARGUMENTS...: one call; standard output is its answer.
az_read() {
    if [ -n "$subscription" ]; then
        set -- "$@" --subscription "$subscription"
    fi
    az "$@" --only-show-errors </dev/null 2>"$said"
}

fail() {
    status=$1
    shift
    reason=$(head -n 1 "$said")
    printf 'az %s: status %s: %s\n' "$*" "$status" "${reason:-no reason given}" | tee -a "$failed" >&2
}

# export_to FILE ARGUMENTS...: the answer of one call, in JSON, becomes a file; a failed call is noted and leaves none.
export_to() {
    file=$1
    shift
    if az_read "$@" --output json >"$new/.part"; then
        if [ -s "$new/.part" ]; then
            mv "$new/.part" "$new/$file"
            return 0
        fi
        # `az` prints nothing where there is nothing to show, which is an answer.
        printf '[]\n' >"$new/$file"
        return 0
    else
        fail $? "$@"
        return 1
    fi
}

# names_to LIST ARGUMENTS...: the answer of one call, tab-separated, to be gone through line by line.
names_to() {
    list=$lists/$1
    shift
    : >"$list"
    az_read "$@" --output tsv >"$list" || { fail $? "$@"; : >"$list"; return 1; }
}

# in_group ARGUMENTS...: puts the group, where one is given, behind a call that takes it.
if [ -n "$group" ]; then
    in_group() { what=$1; shift; "$what" "$@" --resource-group "$group"; }
else
    in_group() { "$@"; }
fi

az_read account show --output none || {
    cat "$said" >&2
    die "\`az\` cannot say which subscription it is for: expected a signed-in \`az\` (\`az login\`)"
}

in_group export_to nsg.json network nsg list
in_group export_to asg.json network asg list
in_group export_to vnet.json network vnet list
in_group export_to nic.json network nic list
in_group export_to public-ip.json network public-ip list
in_group export_to public-ip-prefix.json network public-ip prefix list
in_group export_to route-table.json network route-table list
in_group export_to nat-gateway.json network nat gateway list
in_group export_to load-balancer.json network lb list
in_group export_to private-endpoint.json network private-endpoint list
in_group export_to private-link-service.json network private-link-service list
in_group export_to service-endpoint-policy.json network service-endpoint policy list
in_group export_to bastion.json network bastion list
in_group export_to application-gateway.json network application-gateway list
in_group export_to storage-account.json storage account list

tab=$(printf '\t')

# `az keyvault list` leaves the firewall out, `show` tells it.
in_group names_to vaults keyvault list --query '[].[resourceGroup,name]'
while IFS=$tab read -r of name; do
    export_to "keyvault--$of--$name.json" keyvault show --resource-group "$of" --name "$name"
done <"$lists/vaults"

# Interfaces of uniform scale sets are not in `az network nic list`; those of flexible ones are.
in_group names_to scale-sets vmss list --query "[?orchestrationMode!='Flexible'].[resourceGroup,name]"
while IFS=$tab read -r of name; do
    export_to "vmss-nic--$of--$name.json" vmss nic list --resource-group "$of" --vmss-name "$name"
done <"$lists/scale-sets"

# Gateways and connections are listed a group at a time.
for kind in virtualNetworkGateways localNetworkGateways connections; do
    in_group names_to "$kind" resource list --resource-type "Microsoft.Network/$kind" --query '[].[resourceGroup,name]'
    # Groups come in whatever letter case their resources were made with.
    cut -f 1 "$lists/$kind" | tr '[:upper:]' '[:lower:]' | sort -u >"$lists/$kind-groups"
done
while read -r of; do
    export_to "local-gateway--$of.json" network local-gateway list --resource-group "$of"
done <"$lists/localNetworkGateways-groups"
while read -r of; do
    export_to "vpn-connection--$of.json" network vpn-connection list --resource-group "$of"
done <"$lists/connections-groups"
while IFS=$tab read -r of name; do
    gateway=vnet-gateway--$of--$name.json
    export_to "$gateway" network vnet-gateway show --resource-group "$of" --name "$name" || continue
    # What the gateway learned does not say which gateway it was: it becomes a member of the gateway. Routes of
    # origin `Network` are the network's own ranges.
    export_to .routes network vnet-gateway list-learned-routes --resource-group "$of" --name "$name" \
        --query "value[?origin!='Network']" || continue
    {
        printf '{"learnedRoutes":\n'
        cat "$new/.routes"
        sed '1s/^{/,/' "$new/$gateway"
    } >"$new/.part" && mv "$new/.part" "$new/$gateway"
    rm -f "$new/.routes"
done <"$lists/virtualNetworkGateways"

# What network managers have in force, network by network; the answer does not say which network it is of.
in_group names_to networks network vnet list --query '[].[resourceGroup,name,id,location]'
in_group names_to managers resource list --resource-type Microsoft.Network/networkManagers --query '[].[resourceGroup,name]'
while IFS=$tab read -r of name id _; do
    export_to "security-admin-rules--$of--$name.json" network manager list-effective-security-admin-rule \
        --resource-group "$of" --virtual-network-name "$name" \
        --query "{virtualNetwork:{id:'$id'},skipToken:skipToken,value:value}"
done <"$lists/networks"
while IFS=$tab read -r of name; do
    export_to "network-manager--$of--$name.json" network manager show --resource-group "$of" --name "$name"
done <"$lists/managers"

[ -n "$location" ] || location=$(head -n 1 "$lists/networks" | cut -f 4)
if [ -n "$location" ]; then
    export_to service-tags.json network list-service-tags --location "$location"
else
    echo 'not called: no network tells a location, and --location does not give one' >"$said"
    fail none network list-service-tags
fi

count=0
for file in "$new"/*.json; do
    [ -e "$file" ] && count=$((count + 1))
done
if [ "$count" -eq 0 ]; then
    die 'every call failed: nothing is written'
fi

# Everything is there: replace what an earlier run wrote, and nothing else.
for name in "$output"/*.json; do
    case ${name##*/} in
        nsg.json | asg.json | vnet.json | nic.json | public-ip.json | public-ip-prefix.json | route-table.json | \
            nat-gateway.json | load-balancer.json | private-endpoint.json | private-link-service.json | \
            service-endpoint-policy.json | bastion.json | application-gateway.json | storage-account.json | service-tags.json | keyvault--*.json | \
            vmss-nic--*.json | local-gateway--*.json | vpn-connection--*.json | vnet-gateway--*.json | \
            security-admin-rules--*.json | network-manager--*.json) rm -f "$name" ;;
    esac
done
rm -f "$output/incomplete.txt"
mv "$new"/*.json "$output"/ || die "\`$output\` cannot be written"
made=no
failures=$(wc -l <"$failed")
if [ "$failures" -gt 0 ]; then
    mv "$failed" "$output/incomplete.txt"
    printf 'az-export.sh: %s files in %s; %d calls failed, see %s\n' "$count" "$output" "$failures" "$output/incomplete.txt" >&2
    exit 1
fi
printf 'az-export.sh: %s files in %s\n' "$count" "$output" >&2
