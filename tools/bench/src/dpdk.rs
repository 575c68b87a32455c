//! DPDK's classifier as a peer: the method that is fastest here, and answers in our terms.

use std::cell::Cell;
use std::time::{Duration, Instant};

use anyhow::Result;

use crate::native::{Acl, AclRule, Dpdk, Wire};
use crate::rules::NONE;

/// Headers in one call: what packet programs commonly take, and many times what the widest method works on at once.
pub(crate) const BATCH: usize = 256;

/// DPDK's ways to classify, and the numbers that it gives them.
const METHODS: [(&str, i32); 5] =
    [("AVX512X32", 7), ("AVX512X16", 6), ("AVX2", 3), ("SSE", 2), ("scalar", 1)];

/// Rules compiled by DPDK, and how it looks at them.
#[derive(Debug)]
pub(crate) struct Peer {
    acl: Acl,
    /// The way that was the fastest.
    pub(crate) method: &'static str,
    /// How long compiling took.
    pub(crate) build: Duration,
}

impl Peer {
    /// Compiles the rules, and tries each way that the processor has on the headers.
    ///
    /// # Errors
    ///
    /// Fails where DPDK does.
    pub(crate) fn build(dpdk: Dpdk, rules: &[AclRule], headers: &[&Cell<Wire>]) -> Result<Self> {
        let begin = Instant::now();
        let acl = Acl::build(dpdk, rules)?;
        let mut peer = Self { acl, method: METHODS[0].0, build: begin.elapsed() };
        let mut found = vec![0; headers.len()];
        let mut fastest: Option<(Duration, (&str, i32))> = None;
        for (name, number) in METHODS {
            if !peer.acl.select(number) {
                continue;
            }
            // The best of a few: others may be at work on the machine.
            for _ in 0..3 {
                let begin = Instant::now();
                peer.classify(headers, &mut found);
                let elapsed = begin.elapsed();
                if fastest.is_none_or(|(time, _)| elapsed < time) {
                    fastest = Some((elapsed, (name, number)));
                }
            }
        }
        let (_, (name, number)) = fastest.expect("the scalar way runs everywhere");
        assert!(peer.acl.select(number), "it was selected before");
        peer.method = name;
        Ok(peer)
    }

    /// What the tables take.
    pub(crate) fn bytes(&self) -> usize {
        usize::try_from(self.acl.bytes).expect("tables lie in memory")
    }

    /// The mark of each header's first rule, its index + 1, or 0; in batches.
    #[inline]
    pub(crate) fn classify(&self, headers: &[&Cell<Wire>], marks: &mut [u32]) {
        for (headers, marks) in headers.chunks(BATCH).zip(marks.chunks_mut(BATCH)) {
            self.acl.classify(headers, marks);
        }
    }

    /// The index of each header's first rule.
    pub(crate) fn first_matches(&self, headers: &[&Cell<Wire>]) -> Vec<u32> {
        let mut marks = vec![0; headers.len()];
        self.classify(headers, &mut marks);
        marks.into_iter().map(|mark| mark.checked_sub(1).unwrap_or(NONE)).collect()
    }
}
