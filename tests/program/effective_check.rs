//! What is computed for an interface, held against answers: what differs is told by field, and what cannot be compared is
//! said and not counted.

#![expect(clippy::unwrap_used, reason = "a test fails where it unwraps")]

use std::fs;
use std::path::Path;
use std::sync::Arc;

use nsgsim::analyze::check::{
    CheckError, Comparison, Difference, DifferenceKind, Field, Item, NotCompared, Uncompared, Why, check,
};
use nsgsim::analyze::routes::{self, OpenPart, RouteState};
use nsgsim::compile::network::{CompileOptions, CompiledNetwork};
use nsgsim::ingest::azure::{Document, answers, from_documents};
use nsgsim::model::tag::{ServiceTag, TagCatalog, TagName, TagSource};
use nsgsim::model::verdict::{Layer, NextHopKind, RouteSource};
use serde_json::{Value, json};

const GROUP: &str = "/subscriptions/0/resourceGroups/rg-shop/providers/Microsoft.Network";

fn read(name: &str) -> Value {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/cli/answer").join(name);
    serde_json::from_slice(&fs::read(path).unwrap()).unwrap()
}

fn document(value: &Value) -> Document {
    Document { name: "a.json".to_owned(), bytes: serde_json::to_vec(value).unwrap() }
}

/// A tag file whose `Storage` holds these prefixes; none without prefixes.
fn tags(storage: &[&str]) -> TagCatalog {
    if storage.is_empty() {
        return TagCatalog::default();
    }
    let mut tags = TagCatalog::new(TagSource { change_number: Some(7), ..TagSource::default() });
    tags.insert(ServiceTag {
        name: TagName::new("Storage"),
        prefixes: storage.iter().map(|prefix| prefix.parse().unwrap()).collect(),
        region: String::new(),
        system_service: String::new(),
    });
    tags
}

fn compiled(network: &Value, tags: TagCatalog) -> Arc<CompiledNetwork> {
    let network = from_documents(vec![document(network)], None).unwrap().network;
    Arc::new(CompiledNetwork::new(Arc::new(network), Arc::new(tags), CompileOptions::default()))
}

/// Holds `nic-till` of a network against an answer.
fn held_against(network: &Value, tags: TagCatalog, answer: &Value) -> Comparison {
    let compiled = compiled(network, tags);
    let nic = compiled.network.find_nic("nic-till")[0];
    check(&compiled, nic, &answers::from_document(&document(answer)).unwrap()).unwrap()
}

fn complaint(answer: &Value) -> String {
    answers::from_document(&document(answer)).unwrap_err().to_string()
}

/// The position of a resource of the network, by its name.
fn of(network: &mut Value, name: &str) -> usize {
    let resources = network.as_array().unwrap();
    resources.iter().position(|it| it["id"].as_str().unwrap().ends_with(&format!("/{name}"))).unwrap()
}

fn not_told(name: &str) -> NotCompared {
    NotCompared { what: Uncompared::Name(name.to_owned()), why: Why::NotTold }
}

#[test]
fn nw_6_rules_that_say_the_same_do_not_differ() {
    let found = held_against(&read("network.json"), tags(&["198.51.100.0/24"]), &read("rules.json"));
    assert_eq!(found.differences, []);
    // Six default rules of each NSG, and three of their owners'.
    assert_eq!((found.rules, found.routes, found.packets), (15, 0, 0));
    assert_eq!(found.not_compared, [not_told("Internet")]);
}

#[test]
fn nw_6_the_envelope_does_not_count() {
    let value = read("rules.json")["value"].clone();
    for answer in [value.clone(), json!({ "networkSecurityGroups": value })] {
        let found = held_against(&read("network.json"), tags(&["198.51.100.0/24"]), &answer);
        assert_eq!((found.rules, found.differences.len()), (15, 0));
    }
}

#[test]
fn nw_6_what_differs_is_told_by_rule_and_field() {
    let found = held_against(&read("network.json"), tags(&["198.51.100.0/24"]), &read("rules-drifted.json"));
    let inbound = nsgsim::model::rule::Direction::Inbound;
    let outbound = nsgsim::model::rule::Direction::Outbound;
    let rule =
        |layer, direction, name: &str| Item::Rule { layer: Some(layer), direction, name: name.to_owned() };
    let field = |field, computed: &str, answered: &str| DifferenceKind::Field {
        field,
        computed: vec![computed.to_owned()],
        answered: vec![answered.to_owned()],
    };
    let expected = [
        Difference {
            item: rule(Layer::SubnetNsg, inbound, "AllowWeb"),
            kind: field(Field::Priority, "100", "110"),
        },
        Difference {
            item: rule(Layer::SubnetNsg, outbound, "AllowStorage"),
            kind: field(Field::DestinationPort, "443", "*"),
        },
        // The group's member is 10.50.1.5.
        Difference {
            item: rule(Layer::NicNsg, inbound, "AllowPos"),
            kind: field(Field::ExpandedSource, "10.50.1.5/32", "10.50.1.7/32"),
        },
        Difference { item: rule(Layer::NicNsg, inbound, "AllowOld"), kind: DifferenceKind::OnlyAnswered },
    ];
    assert_eq!(found.differences, expected);
    assert_eq!(found.rules, 15);
}

#[test]
fn an_nsg_that_only_one_side_has_is_told() {
    let mut answer = read("rules.json");
    answer["value"].as_array_mut().unwrap().remove(1);
    let found = held_against(&read("network.json"), tags(&["198.51.100.0/24"]), &answer);
    let nsg = |nsg: &str, kind| Difference {
        item: Item::Nsg { layer: Some(Layer::NicNsg), nsg: nsg.to_owned() },
        kind,
    };
    assert_eq!(found.differences, [nsg("nsg-till", DifferenceKind::OnlyComputed)]);

    let mut network = read("network.json");
    let nic = of(&mut network, "nic-till");
    network[nic]["properties"]["networkSecurityGroup"] = Value::Null;
    let found = held_against(&network, tags(&["198.51.100.0/24"]), &read("rules.json"));
    assert_eq!(found.differences, [nsg("nsg-till", DifferenceKind::OnlyAnswered)]);
}

#[test]
fn a_tag_of_another_state_of_the_file_is_not_compared() {
    let found = held_against(
        &read("network.json"),
        tags(&["198.51.100.0/25", "203.0.113.0/24"]),
        &read("rules.json"),
    );
    assert_eq!(found.differences, []);
    // 198.51.100.128/25 is only there, 203.0.113.0/24 only here.
    let why = Why::TagFile {
        loaded: Some(TagSource { change_number: Some(7), ..TagSource::default() }),
        only_computed: 1,
        only_answered: 1,
    };
    let storage = NotCompared { what: Uncompared::Name("Storage".to_owned()), why };
    assert!(found.not_compared.contains(&storage), "{:?}", found.not_compared);

    let found = held_against(&read("network.json"), tags(&[]), &read("rules.json"));
    let unknown = NotCompared { what: Uncompared::Name("Storage".to_owned()), why: Why::UnknownTag };
    assert!(
        found.differences.is_empty() && found.not_compared.contains(&unknown),
        "{:?}",
        found.not_compared
    );
}

#[test]
fn tag_8_an_expansion_is_compared_as_a_set() {
    let mut answer = read("rules.json");
    let rules = answer["value"][0]["effectiveSecurityRules"].as_array_mut().unwrap();
    let vnet = rules.iter_mut().find(|rule| rule["name"] == "defaultSecurityRules/AllowVnetInBound").unwrap();
    // The same addresses in halves, and a network more.
    vnet["expandedSourceAddressPrefix"] =
        json!(["168.63.129.16/32", "10.60.0.0/17", "10.60.128.0/17", "10.50.0.0/16", "10.90.0.0/16"]);
    let found = held_against(&read("network.json"), tags(&["198.51.100.0/24"]), &answer);
    let [difference] = &found.differences[..] else { panic!("{:?}", found.differences) };
    let kind = DifferenceKind::Field {
        field: Field::ExpandedSource,
        computed: Vec::new(),
        answered: vec!["10.90.0.0/16".to_owned()],
    };
    assert_eq!(difference.kind, kind);
}

#[test]
fn an_answer_about_another_interface_is_refused() {
    let compiled = compiled(&read("network.json"), tags(&[]));
    let nic = compiled.network.find_nic("nic-pos")[0];
    let answered = answers::from_document(&document(&read("rules.json"))).unwrap();
    let error = check(&compiled, nic, &answered).unwrap_err();
    let CheckError::OtherNic { place, answered, asked } = &error;
    assert_eq!((place.as_str(), answered.name(), asked.name()), ("a.json#/value/1", "nic-till", "nic-pos"));
}

#[test]
fn a_list_that_is_empty_lacks_every_rule_and_one_that_is_absent_is_no_answer() {
    let mut answer = read("rules.json");
    answer["value"][1]["effectiveSecurityRules"] = json!([]);
    let found = held_against(&read("network.json"), tags(&["198.51.100.0/24"]), &answer);
    assert_eq!(found.rules, 8);
    let lacking = found.differences.iter().filter(|it| it.kind == DifferenceKind::OnlyComputed).count();
    assert_eq!((found.differences.len(), lacking), (7, 7));
    answer["value"][1].as_object_mut().unwrap().remove("effectiveSecurityRules");
    assert_eq!(
        complaint(&answer),
        "a.json#/value/1: effectiveSecurityRules is missing: expected a list of rules"
    );
}

#[test]
fn sim_4_rules_of_a_missing_nsg_are_not_compared() {
    let mut network = read("network.json");
    let nsg = of(&mut network, "nsg-till");
    network.as_array_mut().unwrap().remove(nsg);
    let found = held_against(&network, tags(&["198.51.100.0/24"]), &read("rules-drifted.json"));
    let left = |left: &&NotCompared| left.what == Uncompared::Rules(Some(Layer::NicNsg));
    assert_eq!(found.not_compared.iter().filter(left).count(), 1);
    // Those of the subnet's alone.
    assert_eq!((found.rules, found.differences.len()), (8, 2));
}

/// A security group view of `nic-till`, its rules as `rules.json` has them.
fn view() -> Value {
    let answer = read("rules.json");
    let all: Vec<Value> = answer["value"]
        .as_array()
        .unwrap()
        .iter()
        .flat_map(|entry| entry["effectiveSecurityRules"].as_array().unwrap().clone())
        .collect();
    let network = read("network.json");
    let nsg = |name: &str| {
        let nsg = network.as_array().unwrap().iter().find(|it| it["id"].as_str().unwrap().ends_with(name));
        nsg.unwrap()["properties"]["securityRules"].clone()
    };
    json!({ "networkInterfaces": [{
        "id": format!("{GROUP}/networkInterfaces/nic-till"),
        "securityRuleAssociations": {
            "networkInterfaceAssociation": {
                "id": format!("{GROUP}/networkInterfaces/nic-till"),
                "securityRules": nsg("/nsg-till"),
            },
            "subnetAssociation": {
                "id": format!("{GROUP}/virtualNetworks/vnet-shop/subnets/snet-front"),
                "securityRules": nsg("/nsg-front"),
            },
            "effectiveSecurityRules": all,
        },
    }] })
}

#[test]
fn nw_7_a_view_lists_the_rules_of_all_nsgs_together() {
    let found = held_against(&read("network.json"), tags(&["198.51.100.0/24"]), &view());
    assert_eq!(found.differences, []);
    // 15 in effect, and the three that their owners wrote once more.
    assert_eq!(found.rules, 18);

    let mut other = view();
    let parts = &mut other["networkInterfaces"][0]["securityRuleAssociations"];
    parts["effectiveSecurityRules"].as_array_mut().unwrap().pop();
    let found = held_against(&read("network.json"), tags(&["198.51.100.0/24"]), &other);
    // The last of the list is the second NSG's.
    let item = Item::Rule {
        layer: None,
        direction: nsgsim::model::rule::Direction::Outbound,
        name: "DenyAllOutBound".to_owned(),
    };
    assert_eq!(found.differences, [Difference { item, kind: DifferenceKind::OnlyComputed }]);
}

#[test]
fn def_4_rules_that_show_that_nothing_is_left_are_none() {
    let mut answer = view();
    let parts = &mut answer["networkInterfaces"][0]["securityRuleAssociations"];
    parts["effectiveSecurityRules"].as_array_mut().unwrap().push(json!({
        "name": "DefaultInboundDenyAll", "protocol": "All", "sourcePortRange": "0-65535",
        "destinationPortRange": "0-65535", "sourceAddressPrefix": "*", "destinationAddressPrefix": "*",
        "access": "Deny", "priority": 65500, "direction": "Inbound",
    }));
    let found = held_against(&read("network.json"), tags(&["198.51.100.0/24"]), &answer);
    assert_eq!((found.differences.len(), found.rules), (0, 18));
}

#[test]
fn nw_5_routes_that_say_the_same_do_not_differ() {
    let found = held_against(&read("network.json"), tags(&[]), &read("routes.json"));
    assert_eq!((found.differences, found.routes), (Vec::new(), 8));
    let names = NotCompared { what: Uncompared::RouteField(Field::Name), why: Why::NotTold };
    assert_eq!(found.not_compared, [names]);
}

#[test]
fn nw_5_what_differs_is_told_by_prefix_and_source() {
    let found = held_against(&read("network.json"), tags(&[]), &read("routes-drifted.json"));
    let route = |prefix: &str, source| Item::Route { prefix: prefix.parse().unwrap(), source };
    let field = |field, computed: &str, answered: &str| DifferenceKind::Field {
        field,
        computed: vec![computed.to_owned()],
        answered: vec![answered.to_owned()],
    };
    let expected = [
        // The user's route makes it void here.
        (route("192.168.0.0/16", RouteSource::System), field(Field::State, "Invalid", "Active")),
        (route("10.60.0.0/16", RouteSource::User), field(Field::NextHopAddress, "10.50.1.9", "10.50.1.8")),
        (route("10.80.0.0/16", RouteSource::Gateway), DifferenceKind::OnlyAnswered),
        (route("10.81.0.0/16", RouteSource::Gateway), DifferenceKind::OnlyAnswered),
        (route("172.16.0.0/12", RouteSource::System), DifferenceKind::OnlyComputed),
        (route("192.168.0.0/16", RouteSource::User), DifferenceKind::OnlyComputed),
    ];
    let expected: Vec<Difference> =
        expected.into_iter().map(|(item, kind)| Difference { item, kind }).collect();
    assert_eq!(found.differences, expected);
    assert_eq!(found.routes, 6);
}

#[test]
fn sim_4_a_missing_table_is_open_and_what_hangs_on_it_is_not_compared() {
    let mut network = read("network.json");
    let table = of(&mut network, "rt-front");
    network.as_array_mut().unwrap().remove(table);
    let here = compiled(&network, tags(&[]));
    let list = routes::of_nic(&here, here.network.find_nic("nic-till")[0]);
    assert!(list.is_open(OpenPart::UserRoutes), "{:?}", list.open);
    assert!(list.routes.iter().all(|route| route.source == RouteSource::System));

    let found = held_against(&network, tags(&[]), &read("routes.json"));
    // The user's routes are only there, and one of them makes another void: neither can be told.
    assert_eq!(found.differences, []);
    let open = |left: &&NotCompared| left.what == Uncompared::Routes(OpenPart::UserRoutes);
    assert_eq!(found.not_compared.iter().filter(open).count(), 1);
    assert_eq!(found.routes, 6);
}

#[test]
fn gw_7_routes_that_a_gateway_may_have_learned_are_open() {
    let mut network = read("network.json");
    let vnet = of(&mut network, "vnet-shop");
    let gateway_subnet = format!("{GROUP}/virtualNetworks/vnet-shop/subnets/GatewaySubnet");
    network[vnet]["properties"]["subnets"].as_array_mut().unwrap().push(json!({
        "name": "GatewaySubnet", "id": gateway_subnet, "properties": { "addressPrefix": "10.50.255.0/27" },
    }));
    network.as_array_mut().unwrap().push(json!({
        "id": format!("{GROUP}/virtualNetworkGateways/gw-shop"),
        "type": "Microsoft.Network/virtualNetworkGateways",
        "properties": {
            "gatewayType": "ExpressRoute",
            "ipConfigurations": [{ "name": "a", "properties": { "subnet": { "id": gateway_subnet } } }],
        },
    }));
    let here = compiled(&network, tags(&[]));
    let list = routes::of_nic(&here, here.network.find_nic("nic-till")[0]);
    assert!(list.is_open(OpenPart::GatewayRoutes), "{:?}", list.open);

    let found = held_against(&network, tags(&[]), &read("routes-drifted.json"));
    let told = |source| {
        let of_source = |difference: &&Difference| match &difference.item {
            Item::Route { source: of, .. } => *of == source,
            _ => false,
        };
        found.differences.iter().filter(of_source).count()
    };
    // Its two routes there, and the reserved range that a default route of its would take away, hang on it; what the
    // user's table says does not.
    assert_eq!((told(RouteSource::Gateway), told(RouteSource::User)), (0, 2));
    // 192.168.0.0/16 is void here by the user's own route, whatever the gateway has.
    assert_eq!(told(RouteSource::System), 1);
}

#[test]
fn pe_6_and_7_an_endpoints_route_is_void_by_a_users_for_its_address_alone() {
    let mut network = read("network.json");
    let subnet = format!("{GROUP}/virtualNetworks/vnet-shop/subnets/snet-front");
    network.as_array_mut().unwrap().push(json!({
        "id": format!("{GROUP}/privateEndpoints/pe-stock"),
        "type": "Microsoft.Network/privateEndpoints",
        "properties": {
            "subnet": { "id": subnet },
            "ipConfigurations": [{ "name": "a", "properties": { "privateIPAddress": "10.50.1.20" } }],
        },
    }));
    let states = |network: &Value| -> Vec<(RouteSource, RouteState)> {
        let here = compiled(network, tags(&[]));
        let list = routes::of_nic(&here, here.network.find_nic("nic-till")[0]);
        let at = list.routes.iter().filter(|route| route.prefix.to_string() == "10.50.1.20/32");
        at.map(|route| (route.source, route.state)).collect()
    };
    assert_eq!(states(&network), [(RouteSource::System, RouteState::Active)]);
    let table = of(&mut network, "rt-front");
    network[table]["properties"]["routes"] = json!([
        { "name": "mine", "properties": { "addressPrefix": "10.50.1.20/32", "nextHopType": "None" } },
    ]);
    let both = [(RouteSource::User, RouteState::Active), (RouteSource::System, RouteState::Invalid)];
    assert_eq!(states(&network), both);
}

#[test]
fn route_9_each_range_of_a_tag_is_a_route() {
    let mut network = read("network.json");
    let table = of(&mut network, "rt-front");
    network[table]["properties"]["routes"] = json!([
        { "name": "storage", "properties": { "addressPrefix": "Storage", "nextHopType": "Internet" } },
        { "name": "first", "properties": { "addressPrefix": "198.51.100.0/24", "nextHopType": "None" } },
    ]);
    let here = compiled(&network, tags(&["198.51.100.0/24", "203.0.113.0/24"]));
    let list = routes::of_nic(&here, here.network.find_nic("nic-till")[0]);
    let user: Vec<_> = list.routes.iter().filter(|route| route.source == RouteSource::User).collect();
    let told: Vec<_> = user
        .iter()
        .map(|route| (route.prefix.to_string(), route.name.as_deref().unwrap(), route.state, route.next_hop))
        .collect();
    // The explicit prefix goes first.
    assert_eq!(
        told,
        [
            ("198.51.100.0/24".to_owned(), "first", RouteState::Active, Some(NextHopKind::None)),
            ("198.51.100.0/24".to_owned(), "storage", RouteState::Invalid, Some(NextHopKind::Internet)),
            ("203.0.113.0/24".to_owned(), "storage", RouteState::Active, Some(NextHopKind::Internet)),
        ]
    );
    assert!(!here.routes.is_empty() && list.open.is_empty());

    let unknown = compiled(&network, tags(&[]));
    let list = routes::of_nic(&unknown, unknown.network.find_nic("nic-till")[0]);
    let names: Vec<_> = list.open.iter().map(|open| (open.code.as_str(), open.name.as_str())).collect();
    assert_eq!(names, [("UNKNOWN_TAG", "Storage")]);
}

#[test]
fn se_2_the_routes_of_a_service_endpoint_are_its_tags_and_void_what_equals_them() {
    let mut network = read("network.json");
    let vnet = of(&mut network, "vnet-shop");
    network[vnet]["properties"]["subnets"][0]["properties"]["serviceEndpoints"] =
        json!([{ "service": "Microsoft.Storage", "locations": ["*"] }]);
    let table = of(&mut network, "rt-front");
    network[table]["properties"]["routes"] = json!([
        { "name": "mine", "properties": { "addressPrefix": "198.51.100.0/24", "nextHopType": "None" } },
    ]);
    let here = compiled(&network, tags(&["198.51.100.0/24"]));
    let list = routes::of_nic(&here, here.network.find_nic("nic-till")[0]);
    let at: Vec<_> = list
        .routes
        .iter()
        .filter(|route| route.prefix.to_string() == "198.51.100.0/24")
        .map(|route| (route.state, route.next_hop.unwrap()))
        .collect();
    // ROUTE-8: it cannot be overridden.
    let service = NextHopKind::VirtualNetworkServiceEndpoint;
    assert_eq!(at, [(RouteState::Active, service), (RouteState::Invalid, NextHopKind::None)]);
}

#[test]
fn nw_2_diagnostics_are_compared_by_verdict_rule_and_field() {
    let found = held_against(&read("network.json"), tags(&[]), &read("diagnostics.json"));
    assert_eq!((found.differences, found.packets), (Vec::new(), 1));
    let why = Why::SeveralPackets { text: "203.0.113.0/24".to_owned() };
    assert_eq!(found.not_compared, [NotCompared { what: Uncompared::Packet(2), why }]);

    let mut answer = read("diagnostics.json");
    let result = &mut answer["results"][0]["networkSecurityGroupResult"];
    result["securityRuleAccessResult"] = json!("Allow");
    let till = &mut result["evaluatedNetworkSecurityGroups"][1];
    till["matchedRule"] = json!({ "ruleName": "UserRule_AllowPos", "action": "Allow" });
    till["rulesEvaluationResult"][0]["sourceMatched"] = json!(true);
    let found = held_against(&read("network.json"), tags(&[]), &answer);
    let fields: Vec<Field> = found
        .differences
        .iter()
        .map(|difference| match &difference.kind {
            DifferenceKind::Field { field, .. } => *field,
            other => panic!("{other:?}"),
        })
        .collect();
    assert_eq!(fields, [Field::Verdict, Field::MatchedRule, Field::Access, Field::FieldsMatched]);
}

#[test]
fn what_is_no_answer_is_refused_with_its_place() {
    let mut answer = read("rules.json");
    let rule = &mut answer["value"][0]["effectiveSecurityRules"][0];
    rule["priority"] = json!("high");
    assert_eq!(
        complaint(&answer),
        "a.json#/value/0/effectiveSecurityRules/0/priority: priority `high` is not an integer"
    );
    let mut answer = read("routes.json");
    answer["value"][2]["addressPrefix"] = json!(["10.0.0.0/33"]);
    assert_eq!(
        complaint(&answer),
        "a.json#/value/2/addressPrefix/0: addressPrefix `10.0.0.0/33` is not an IP address or a CIDR block"
    );
    answer["value"][2]["addressPrefix"] = json!(["10.0.0.0/8"]);
    answer["value"][0]["state"] = json!("Maybe");
    assert_eq!(complaint(&answer), "a.json#/value/0/state: state `Maybe` is not `Active` or `Invalid`");
    for (answer, place) in
        [(json!({}), "a.json#"), (json!([]), "a.json#"), (json!([{ "id": "/x" }]), "a.json#/0")]
    {
        let complaint = complaint(&answer);
        assert!(complaint.starts_with(&format!("{place}: ")), "{complaint}");
        assert!(complaint.contains("expected effective NSG rules"), "{complaint}");
    }
}
