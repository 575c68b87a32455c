#!/bin/sh
# Runs az-export.sh against a made-up `az` and checks what it calls and what it leaves behind.
# shellcheck disable=SC2016 # what a check evaluates is expanded there, not where it is written

set -eu
here=$(cd "$(dirname "$0")" && pwd)
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
mkdir "$work/bin"

# The stand-in: notes its arguments, fails where FAKE_FAIL matches them, else answers like a small subscription.
cat >"$work/bin/az" <<'END'
#!/bin/sh
echo "$*" >>"$FAKE_LOG"
case " $* " in *" ${FAKE_FAIL:-nothing} "*) echo "ERROR: made to fail" >&2; exit 3 ;; esac
case "$*" in
    'account show'*) ;;
    *'keyvault list'*) printf 'rg-a\tkv-a\n' ;;
    *'vmss list'*) printf 'rg-a\tscale\n' ;;
    *'resource list'*virtualNetworkGateways*) printf 'RG-A\tgw-a\n' ;;
    *'resource list'*localNetworkGateways*) printf 'rg-a\tone\nRG-A\ttwo\n' ;;
    *'resource list'*) ;;
    *'vnet list'*--query*) printf 'rg-a\tvnet-a\t/subscriptions/0/vnet-a\twesteurope\n' ;;
    *'vnet-gateway show'*) printf '{\n  "name": "gw-a"\n}\n' ;;
    *list-learned-routes*) printf '[\n  {"network": "10.9.0.0/16"}\n]\n' ;;
    *'private-endpoint list'*) ;;
    *) printf '["%s"]\n' "$1 $2 $3" ;;
esac
END
chmod +x "$work/bin/az"
PATH=$work/bin:$PATH
FAKE_LOG=$work/log
export PATH FAKE_LOG

failures=0
check() {
    if ! eval "$2"; then
        echo "FAILED: $1" >&2
        failures=$((failures + 1))
    fi
}
# run STATUS ARGUMENTS...: runs the script and checks its exit status.
run() {
    expected=$1
    shift
    status=0
    : >"$FAKE_LOG"
    "$here/az-export.sh" "$@" >"$work/out" 2>"$work/err" || status=$?
    if [ "$status" -ne "$expected" ]; then
        echo "FAILED: az-export.sh $*: exit status $status, expected $expected" >&2
        cat "$work/err" >&2
        failures=$((failures + 1))
    fi
}

run 0 --help
check 'help is data' 'grep -q "^Usage:" "$work/out"'
run 2
run 2 -o
run 2 -o "$work/x" --wrong
check 'nothing is made on wrong usage' '[ ! -e "$work/x" ]'

run 0 -o "$work/whole"
for file in nsg asg vnet nic public-ip public-ip-prefix route-table nat-gateway load-balancer private-endpoint \
    private-link-service service-endpoint-policy bastion storage-account service-tags keyvault--rg-a--kv-a \
    vmss-nic--rg-a--scale local-gateway--rg-a vnet-gateway--RG-A--gw-a security-admin-rules--rg-a--vnet-a; do
    check "$file.json is written" '[ -s "$work/whole/$file.json" ]'
    check "$file.json is JSON" 'python3 -m json.tool "$work/whole/$file.json" >/dev/null'
done
check 'a group is asked once, in whatever letter case it comes' '[ "$(grep -c "local-gateway list" "$FAKE_LOG")" = 1 ]'
check 'no answer is an empty list' '[ "$(cat "$work/whole/private-endpoint.json")" = "[]" ]'
check 'a gateway says what it learned' 'python3 -c "
import json, sys
gateway = json.load(open(sys.argv[1]))
assert gateway == {\"learnedRoutes\": [{\"network\": \"10.9.0.0/16\"}], \"name\": \"gw-a\"}, gateway
" "$work/whole/vnet-gateway--RG-A--gw-a.json"'
check 'the location is that of a network' 'grep -q "list-service-tags --location westeurope" "$FAKE_LOG"'
check 'nothing else is left' '[ -z "$(find "$work/whole" -name ".*" ! -name whole)" ] && [ ! -e "$work/whole/incomplete.txt" ]'
check 'only reading calls are made' '! grep -vE "^(account|network|storage|keyvault|vmss|resource) .*(show|list)" "$FAKE_LOG"'

run 2 -o "$work/whole"
check 'a folder that is not empty is left alone' '[ ! -s "$FAKE_LOG" ]'
echo mine >"$work/whole/mine.txt"
echo '[]' >"$work/whole/mine.json"
echo '[]' >"$work/whole/keyvault--rg-a--gone.json"
run 0 --force -o "$work/whole"
check 'other files stay' '[ -e "$work/whole/mine.txt" ] && [ -e "$work/whole/mine.json" ]'
check 'what is gone from Azure goes from the folder' '[ ! -e "$work/whole/keyvault--rg-a--gone.json" ]'

run 0 -g rg-a --subscription other --location northeurope -o "$work/group"
check 'the group is named' 'grep -q "^network nsg list --resource-group rg-a --output json --subscription other" "$FAKE_LOG"'
check 'every call is for the subscription' '! grep -v -e "--subscription other" "$FAKE_LOG"'
check 'the location is as given' 'grep -q "list-service-tags --location northeurope" "$FAKE_LOG"'

FAKE_FAIL='network bastion list'
export FAKE_FAIL
run 1 -o "$work/partial"
check 'a failed call is told' 'grep -q "^az network bastion list: status 3: ERROR: made to fail" "$work/err"'
check 'and noted' '[ "$(wc -l <"$work/partial/incomplete.txt")" -eq 1 ]'
check 'and leaves no file' '[ ! -e "$work/partial/bastion.json" ] && [ -s "$work/partial/nsg.json" ]'
FAKE_FAIL='list-learned-routes'
run 1 -o "$work/unlearned"
check 'a gateway is there without what it learned' 'grep -q gw-a "$work/unlearned/vnet-gateway--RG-A--gw-a.json"'
unset FAKE_FAIL
run 0 --force -o "$work/partial"
check 'a whole run takes the note away' '[ ! -e "$work/partial/incomplete.txt" ]'

FAKE_FAIL='account show'
export FAKE_FAIL
run 2 -o "$work/signed-out"
check 'without a sign-in nothing is written' '[ ! -e "$work/signed-out" ]'
run 2 --force -o "$work/whole"
check 'and nothing is taken away' '[ -s "$work/whole/nsg.json" ] && [ -z "$(find "$work/whole" -name ".az-export*")" ]'

if [ "$failures" -gt 0 ]; then
    echo "test-az-export.sh: $failures checks failed" >&2
    exit 1
fi
echo 'test-az-export.sh: all checks passed'
