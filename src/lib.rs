//! What would Azure do with this traffic, and which rule says so?

pub mod compile;
pub mod ingest;
pub mod model;
pub mod replay;
pub mod simulate;
