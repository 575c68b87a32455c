//! Questions that the inputs leave open, and one way in which they could be answered.
//!
//! An evaluation runs in a [`World`]. Where it meets a question that the world does not answer it stops and names
//! it; the caller then tries both answers. A verdict is undetermined only if the worlds disagree.

use crate::model::unknown::Unknown;

/// Answers to some questions.
#[derive(Clone, Debug, Default)]
pub struct World {
    answers: Vec<(Unknown, bool)>,
}

/// An evaluation met this question without an answer.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Open(pub Unknown);

impl World {
    /// The answer to a question.
    ///
    /// # Errors
    ///
    /// Fails with the question where this world does not answer it.
    pub fn ask(&self, question: impl FnOnce() -> Unknown) -> Result<bool, Box<Open>> {
        let question = question();
        match self.answers.iter().find(|(asked, _)| *asked == question) {
            Some((_, answer)) => Ok(*answer),
            None => Err(Box::new(Open(question))),
        }
    }

    /// This world with one more answer.
    #[must_use]
    pub fn with(&self, question: Unknown, answer: bool) -> Self {
        let mut answers = self.answers.clone();
        answers.push((question, answer));
        Self { answers }
    }

    /// The questions that it answers, in the order in which they were asked.
    pub fn questions(&self) -> impl Iterator<Item = &Unknown> {
        self.answers.iter().map(|(question, _)| question)
    }
}
