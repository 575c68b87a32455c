//! Templates become the resources that they deploy (JSON-8); what they leave open is told with its place.

use nsgsim::ingest::azure::{Deployment, Document, Loaded, from_documents_deployed};
use nsgsim::ingest::error::IngestError;
use nsgsim::model::finding::FindingCode::{MissingResource, UnknownValue};
use nsgsim::model::network::Network;
use nsgsim::model::rule::{AddressTerm, PortTerm};
use serde_json::{Value, json};

use super::places;
use super::refused::replaced;

const SCHEMA: &str = "https://schema.management.azure.com/schemas/2019-04-01/deploymentTemplate.json#";

fn template(parameters: &Value, variables: &Value, resources: &Value) -> Value {
    json!({ "$schema": SCHEMA, "parameters": parameters, "variables": variables, "resources": resources })
}

fn deploy(template: &Value, parameters: Option<&Value>) -> Result<Loaded, IngestError> {
    let document = |name: &str, value: &Value| Document {
        name: name.to_owned(),
        bytes: serde_json::to_vec(value).unwrap(),
    };
    let deployment = Deployment {
        subscription: "s1".to_owned(),
        resource_group: "rg".to_owned(),
        parameters: parameters.map(|value| document("p.json", value)),
        ..Deployment::default()
    };
    from_documents_deployed(vec![document("t.json", template)], None, &deployment)
}

fn network(template: &Value) -> Network {
    deploy(template, None).unwrap_or_else(|error| panic!("{error}")).network
}

fn refusal(template: &Value) -> String {
    deploy(template, None).unwrap_err().to_string()
}

fn id(path: &str) -> String {
    format!("/subscriptions/s1/resourceGroups/rg/providers/Microsoft.Network/{path}")
}

/// An NSG with one rule, whose members are overridden by `with`.
fn nsg(name: &str, with: &Value) -> Value {
    let mut properties = json!({
        "priority": 100, "direction": "Inbound", "access": "Allow", "protocol": "Tcp",
        "sourceAddressPrefix": "*", "sourcePortRange": "*",
        "destinationAddressPrefix": "*", "destinationPortRange": "443",
    });
    for (member, value) in with.as_object().unwrap() {
        properties[member] = value.clone();
    }
    json!({
        "type": "Microsoft.Network/networkSecurityGroups", "name": name, "location": "[resourceGroup().location]",
        "properties": { "securityRules": [{ "name": "r", "properties": properties }] },
    })
}

fn one_rule(parameters: &Value, variables: &Value, with: &Value) -> Value {
    template(parameters, variables, &json!([nsg("n", with)]))
}

/// The source of the only rule of an NSG whose `sourceAddressPrefix` is this expression.
fn source_of(expression: &str) -> AddressTerm {
    let variables = json!({ "list": ["10.0.0.0/24", "10.0.1.0/24"], "object": { "Inner": ["10.9.0.0/16"] } });
    let parameters = json!({ "count": { "type": "int", "defaultValue": 2 }, "gone": { "type": "bool" } });
    let with = json!({ "sourceAddressPrefix": expression });
    network(&one_rule(&parameters, &variables, &with)).nsgs[0].rules[0].source[0].clone()
}

#[test]
fn json_8_expressions_come_to_what_the_documentation_says() {
    for (expression, expected) in [
        ("[variables('list')[1]]", "10.0.1.0/24"),
        ("[variables('object').inner[0]]", "10.9.0.0/16"),
        ("[concat('10.0.', string(add(parameters('count'), 1)), '.0/24')]", "10.0.3.0/24"),
        ("[format('10.{0}.{1}.0/24', 7, mod(17, 5))]", "10.7.2.0/24"),
        ("[if(equals(parameters('count'), 2), '10.1.0.0/16', reference('x').y)]", "10.1.0.0/16"),
        ("[if(or(parameters('gone'), true()), '10.1.0.0/16', '10.2.0.0/16')]", "10.1.0.0/16"),
        ("[if(and(parameters('gone'), not(true())), '10.1.0.0/16', '10.2.0.0/16')]", "10.2.0.0/16"),
        // The examples of the documentation of `cidrSubnet`.
        ("[cidrSubnet('10.144.0.0/20', 24, 0)]", "10.144.0.0/24"),
        ("[cidrSubnet('10.144.0.0/20', 24, 4)]", "10.144.4.0/24"),
        ("[cidrSubnet('fdad:3236:5555::/48', 64, 1)]", "fdad:3236:5555:1::/64"),
        ("[last(split('a;10.3.0.0/16', ';'))]", "10.3.0.0/16"),
        ("[first(union(createArray('10.4.0.0/16'), variables('list')))]", "10.4.0.0/16"),
        ("[createObject('a', '10.5.0.0/16').a]", "10.5.0.0/16"),
        (
            "[concat('10.', length(range(3, 6)), '.', int('7'), '.', sub(mul(2, 3), div(7, 2)), '/32')]",
            "10.6.7.3/32",
        ),
        ("[if(empty(''), toLower('FE80::/64'), toUpper('x'))]", "fe80::/64"),
        ("[concat('10.0.0.', padLeft(7, 2, '1'), '/32')]", "10.0.0.17/32"),
        ("[replace(substring('x10-0-0-9', 1, 8), '-', '.')]", "10.0.0.9"),
        ("[coalesce(null(), '10.0.0.8')]", "10.0.0.8"),
        ("[json('{\"a\": [\"10.8.0.0/16\"]}').a[0]]", "10.8.0.0/16"),
        ("[if(contains(createArray(1, 2), max(1, 2)), '10.0.0.1', '10.0.0.2')]", "10.0.0.1"),
    ] {
        let expected = nsgsim::model::prefix::read_prefix(expected).unwrap().prefix;
        assert_eq!(source_of(expression), AddressTerm::Prefix(expected), "{expression}");
    }
}

#[test]
fn json_8_a_rule_that_hangs_on_an_unknown_value_is_undetermined() {
    for expression in [
        "[reference('x').address]",
        "[parameters('gone')]",
        "[parameters('undeclared')]",
        "[uniqueString('x')]",
        "[concat('10.0.0.', guid('x'))]",
        "[lambda('x')]",
        "[contoso.own('x')]",
        "[concat('a'",
        "[concat('a']",
        "[variables('list')[2]]",
        "[variables('list')[-1]]",
        "[cidrSubnet('10.0.0.0/24', 23, 0)]",
        "[cidrSubnet('10.0.0.0/24', 25, 2)]",
        "[add(9223372036854775807, 1)]",
        "[div(1, 0)]",
        "[substring('abc', 2, 5)]",
        "[range(0, 10001)]",
        "[format('{1}', 'a')]",
        "[format('{0:N}', 1)]",
    ] {
        // What does not even end as an expression is a text like any other.
        let found = source_of(expression);
        assert_eq!(found, AddressTerm::Invalid(expression.to_owned()), "{expression}");
    }
}

#[test]
fn json_8_an_unknown_value_is_told_with_its_place_and_its_reason() {
    let parameters = json!({ "ports": { "type": "string" } });
    let variables = json!({ "all": { "ports": "[parameters('ports')]", "other": "[reference('x')]" } });
    let with = json!({ "destinationPortRange": "[variables('all').ports]" });
    let loaded = deploy(&one_rule(&parameters, &variables, &with), None).unwrap();
    let place = "t.json#/resources/0/properties/securityRules/0/properties/destinationPortRange";
    assert_eq!(places(&loaded), [(UnknownValue, place)]);
    assert_eq!(
        loaded.findings[0].message,
        "`[variables('all').ports]` is not evaluated: parameter `ports` has no value: expected a default, or a value \
         in a parameters file (t.json#/parameters/ports)"
    );
    let [PortTerm::Invalid(text)] = &loaded.network.nsgs[0].rules[0].destination_ports[..] else { panic!() };
    assert_eq!(text, "[variables('all').ports]");

    // Where there is no such form the template is refused.
    let with = json!({ "access": "[parameters('ports')]" });
    assert_eq!(
        refusal(&one_rule(&parameters, &variables, &with)),
        "t.json#/resources/0/properties/securityRules/0/properties/access: rule `r`: access `[parameters('ports')]` is \
         not evaluated: expected a text: parameter `ports` has no value: expected a default, or a value in a \
         parameters file (t.json#/parameters/ports)"
    );
    // A property that says nothing of packets is no matter.
    let with = json!({ "description": "[parameters('ports')]" });
    assert!(deploy(&one_rule(&parameters, &variables, &with), None).unwrap().findings.is_empty());
}

#[test]
fn json_8_a_parameters_file_gives_values_and_nothing_that_no_template_asks_for() {
    let parameters = json!({ "Source": { "type": "string", "defaultValue": "10.0.0.1" } });
    let template =
        one_rule(&parameters, &json!({}), &json!({ "sourceAddressPrefix": "[parameters('source')]" }));
    let file = json!({ "parameters": { "source": { "value": "10.0.0.2" } } });
    let loaded = deploy(&template, Some(&file)).unwrap();
    let expected = nsgsim::model::prefix::read_prefix("10.0.0.2").unwrap().prefix;
    assert_eq!(loaded.network.nsgs[0].rules[0].source, [AddressTerm::Prefix(expected)]);
    for (file, message) in [
        (
            json!({ "parameters": { "sauce": { "value": 1 } } }),
            "p.json#/parameters/sauce: no template declares the parameter `sauce`",
        ),
        (
            json!({ "parameters": { "source": 1 } }),
            "p.json#/parameters/source: the parameter has neither `value` nor `reference`",
        ),
        (json!([]), "p.json#: not a parameters file: expected an object with `parameters`"),
    ] {
        assert_eq!(deploy(&template, Some(&file)).unwrap_err().to_string(), message);
    }
}

#[test]
fn json_8_names_without_a_value_still_tell_resources_apart_and_join_them() {
    let parameters = json!({ "prefix": { "type": "string" } });
    let mut group =
        nsg("[concat(parameters('prefix'), '-nsg-', uniqueString(resourceGroup().id))]", &json!({}));
    group["tags"] = json!("[parameters('prefix')]");
    let name = "concat(parameters('prefix'), '-nsg-', uniqueString(resourceGroup().id))";
    let vnet = json!({
        "type": "Microsoft.Network/virtualNetworks", "name": "v",
        "properties": {
            "addressSpace": { "addressPrefixes": ["10.0.0.0/16"] },
            "subnets": [{ "name": "a", "properties": {
                "addressPrefix": "10.0.0.0/24",
                "networkSecurityGroup": { "id": format!("[resourceId('Microsoft.Network/networkSecurityGroups', {name})]") },
            } }],
        },
    });
    let loaded = deploy(&template(&parameters, &json!({}), &json!([group, vnet])), None).unwrap();
    assert_eq!(places(&loaded), []);
    assert!(loaded.network.nsgs[0].id.name().starts_with("{prefix}-nsg-{uniquestring("));
    assert!(loaded.network.subnets[0].nsg.is_some());
}

#[test]
fn json_8_what_is_in_an_unknown_value_does_not_pass_for_absent() {
    let parameters = json!({ "word": { "type": "string" }, "whole": { "type": "object" } });
    let reason = |name: &str| {
        format!(
            "parameter `{name}` has no value: expected a default, or a value in a parameters file \
             (t.json#/parameters/{name})"
        )
    };
    for (sku, place, shown, name) in [
        (json!({ "name": "[parameters('word')]" }), "sku/name", "name `[parameters('word')]`", "word"),
        (json!("[parameters('whole')]"), "sku", "sku `[parameters('whole')]`", "whole"),
    ] {
        let balancer = json!({ "type": "Microsoft.Network/loadBalancers", "name": "b", "sku": sku });
        let refusal = refusal(&template(&parameters, &json!({}), &json!([balancer])));
        let expected = format!(
            "t.json#/resources/0/{place}: {shown} is not evaluated: expected a text: {}",
            reason(name)
        );
        assert_eq!(refusal, expected);
    }
    let vnet = json!({
        "type": "Microsoft.Network/virtualNetworks", "name": "v",
        "properties": {
            "addressSpace": { "addressPrefixes": ["10.0.0.0/16"] },
            "subnets": [{ "name": "a", "properties": "[parameters('whole')]" }],
        },
    });
    let refusal = refusal(&template(&parameters, &json!({}), &json!([vnet])));
    assert!(refusal.starts_with("t.json#/resources/0/properties/subnets/0/properties: "), "{refusal}");
    assert!(refusal.ends_with(&reason("whole")), "{refusal}");
}

#[test]
fn json_8_an_address_that_azure_picks_is_told() {
    let nic = json!({
        "type": "Microsoft.Network/networkInterfaces", "name": "i",
        "properties": { "ipConfigurations": [{ "name": "c", "properties": { "primary": "true" } }] },
    });
    let loaded = deploy(&template(&json!({}), &json!({}), &json!([nic])), None).unwrap();
    assert_eq!(places(&loaded), [(UnknownValue, "t.json#/resources/0/properties/ipConfigurations/0")]);
}

#[test]
fn json_8_loops_make_resources_and_properties() {
    let mut looped = nsg("[concat('n', copyIndex(1))]", &json!({}));
    looped["copy"] = json!({ "name": "groups", "count": "[length(variables('ports'))]" });
    looped["properties"] = json!({
        "copy": [{ "name": "securityRules", "count": 2, "input": {
            "name": "[format('r{0}-{1}', copyIndex('groups'), copyIndex('securityRules'))]",
            "properties": {
                "priority": "[add(100, copyIndex('securityRules'))]", "direction": "Inbound", "access": "Deny",
                "protocol": "*", "sourceAddressPrefix": "*", "sourcePortRange": "*",
                "destinationAddressPrefix": "*", "destinationPortRange": "[variables('ports')[copyIndex()]]",
            },
        } }],
    });
    let variables =
        json!({ "copy": [{ "name": "ports", "count": 3, "input": "[add(8000, copyIndex('ports'))]" }] });
    let network = network(&template(&json!({}), &variables, &json!([looped])));
    let names: Vec<&str> = network.nsgs.iter().map(|nsg| nsg.id.name()).collect();
    assert_eq!(names, ["n1", "n2", "n3"]);
    let rules: Vec<(&str, u32)> =
        network.nsgs[2].rules.iter().take(2).map(|rule| (&*rule.name, rule.priority.0)).collect();
    assert_eq!(rules, [("r2-0", 100), ("r2-1", 101)]);
    assert_eq!(network.nsgs[2].rules[0].destination_ports, [PortTerm::Range("8002".parse().unwrap())]);
}

#[test]
fn json_8_children_stand_in_their_parents_beside_them_and_alone() {
    let rule = |priority: u32| {
        nsg("x", &json!({ "priority": priority }))["properties"]["securityRules"][0]["properties"].clone()
    };
    let mut group = nsg("n", &json!({}));
    group["resources"] = json!([
        { "type": "securityRules", "name": "inner", "properties": rule(200) },
        { "type": "providers/diagnosticSettings", "name": "Microsoft.Insights/default", "properties": {} },
    ]);
    let alone = json!({
        "type": "Microsoft.Network/networkSecurityGroups/securityRules", "name": "[concat('n', '/alone')]",
        "properties": rule(300),
    });
    let again = json!({
        "type": "Microsoft.Network/networkSecurityGroups/securityRules", "name": "n/r", "properties": rule(100),
    });
    let network = network(&template(&json!({}), &json!({}), &json!([group, alone, again])));
    let names: Vec<&str> = network.nsgs[0].rules.iter().take(3).map(|rule| &*rule.name).collect();
    assert_eq!(names, ["r", "inner", "alone"]);
    let wrong = json!({
        "type": "Microsoft.Network/networkSecurityGroups/securityRules", "name": "r", "properties": rule(100),
    });
    assert_eq!(
        refusal(&template(&json!({}), &json!({}), &json!([wrong]))),
        "t.json#/resources/0/name: name `r` has 1 parts: `Microsoft.Network/networkSecurityGroups/securityRules` takes 2"
    );
}

#[test]
fn json_8_a_condition_leaves_resources_out_and_must_be_known() {
    let with = |condition: Value| {
        let mut group = nsg("n", &json!({}));
        group["condition"] = condition;
        template(&json!({ "on": { "type": "bool" } }), &json!({}), &json!([group]))
    };
    assert!(network(&with(json!("[equals('a', 'b')]"))).nsgs.is_empty());
    assert_eq!(network(&with(json!(true))).nsgs.len(), 1);
    assert_eq!(
        refusal(&with(json!("[parameters('on')]"))),
        "t.json#/resources/0/condition: condition `[parameters('on')]` is not evaluated: parameter `on` has no value: \
         expected a default, or a value in a parameters file (t.json#/parameters/on)"
    );
}

#[test]
fn json_8_a_template_within_has_the_outer_or_its_own_parameters() {
    let deployment = |scope: &str| {
        let inner = json!({
            "$schema": SCHEMA, "parameters": { "name": { "type": "string", "defaultValue": "own" } },
            "resources": [nsg("[parameters('name')]", &json!({}))],
        });
        json!({
            "type": "Microsoft.Resources/deployments", "name": "d", "resourceGroup": "other",
            "properties": { "expressionEvaluationOptions": { "scope": scope }, "template": inner, "parameters": {} },
        })
    };
    for (scope, name) in [("inner", "own"), ("outer", "outermost")] {
        let parameters = json!({ "name": { "type": "string", "defaultValue": "outermost" } });
        let network = network(&template(&parameters, &json!({}), &json!([deployment(scope)])));
        let expected = id(&format!("networkSecurityGroups/{name}")).replace("/rg/", "/other/");
        assert_eq!(network.nsgs[0].id.as_str(), expected);
    }
}

#[test]
fn json_8_ids_of_other_groups_and_subscriptions_are_theirs() {
    let peering = |expression: &str| {
        template(
            &json!({}),
            &json!({}),
            &json!([{
                "type": "Microsoft.Network/virtualNetworks", "name": "v",
                "properties": {
                    "addressSpace": { "addressPrefixes": ["10.0.0.0/16"] },
                    "virtualNetworkPeerings": [{ "name": "p", "properties": {
                        "peeringState": "Connected", "allowVirtualNetworkAccess": true,
                        "remoteVirtualNetwork": { "id": expression },
                    } }],
                },
            }]),
        )
    };
    for (arguments, scope) in [
        ("", "/subscriptions/s1/resourceGroups/rg"),
        ("'g2', ", "/subscriptions/s1/resourceGroups/g2"),
        ("'s2', 'g2', ", "/subscriptions/s2/resourceGroups/g2"),
    ] {
        let expression = format!("[resourceId({arguments}'Microsoft.Network/virtualNetworks', 'w')]");
        let loaded = deploy(&peering(&expression), None).unwrap();
        assert_eq!(loaded.findings.len(), 1);
        assert_eq!(loaded.findings[0].code, MissingResource);
        let id = format!("`{scope}/providers/Microsoft.Network/virtualNetworks/w` is not in the inventory");
        assert_eq!(loaded.findings[0].message, id);
    }
}

#[test]
fn hostile_templates_end_in_an_answer_or_an_error() {
    let mut variables = json!({ "v0": "x", "self": "[variables('self')]" });
    let mut lists = json!({ "v0": ["x"] });
    for level in 1..60 {
        let before = level - 1;
        variables[format!("v{level}")] =
            json!(format!("[concat(variables('v{before}'), variables('v{before}'))]"));
        lists[format!("v{level}")] =
            json!(format!("[createArray(variables('v{before}'), variables('v{before}'))]"));
    }
    for (variables, expression) in [
        (&variables, "[variables('v59')]".to_owned()),
        (&variables, "[variables('self')]".to_owned()),
        (&lists, "[variables('v59')]".to_owned()),
        (&lists, format!("[{}", "concat(".repeat(5000))),
    ] {
        let with =
            json!({ "sourceAddressPrefix": expression, "destinationAddressPrefix": "[variables('v59')]" });
        let outcome = deploy(&one_rule(&json!({}), variables, &with), None);
        if let Err(error) = outcome {
            assert!(error.to_string().starts_with("t.json#/"), "{error}");
        }
    }
    let mut looped = nsg("[concat('n', copyIndex())]", &json!({}));
    looped["copy"] = json!({ "name": "many", "count": 801 });
    assert_eq!(
        refusal(&template(&json!({}), &json!({}), &json!([looped]))),
        "t.json#/resources/0/copy/count: a loop of 801 rounds: expected 0 to 800"
    );
    let mut looped = nsg("n", &json!({}));
    looped["copy"] = json!({ "name": "many", "count": "[parameters('count')]" });
    assert_eq!(
        refusal(&template(&json!({ "count": { "type": "int" } }), &json!({}), &json!([looped]))),
        "t.json#/resources/0/copy/count: count `[parameters('count')]` is not evaluated: parameter `count` has no value: \
         expected a default, or a value in a parameters file (t.json#/parameters/count)"
    );
}

#[test]
fn a_wrong_value_anywhere_in_a_template_gives_an_answer_or_an_error_with_a_place() {
    let whole: Value = serde_json::from_str(include_str!("../../cli/template/main.json")).unwrap();
    let mut refused = 0;
    for other in [
        json!(null),
        json!(-1),
        json!("x"),
        json!("[x("),
        json!("[reference('x')]"),
        json!([{}]),
        json!({ "copy": [{}] }),
    ] {
        for document in replaced(&whole, &other) {
            if let Err(error) = deploy(&document, None) {
                assert!(error.to_string().starts_with("t.json#"), "{error}");
                refused += 1;
            }
        }
    }
    assert!(refused > 100, "{refused}");
}
