//! What a change is made for, as users state it: `from=snet-app to=10.9.1.0/24 proto=tcp/1433 verdict=allow`.

use std::sync::Arc;

use super::{CliError, ends};
use crate::analyze::end_set::EndSet;
use crate::analyze::intent::Intent;
use crate::analyze::reach::ServiceSet;
use crate::compile::network::CompiledNetwork;

/// Reads an intent, with its ends found in the base and in the candidate.
pub(super) fn read(networks: [&Arc<CompiledNetwork>; 2], text: &str) -> Result<Intent, CliError> {
    let wrong = |what: String| CliError::usage(format!("--intent: {what}"));
    let (mut from, mut to, mut proto, mut verdict) = (None, None, None, None);
    for part in text.split_whitespace() {
        let Some((key, value)) = part.split_once('=') else {
            return Err(wrong(format!(
                "`{part}`: expected from=SET to=SET proto=PROTOCOL[/PORTS] verdict=allow|deny"
            )));
        };
        let place = match key {
            "from" => &mut from,
            "to" => &mut to,
            "proto" => &mut proto,
            "verdict" => &mut verdict,
            _ => return Err(wrong(format!("`{key}`: expected from, to, proto or verdict"))),
        };
        if place.replace(value).is_some() {
            return Err(wrong(format!("`{key}` stands here a second time: expected it once")));
        }
    }
    let needed = |value: Option<&'_ str>, key: &str| {
        value.map(str::to_owned).ok_or_else(|| wrong(format!("`{key}` is missing")))
    };
    let allow = match needed(verdict, "verdict")?.as_str() {
        "allow" => true,
        "deny" => false,
        other => return Err(wrong(format!("`{other}`: expected allow or deny"))),
    };
    let both = |value: String| {
        let set = |compiled| {
            value.split(',').try_fold(EndSet::default(), |all, text| {
                Ok::<_, CliError>(all.and(&ends::end_set(compiled, text)?))
            })
        };
        Ok::<_, CliError>([set(networks[0])?, set(networks[1])?])
    };
    let services = proto.map_or(Ok(ServiceSet::all()), ends::services)?;
    let (from, to) = (both(needed(from, "from")?)?, both(needed(to, "to")?)?);
    if from.iter().any(|set| set.own.is_empty()) {
        return Err(wrong("from: what only receives sends nothing".to_owned()));
    }
    Ok(Intent { from, to, services: vec![services], allow })
}
