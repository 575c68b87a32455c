//! What is unknown, answered one way or the other: one world for each way.
//!
//! The evaluator is a function of a [`World`]. Where it needs an answer that the world does not hold, it stops with
//! the question ([`Asked`]); [`worlds`] then runs it again with the answer "no", and with the answer "yes".

use std::collections::BTreeMap;

use nsgsim::model::unknown::Unknown;

/// A value, or the question whose answer is needed to find it.
pub(crate) type Asked<T> = Result<T, Unknown>;

/// At most so many worlds are tried for one packet.
pub(crate) const MOST_WORLDS: usize = 64;

/// Answers to questions that the inputs leave open.
#[derive(Clone, Debug, Default)]
pub(crate) struct World {
    answers: BTreeMap<Unknown, bool>,
}

impl World {
    /// The answer to a question, or the question itself where this world has none.
    pub(crate) fn ask(&self, question: Unknown) -> Asked<bool> {
        self.answers.get(&question).copied().ok_or(question)
    }

    fn with(&self, question: Unknown, answer: bool) -> Self {
        let mut world = self.clone();
        world.answers.insert(question, answer);
        world
    }
}

/// What came of trying all worlds.
pub(crate) struct Worlds<T> {
    /// One result a world; the first is that of the world in which every question is answered "no".
    pub(crate) results: Vec<T>,
    /// The questions in the order in which they came up.
    pub(crate) questions: Vec<Unknown>,
    /// There would be more than [`MOST_WORLDS`].
    pub(crate) too_many: bool,
}

/// Runs `evaluate` in every world that its questions make, "no" first.
pub(crate) fn worlds<T>(evaluate: impl Fn(&World) -> Asked<T>) -> Worlds<T> {
    let mut found = Worlds { results: Vec::new(), questions: Vec::new(), too_many: false };
    let mut open = vec![World::default()];
    while let Some(world) = open.pop() {
        match evaluate(&world) {
            Ok(result) => found.results.push(result),
            Err(question) => {
                open.push(world.with(question.clone(), true));
                open.push(world.with(question.clone(), false));
                if !found.questions.contains(&question) {
                    found.questions.push(question);
                }
            }
        }
        if found.results.len() + open.len() > MOST_WORLDS {
            found.too_many = true;
            break;
        }
    }
    found
}

/// Whether any alternative holds. One that certainly does makes the open ones irrelevant.
pub(crate) fn any_of(alternatives: impl IntoIterator<Item = Asked<bool>>) -> Asked<bool> {
    let mut open = None;
    for alternative in alternatives {
        match alternative {
            Ok(true) => return Ok(true),
            Ok(false) => {}
            Err(question) => open = open.or(Some(question)),
        }
    }
    open.map_or(Ok(false), Err)
}

/// Whether all conditions hold. One that certainly does not makes the open ones irrelevant.
pub(crate) fn all_of(conditions: impl IntoIterator<Item = Asked<bool>>) -> Asked<bool> {
    let negated = conditions.into_iter().map(|condition| condition.map(|holds| !holds));
    any_of(negated).map(|fails| !fails)
}
