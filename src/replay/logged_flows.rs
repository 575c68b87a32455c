//! The flows of logs: which tuples tell of the same one (LOG-10).

use foldhash::fast::FixedState;
use hashbrown::HashMap;

use super::conversations::{Conversation, Seen};
use super::counts::DeciderId;
use crate::model::flow::FiveTuple;
use crate::model::record::Location;
use crate::model::recorded::Part;
use crate::model::rule::Direction;
use crate::model::verdict::{Interface, Verdict};
use crate::simulate::state::FlowKey;

/// The flows of one share of the tuples, bounded in number.
pub(super) struct LoggedFlows {
    open: HashMap<(FlowKey, Direction), Open, FixedState>,
    most: usize,
    rows: bool,
    /// Those that ended, where rows are wanted, in the order of their ends.
    pub(super) ended: Vec<Conversation>,
    /// Flows that had to leave while they were open: later tuples of theirs count as flows of their own.
    pub(super) evicted: u64,
}

/// A flow of which an end was not told yet.
struct Open {
    /// When it was told of last.
    last_ns: u64,
    /// Where it was told of first.
    first: Location,
    decider: DeciderId,
    row: Option<Box<Conversation>>,
}

/// What a tuple is to the flows before it.
pub(super) struct Told {
    /// Where its flow was told of first.
    pub(super) first: Location,
    /// That is here.
    pub(super) opens: bool,
    /// What decided about its flow.
    pub(super) decider: DeciderId,
}

impl LoggedFlows {
    /// Keeps at most `most`; those that end are handed out if `rows` are wanted.
    pub(super) fn new(most: usize, rows: bool) -> Self {
        Self { open: HashMap::default(), most, rows, ended: Vec::new(), evicted: 0 }
    }

    /// Takes a tuple in, with what the rules say of it.
    ///
    /// A flow whose beginning is in no log is counted from the first tuple that tells of it.
    pub(super) fn tell(
        &mut self,
        (interface, direction): (Interface, Direction),
        seen: Seen<'_>,
        tuple: &FiveTuple,
        part: Part,
        (verdict, decider): (&Verdict, DeciderId),
        now_ns: u64,
    ) -> Told {
        let key = (FlowKey::new(interface, direction, tuple, None), direction);
        if !part.begins()
            && let Some(open) = self.open.get_mut(&key)
        {
            open.last_ns = open.last_ns.max(now_ns);
            if let Some(row) = &mut open.row {
                row.packets = row.packets.saturating_add(seen.hit.packets);
                row.bytes = row.bytes.saturating_add(seen.hit.bytes);
                row.returned.add(seen.returned.packets, seen.returned.bytes);
                row.last_ns = row.last_ns.max(now_ns);
            }
            let told = Told { first: open.first, opens: false, decider: open.decider };
            if part == Part::End {
                self.end(&key);
            }
            return told;
        }
        self.end(&key);
        let first = seen.location;
        let row = self.rows.then(|| Conversation {
            tuple: *tuple,
            verdict: verdict.clone(),
            location: first,
            first_ns: now_ns,
            last_ns: now_ns,
            packets: seen.hit.packets,
            bytes: seen.hit.bytes,
            returned: seen.returned,
            recorded: seen.recorded.cloned(),
            at: Some((interface, direction)),
        });
        if matches!(part, Part::Begin | Part::Continue) {
            if self.open.len() >= self.most {
                self.make_room();
            }
            self.open.insert(key, Open { last_ns: now_ns, first, decider, row: row.map(Box::new) });
        } else {
            self.ended.extend(row);
        }
        Told { first, opens: true, decider }
    }

    fn end(&mut self, key: &(FlowKey, Direction)) {
        if let Some(Open { row: Some(row), .. }) = self.open.remove(key) {
            self.ended.push(*row);
        }
    }

    /// The eighth that was told of least recently leaves.
    fn make_room(&mut self) {
        let mut idle: Vec<_> = self.open.iter().map(|(key, open)| (open.last_ns, open.first, *key)).collect();
        // No two were told of first by the same tuple.
        idle.sort_unstable_by_key(|(last_ns, first, _)| (*last_ns, *first));
        for (_, _, key) in idle.into_iter().take((self.most / 8).max(1)) {
            self.evicted += 1;
            self.end(&key);
        }
    }

    /// Ends everything that is open.
    pub(super) fn finish(&mut self) {
        let open = std::mem::take(&mut self.open).into_values();
        let mut rows: Vec<Conversation> = open.filter_map(|open| open.row.map(|row| *row)).collect();
        rows.sort_unstable_by_key(|row| row.location);
        self.ended.extend(rows);
    }
}
