//! Every conformance case through every evaluator.
//!
//! The cases stand in `tests/conformance/cases`, and in `tests/conformance/own` those for clauses that no other case exercises;
//! further folders may be named in the environment variable `NSGSIM_CONFORMANCE`, separated by `:`.

mod case;
mod flow_log;
mod spelling;

use std::env;
use std::path::Path;

use nsgsim::model::finding::Finding;
use nsgsim::model::network::Network;
use nsgsim::model::tag::TagCatalog;
use serde_json::{Value, json};

use self::case::{
    Case, cases_in, change, deployment_of, errors_of, expected_errors, findings_of, load, other_warnings,
    tags_and_findings, tags_of,
};
use self::spelling::{differences, direction, nic, origin, packet, spell, spell_route, target};
use crate::engine::{ENGINES, Engine, Judging, Make};

#[test]
fn every_case_is_answered_as_it_says() {
    let own = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/conformance");
    let mut folders = vec![own.join("cases"), own.join("own")];
    let more = env::var_os("NSGSIM_CONFORMANCE").unwrap_or_default();
    folders.extend(env::split_paths(&more).filter(|folder| folder != Path::new("")));
    let (mut passed, mut wrong) = (0, Vec::new());
    for case in folders.iter().flat_map(|folder| cases_in(folder)) {
        let line = format!("{} {}", case.id, case.title);
        match run(&case) {
            Ok(()) => {
                passed += 1;
                println!("ok       {line}");
            }
            Err(failure) => wrong.push(format!("{line}: {failure}")),
        }
    }
    for line in &wrong {
        println!("FAILED   {line}");
    }
    println!("{passed} passed, {} failed", wrong.len());
    assert!(passed > 0 && wrong.is_empty(), "{}", wrong.join("\n"));
}

/// Runs a case; fails with what was found instead.
fn run(case: &Case) -> Result<(), String> {
    match case.content.get("kind").and_then(Value::as_str) {
        None => {
            for (name, make) in ENGINES {
                packets(case, *make).map_err(|failure| format!("{name}: {failure}"))?;
            }
            let lists = ["expectErrors", "expectWarnings", "expectNoWarnings"];
            let checked = lists.iter().any(|list| case.content.get(list).is_some());
            if checked { validate(case) } else { Ok(()) }
        }
        Some("validate") => validate(case),
        Some("flowLog") => flow_log::run(case),
        Some(other) => Err(format!("no kind of case `{other}`")),
    }
}

/// A case of packets and changes.
fn packets(case: &Case, make: Make) -> Result<(), String> {
    let mut inventory = case.content["inventory"].clone();
    let tags = tags_of(&inventory)?.unwrap_or_default();
    let deployment = deployment_of(&case.content);
    let read = |inventory: &Value| load(inventory, Some(&tags), &deployment).map(|loaded| loaded.network);
    let mut network = read(&inventory)?;
    let judging = Judging { weighing: true, ..Judging::default() };
    let mut engine = make(network.clone(), &tags, judging);
    for step in case.content["steps"].as_array().ok_or("the case has no steps")? {
        if let Some(wanted) = step.get("change") {
            change(&mut inventory, wanted)?;
            network = read(&inventory)?;
            engine.change(network.clone());
            continue;
        }
        let found = answer(&mut *engine, step, &network)?;
        let differences = differences(&step["expect"], &found);
        if !differences.is_empty() {
            return Err(format!("at {} s: {}", step["t"], differences.join("; ")));
        }
    }
    Ok(())
}

/// What an evaluator says to one packet, in the spelling of the cases.
fn answer(engine: &mut dyn Engine, step: &Value, network: &Network) -> Result<Value, String> {
    let asked = &step["packet"];
    let seconds = step["t"].as_f64().ok_or("the step has no time")?;
    // Times of cases are small whole or decimal numbers; one day keeps them clear of zero.
    let time_ns = ((86_400.0 + seconds) * 1e9) as u64;
    let answer = match asked["mode"].as_str() {
        Some("path") => {
            engine.path(origin(asked, network)?, &packet(asked)?, time_ns, target(asked, network)?)
        }
        Some("nextHop") => {
            let nic = nic(spelling::text(asked, "nic")?, network)?;
            let found = engine.next_hop(nic, spelling::address(asked, "dst")?);
            return Ok(spell_route(&found, network));
        }
        Some("ipFlow") => {
            let nic = nic(spelling::text(asked, "nic")?, network)?;
            engine.ip_flow(nic, direction(asked)?, &packet(asked)?)
        }
        other => return Err(format!("mode {other:?} is not answered")),
    };
    Ok(spell(&answer, network))
}

/// A case of rules that Azure refuses, or of what else is found about an input.
fn validate(case: &Case) -> Result<(), String> {
    let inventory = &case.content["inventory"];
    let (tags, of_tags): (Option<TagCatalog>, Vec<Finding>) = tags_and_findings(inventory)?;
    let loaded = load(inventory, tags.as_ref(), &deployment_of(&case.content))?;
    let findings = findings_of(loaded, &tags.unwrap_or_default());
    let (expected, found) = (expected_errors(&case.content), errors_of(&findings));
    if found != expected {
        return Err(format!("expected {}, found {}", json!(expected), json!(found)));
    }
    other_warnings(&case.content, findings.iter().chain(&of_tags))
}
