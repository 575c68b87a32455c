//! IDs of resources from their types and names (JSON-11).

use super::evaluate::{Scope, unknown};
use super::value::{Data, Evaluated, Text};
use crate::ingest::azure::node::Node;

/// `resourceId([subscription], [group], type, names...)`.
pub(super) fn resource_id(scope: &Scope<'_>, values: &[Data], at: Node<'_>) -> Evaluated {
    let (before, rest) = parted(values);
    let (subscription, group) = match before {
        [] => (None, None),
        [group] => (None, Some(group)),
        [subscription, group] => (Some(subscription), Some(group)),
        _ => return Err(unknown(at, "`resourceId` names no type: expected `provider/type`")),
    };
    let base = format!(
        "/subscriptions/{}/resourceGroups/{}",
        subscription.map_or(&*scope.subscription, text),
        group.map_or(&*scope.resource_group, text)
    );
    below(&base, rest, at).map(|id| mark(id, before))
}

/// `subscriptionResourceId([subscription], type, names...)`.
pub(super) fn subscription_resource_id(scope: &Scope<'_>, values: &[Data], at: Node<'_>) -> Evaluated {
    let (before, rest) = parted(values);
    let subscription = match before {
        [] => &*scope.subscription,
        [subscription] => text(subscription),
        _ => return Err(unknown(at, "`subscriptionResourceId` names no type: expected `provider/type`")),
    };
    below(&format!("/subscriptions/{subscription}"), rest, at).map(|id| mark(id, before))
}

/// The ID of the resource of a type and names below `base`.
pub(super) fn below(base: &str, values: &[Data], at: Node<'_>) -> Evaluated {
    let [kind, names @ ..] = values else { return Err(unknown(at, "the ID has no type and names")) };
    let mut parts = Vec::with_capacity(names.len());
    for name in names {
        match name {
            Data::Text(text) if !text.text.is_empty() => parts.push(text.text.to_string()),
            Data::Integer(number) => parts.push(number.to_string()),
            other => {
                let kind = other.kind();
                return Err(unknown(
                    at,
                    format!("a name of the ID is {kind}: expected a text that is not empty"),
                ));
            }
        }
    }
    let names_text: Vec<&str> = parts.iter().map(String::as_str).collect();
    let id = join(base, text(kind), &names_text).ok_or_else(|| {
        let (kind, count) = (text(kind), names.len());
        unknown(
            at,
            format!(
                "an ID of type `{kind}` is made of {count} names: expected one for each part of the type"
            ),
        )
    })?;
    Ok(mark(Data::text(id), names))
}

/// The ID of a type and its names, one for each part of the type after the provider.
pub(super) fn join(base: &str, kind: &str, names: &[&str]) -> Option<String> {
    // Azure takes a type with a slash at its end, and published templates have some.
    let (provider, types) = kind.trim_end_matches('/').split_once('/')?;
    if types.split('/').count() != names.len() {
        return None;
    }
    let mut id = format!("{base}/providers/{provider}");
    for (kind, name) in types.split('/').zip(names) {
        id.push('/');
        id.push_str(kind);
        id.push('/');
        id.push_str(name);
    }
    Some(id)
}

/// The arguments before the type, which is the first with a slash, and the rest.
fn parted(values: &[Data]) -> (&[Data], &[Data]) {
    let is_type = |value: &Data| matches!(value, Data::Text(text) if text.text.contains('/'));
    values.split_at(values.iter().position(is_type).unwrap_or(values.len()))
}

fn text(value: &Data) -> &str {
    match value {
        Data::Text(text) => &text.text,
        _ => "",
    }
}

/// The ID stands for another if one of its parts does.
fn mark(id: Data, parts: &[Data]) -> Data {
    match id {
        Data::Text(Text { text, opaque }) => {
            let opaque = opaque.or_else(|| parts.iter().find_map(Data::opaque_reason).cloned());
            Data::Text(Text { text, opaque })
        }
        other => other,
    }
}
