//! A field of a rule once its names are resolved: what it certainly holds, and what nobody knows about it.

use std::net::IpAddr;
use std::sync::Arc;

use super::address_set::AddressSet;
use super::world::{Open, World};
use crate::model::id::ResourceId;
use crate::model::tag::TagName;
use crate::model::unknown::Unknown;

/// The addresses that a field holds.
#[derive(Clone, Debug)]
pub struct AddressField {
    /// Addresses that it certainly holds.
    pub known: Arc<AddressSet>,
    /// Addresses that it may hold.
    pub doubts: Vec<AddressDoubt>,
}

/// Addresses that a field may hold, each depending on the answer to a question.
#[derive(Clone, Debug)]
pub struct AddressDoubt {
    /// The addresses concerned.
    pub scope: Arc<AddressSet>,
    /// The question.
    pub about: Doubt,
    /// The field holds the address if the answer is no.
    pub negated: bool,
}

/// What a doubt is about.
#[derive(Clone, Debug, Eq, Hash, PartialEq)]
pub enum Doubt {
    /// A tag that no loaded file has (TAG-15).
    Tag(TagName),
    /// An application security group that nothing in the inventory names (SIM-4).
    Asg(ResourceId),
    /// What is connected to this subnet hangs on something that is missing.
    Connected {
        /// The subnet.
        subnet: ResourceId,
        /// What is missing.
        missing: String,
    },
    /// A text that Azure does not take.
    Text(Unknown),
}

impl Doubt {
    /// The question, asked of one address.
    #[must_use]
    pub fn question(&self, address: IpAddr) -> Unknown {
        match self {
            Self::Tag(tag) => Unknown::TagHolds { tag: tag.clone(), address },
            Self::Asg(asg) => Unknown::AsgHolds { asg: asg.clone(), address },
            Self::Connected { subnet, missing } => {
                Unknown::ConnectedSpaceHolds { subnet: subnet.clone(), missing: missing.clone(), address }
            }
            Self::Text(question) => question.clone(),
        }
    }
}

impl AddressField {
    /// A field without doubts.
    #[must_use]
    pub fn certain(known: Arc<AddressSet>) -> Self {
        Self { known, doubts: Vec::new() }
    }

    /// Whether the field holds the address.
    ///
    /// # Errors
    ///
    /// Fails with the question that it hangs on, where the world does not answer it.
    pub fn holds(&self, address: IpAddr, world: &World) -> Result<bool, Box<Open>> {
        if self.known.contains(address) {
            return Ok(true);
        }
        for doubt in self.doubts.iter().filter(|doubt| doubt.scope.contains(address)) {
            if world.ask(|| doubt.about.question(address))? != doubt.negated {
                return Ok(true);
            }
        }
        Ok(false)
    }

    /// Everything that it holds in some world.
    #[must_use]
    pub fn widest(&self) -> Arc<AddressSet> {
        let mut doubts = self.doubts.iter();
        let Some(first) = doubts.next() else { return Arc::clone(&self.known) };
        let widest = doubts.fold(self.known.union(&first.scope), |all, doubt| all.union(&doubt.scope));
        Arc::new(widest)
    }
}
