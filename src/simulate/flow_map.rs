//! A hash table of flows, and of what else packets are counted under, whose slots can be fetched ahead.
//!
//! PERF: a table of a million flows lies in no cache, and what a look-up costs is the wait for its memory. Each slot is one
//! cache line, and which one a key begins at is known without a look at the table: so the lines of many packets are
//! fetched at the same time before the first of them is judged.

use std::hash::BuildHasher;

use foldhash::fast::FixedState;

use crate::compile::instructions::fetch;

/// A flow's key: 16 bytes in any packing.
pub type FlowMapKey = [u64; 2];

/// Flows by their keys. Slots are tried one after the other from the one that a key's hash names.
#[derive(Clone, Debug)]
pub struct FlowMap<V> {
    /// As many as a power of two, at most three quarters of them taken.
    slots: Box<[Slot<V>]>,
    len: usize,
}

#[derive(Clone, Debug)]
#[repr(align(64))]
struct Slot<V> {
    key: FlowMapKey,
    value: Option<V>,
}

impl<V> Slot<V> {
    const FREE: Self = Self { key: [0; 2], value: None };
}

const FEWEST_SLOTS: usize = 16;

impl<V> Default for FlowMap<V> {
    fn default() -> Self {
        Self { slots: free(FEWEST_SLOTS), len: 0 }
    }
}

fn free<V>(count: usize) -> Box<[Slot<V>]> {
    (0..count).map(|_| Slot::FREE).collect()
}

impl<V> FlowMap<V> {
    /// How many flows there are.
    #[must_use]
    pub fn len(&self) -> usize {
        self.len
    }

    /// Whether there are none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len == 0
    }

    /// Has the slot at which a key begins brought into the caches.
    #[inline]
    pub fn fetch(&self, key: &FlowMapKey) {
        fetch(&self.slots[self.home(key)]);
    }

    /// The flow of a key.
    #[inline]
    #[must_use]
    pub fn get(&self, key: &FlowMapKey) -> Option<&V> {
        self.slots[self.find(key)].value.as_ref()
    }

    /// The flow of a key, to be changed.
    #[inline]
    pub fn get_mut(&mut self, key: &FlowMapKey) -> Option<&mut V> {
        let place = self.find(key);
        self.slots[place].value.as_mut()
    }

    /// Puts a flow in place of what there was of its key, and returns that.
    pub fn insert(&mut self, key: FlowMapKey, value: V) -> Option<V> {
        let mut place = self.find(&key);
        if self.slots[place].value.is_none() {
            if (self.len + 1) * 4 > self.slots.len() * 3 {
                self.grow();
                place = self.find(&key);
            }
            self.len += 1;
        }
        let slot = &mut self.slots[place];
        slot.key = key;
        slot.value.replace(value)
    }

    /// Takes a flow out.
    pub fn remove(&mut self, key: &FlowMapKey) -> Option<V> {
        let mut gap = self.find(key);
        let removed = self.slots[gap].value.take()?;
        self.len -= 1;
        // What stands behind the gap and could have stood in it moves up, so that no search ends too early.
        let mut place = self.next(gap);
        while self.slots[place].value.is_some() {
            let home = self.home(&self.slots[place].key);
            let mask = self.slots.len() - 1;
            if place.wrapping_sub(home) & mask >= place.wrapping_sub(gap) & mask {
                self.slots.swap(gap, place);
                gap = place;
            }
            place = self.next(place);
        }
        Some(removed)
    }

    /// Keeps those alone that are wanted.
    pub fn retain(&mut self, is_kept: impl Fn(&FlowMapKey, &V) -> bool) {
        let unwanted = self.iter().filter(|(key, value)| !is_kept(key, value)).map(|(key, _)| *key);
        for key in unwanted.collect::<Vec<_>>() {
            self.remove(&key);
        }
    }

    /// Takes all flows out.
    pub fn clear(&mut self) {
        *self = Self::default();
    }

    /// All flows, in no order.
    pub fn iter(&self) -> impl Iterator<Item = (&FlowMapKey, &V)> {
        self.slots.iter().filter_map(|slot| Some((&slot.key, slot.value.as_ref()?)))
    }

    /// All flows, to be changed, in no order.
    pub fn iter_mut(&mut self) -> impl Iterator<Item = (&FlowMapKey, &mut V)> {
        self.slots.iter_mut().filter_map(|slot| Some((&slot.key, slot.value.as_mut()?)))
    }

    /// The slot of a key, or the free one at which a search for it ends. There is always a free one.
    #[inline]
    fn find(&self, key: &FlowMapKey) -> usize {
        let mut place = self.home(key);
        loop {
            let slot = &self.slots[place];
            // A free slot ends the search, whatever stood there before.
            if slot.value.is_none() || slot.key == *key {
                return place;
            }
            place = self.next(place);
        }
    }

    #[inline]
    fn home(&self, key: &FlowMapKey) -> usize {
        let hash = FixedState::default().hash_one((key[0], key[1]));
        (hash >> 32) as usize & (self.slots.len() - 1)
    }

    #[inline]
    fn next(&self, place: usize) -> usize {
        (place + 1) & (self.slots.len() - 1)
    }

    fn grow(&mut self) {
        let slots = free(self.slots.len() * 2);
        let old = std::mem::replace(&mut self.slots, slots);
        for slot in old {
            if slot.value.is_some() {
                let place = self.find(&slot.key);
                self.slots[place] = slot;
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use std::collections::HashMap;

    use proptest::prelude::*;

    use super::{FlowMap, Slot};

    #[derive(Clone, Debug)]
    enum Change {
        Insert(u64, u32),
        Remove(u64),
        Retain(u32),
    }

    fn change() -> impl Strategy<Value = Change> {
        prop_oneof![
            6 => (0..80_u64, any::<u32>()).prop_map(|(key, value)| Change::Insert(key, value)),
            3 => (0..80_u64).prop_map(Change::Remove),
            1 => any::<u32>().prop_map(Change::Retain),
        ]
    }

    proptest! {
        /// Few keys in small tables: most of them have slots other than those at which they begin.
        #[test]
        fn it_holds_what_a_map_of_the_library_holds(changes in proptest::collection::vec(change(), 0..300)) {
            let mut map = FlowMap::default();
            let mut expected: HashMap<[u64; 2], u32> = HashMap::new();
            for change in changes {
                match change {
                    Change::Insert(key, value) => {
                        prop_assert_eq!(map.insert([key, 7], value), expected.insert([key, 7], value));
                    }
                    Change::Remove(key) => {
                        prop_assert_eq!(map.remove(&[key, 7]), expected.remove(&[key, 7]));
                    }
                    Change::Retain(least) => {
                        map.retain(|_, value| *value >= least);
                        expected.retain(|_, value| *value >= least);
                    }
                }
                prop_assert_eq!(map.len(), expected.len());
            }
            for key in 0..80 {
                prop_assert_eq!(map.get(&[key, 7]), expected.get(&[key, 7]));
                prop_assert_eq!(map.get_mut(&[key, 7]).copied(), expected.get(&[key, 7]).copied());
            }
            let mut all: Vec<_> = map.iter().map(|(key, value)| (*key, *value)).collect();
            let mut known: Vec<_> = expected.into_iter().collect();
            all.sort_unstable();
            known.sort_unstable();
            prop_assert_eq!(&all, &known);
            map.clear();
            prop_assert!(map.is_empty() && map.iter().next().is_none());
        }
    }

    #[test]
    fn a_slot_is_a_cache_line() {
        assert_eq!(size_of::<Slot<[u64; 5]>>(), 64);
        assert_eq!(align_of::<Slot<u8>>(), 64);
    }
}
