//! The oracle, held against clauses by hand.
mod oracle;
