//! What the service says, in our manner.

use std::error::Error as _;

use object_store::Error;

/// What an error says, in words that hold neither an address nor a key.
pub(super) fn said(error: &Error, anonymous: bool) -> String {
    let innermost = innermost(error);
    let code = between(&innermost, "<Code>", "</Code>");
    let told = code.map(|code| format!(" ({code})")).unwrap_or_default();
    match (status(error, &innermost), code) {
        (Some(404), Some("ContainerNotFound")) => "no such container".to_owned(),
        (Some(404), _) => "no such blob".to_owned(),
        // A range beyond the end: the blob had one when it was found.
        (Some(412 | 416), _) => "the blob has changed while it was read".to_owned(),
        (Some(401 | 403), _) if anonymous => format!("access is denied{told}: {UNNAMED}"),
        (Some(401 | 403), _) => format!("access is denied{told}"),
        (Some(status), _) => format!("the service answers with status {status}{told}"),
        (None, _) if anonymous => format!("{}: {UNNAMED}", first_line(&innermost)),
        (None, _) => first_line(&innermost).to_owned(),
    }
}

/// Said where nothing else tells who asks: the library then looks for a managed identity.
const UNNAMED: &str =
    "without AZURE_STORAGE_ACCOUNT_KEY, AZURE_STORAGE_SAS_TOKEN or the like a managed identity is asked for";

/// Whether the next attempt may go better.
pub(super) fn may_pass(error: &Error) -> bool {
    match (error, status(error, &innermost(error))) {
        (_, Some(status)) => status >= 500 || status == 408 || status == 429,
        (Error::Generic { .. }, None) => true,
        _ => false,
    }
}

/// What is wrong with the environment's settings. What follows in the library's own words may quote a key.
pub(super) fn refused(error: &Error) -> String {
    let cause = error.source().map(ToString::to_string).unwrap_or_default();
    let cause = cause.split([':', '.']).next().unwrap_or_default().to_lowercase();
    format!("the environment's settings for storage are refused: {cause}")
}

/// The status of the answer, if there was one.
fn status(error: &Error, innermost: &str) -> Option<u16> {
    match error {
        Error::NotFound { .. } => Some(404),
        Error::Precondition { .. } => Some(412),
        Error::PermissionDenied { .. } => Some(403),
        Error::Unauthenticated { .. } => Some(401),
        // Errors of listing and of odd statuses hold the number in their text alone.
        _ => between(innermost, "status code: ", " ").and_then(|number| number.parse().ok()),
    }
}

/// What the cause of all causes says: those around it tell of requests and their addresses.
fn innermost(error: &Error) -> String {
    let mut cause: &dyn std::error::Error = error;
    while let Some(source) = cause.source() {
        cause = source;
    }
    cause.to_string()
}

fn between<'t>(text: &'t str, start: &str, end: &str) -> Option<&'t str> {
    let (_, rest) = text.split_once(start)?;
    rest.split_once(end).map(|(found, _)| found)
}

fn first_line(text: &str) -> &str {
    text.lines().next().unwrap_or_default()
}
