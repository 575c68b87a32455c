//! A log that is walked on a thread of its own, while what it held before is worked on.

use std::io::Read;
use std::ops::ControlFlow;
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::thread;

use rayon::prelude::*;

use super::{Damage, Skipped, record, stream};
use crate::ingest::error::IngestError;
use crate::model::recorded::RecordedFlow;

/// How many bytes of records are handed on together, at least one record: so many that what is made of them stays in the
/// caches while it is worked on.
const TOGETHER: usize = 1 << 18;

/// How many batches wait for who works on them.
const WAITING: usize = 2;

/// Reads a log record by record, in batches.
pub struct LogReader {
    name: String,
    file: u32,
    batches: Receiver<Message>,
    damage: Option<Damage>,
}

enum Message {
    Texts { first: u64, texts: Vec<Box<str>> },
    End(Result<stream::End, IngestError>),
}

/// Some records of a log, not looked into yet.
pub struct RecordTexts {
    name: String,
    file: u32,
    first: u64,
    texts: Vec<Box<str>>,
}

impl LogReader {
    /// Takes a stream that is unpacked already; `name` stands for it in messages, `file` is its position in the run's list
    /// of inputs.
    #[must_use]
    pub fn from_reader(name: impl Into<String>, file: u32, reader: Box<dyn Read + Send>) -> Self {
        let name = name.into();
        let (sender, batches) = sync_channel(WAITING);
        let walked = name.clone();
        // It ends by itself once nobody listens.
        thread::spawn(move || walk(&walked, reader, &sender));
        Self { name, file, batches, damage: None }
    }

    /// The next records; nothing at the end.
    ///
    /// # Errors
    ///
    /// Fails if the stream is no flow log: nothing was handed out then.
    ///
    /// # Panics
    ///
    /// If the thread that walks the log did.
    pub fn next_batch(&mut self) -> Result<Option<RecordTexts>, IngestError> {
        match self.batches.recv() {
            Ok(Message::Texts { first, texts }) => {
                Ok(Some(RecordTexts { name: self.name.clone(), file: self.file, first, texts }))
            }
            Ok(Message::End(end)) => {
                self.damage = end?.damage;
                Ok(None)
            }
            Err(_) => panic!("a log is walked to its end"),
        }
    }

    /// Where the log stops making sense, once the reader has come there.
    #[must_use]
    pub fn damage(&self) -> Option<&Damage> {
        self.damage.as_ref()
    }
}

impl RecordTexts {
    /// Position of their file in the run's list of inputs.
    #[must_use]
    pub fn file(&self) -> u32 {
        self.file
    }

    /// What each of the records holds, in the order of the file.
    #[must_use]
    pub fn parse(&self) -> Vec<Vec<Result<RecordedFlow, Skipped>>> {
        let parse = |position: usize| {
            let (number, mut items) = (self.first + position as u64, Vec::new());
            let text = &self.texts[position];
            record::read(&self.name, self.file, number, text, &mut |item| items.push(item.map(Into::into)));
            items
        };
        (0..self.texts.len()).into_par_iter().map(parse).collect()
    }
}

fn walk(name: &str, reader: Box<dyn Read + Send>, sender: &SyncSender<Message>) {
    let (mut texts, mut bytes, mut last) = (Vec::new(), 0, 0);
    let end = stream::records(name, reader, |number, text| {
        bytes += text.len();
        texts.push(text.into());
        last = number;
        if bytes < TOGETHER {
            return ControlFlow::Continue(());
        }
        bytes = 0;
        match hand_on(sender, last, &mut texts) {
            true => ControlFlow::Continue(()),
            false => ControlFlow::Break(()),
        }
    });
    if texts.is_empty() || hand_on(sender, last, &mut texts) {
        // Nobody may listen any more, which is no fault.
        drop(sender.send(Message::End(end)));
    }
}

/// Hands on the records up to this one. Returns whether somebody took them.
fn hand_on(sender: &SyncSender<Message>, last: u64, texts: &mut Vec<Box<str>>) -> bool {
    let texts = std::mem::take(texts);
    sender.send(Message::Texts { first: last + 1 - texts.len() as u64, texts }).is_ok()
}
