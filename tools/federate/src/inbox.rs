//! What a client knows of its neighbours: the last that each of their heads said of every public image, in even rounds and in odd
//! ones.
//!
//! Messages come twice, late, in any order, or from somebody else. What is taken is newer than what was there, from a
//! neighbour, and well formed; everything else is counted and dropped.

use std::collections::BTreeMap;
use std::fmt;

use serde::{Deserialize, Serialize};

use crate::message::{Federation, Message, MessageError, TURNS, turn};
use crate::predictions::Predictions;

/// Numbers of messages by what became of them.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Counts {
    /// Newer than what was there.
    pub taken: u64,
    /// No message, or one that no client sends.
    pub malformed: u64,
    /// Longer than a message may be.
    pub oversized: u64,
    /// From nobody's neighbour, or about another public set.
    pub foreign: u64,
    /// No newer than what the same head had said before.
    pub replayed: u64,
}

impl fmt::Display for Counts {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self {
            taken,
            malformed,
            oversized,
            foreign,
            replayed,
        } = self;
        write!(
            f,
            "{taken} messages taken, dropped {malformed} malformed, {oversized} oversized, {foreign} foreign, {replayed} replayed"
        )
    }
}

/// Why a message was dropped.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum Dropped {
    /// Its bytes.
    #[error(transparent)]
    Message(#[from] MessageError),
    /// A sender that is no neighbour.
    #[error("it is from {sender}, who is no neighbour")]
    Stranger {
        /// The name.
        sender: String,
    },
    /// A round after the last.
    #[error("it is of round {found}, of {rounds}")]
    Future {
        /// The round.
        found: u32,
        /// Their number.
        rounds: u32,
    },
    /// Something newer is known.
    #[error("it is of round {found}, and round {known} is known")]
    Replayed {
        /// Its round.
        found: u32,
        /// The last round of that head and part.
        known: u32,
    },
}

/// What a client keeps of an inbox while it does not run.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub struct Kept {
    neighbours: BTreeMap<String, Turns>,
    counts: Counts,
}

/// What neighbours have said.
pub struct Inbox {
    federation: Federation,
    /// Rounds of the federation.
    rounds: u32,
    neighbours: BTreeMap<String, Turns>,
    counts: Counts,
}

/// What a neighbour's heads have said, by turn. If it names this client as its neighbour, too, it does not go on to the round after
/// the next before it has heard this client, or has waited long: what this client's round needs is there until then.
type Turns = [Vec<Said>; TURNS];

/// What one head has said.
#[derive(Clone, Debug, Serialize, Deserialize)]
struct Said {
    /// The round of each part, where it has come.
    rounds: Vec<Option<u32>>,
    predictions: Predictions,
}

impl Inbox {
    /// An empty one, for messages of these neighbours.
    pub fn new(
        federation: Federation,
        rounds: u32,
        neighbours: impl IntoIterator<Item = impl Into<String>>,
    ) -> Self {
        let silent = || Said {
            rounds: vec![None; federation.parts().count()],
            predictions: Predictions::silent(federation.images, federation.classes),
        };
        let heads = || (0..federation.speaking).map(|_| silent()).collect();
        let turns = || std::array::from_fn(|_| heads());
        let neighbours = neighbours.into_iter();
        Self {
            rounds,
            neighbours: neighbours.map(|name| (name.into(), turns())).collect(),
            counts: Counts::default(),
            federation,
        }
    }

    /// Takes a message, if it says something new; counts it.
    ///
    /// # Errors
    /// Why it was dropped.
    pub fn take(&mut self, sender: &str, bytes: &[u8]) -> Result<(), Dropped> {
        let result = self.try_take(sender, bytes);
        let count = match &result {
            Ok(()) => &mut self.counts.taken,
            Err(Dropped::Message(MessageError::Oversized { .. })) => &mut self.counts.oversized,
            Err(Dropped::Stranger { .. } | Dropped::Message(MessageError::Foreign { .. })) => {
                &mut self.counts.foreign
            }
            Err(Dropped::Replayed { .. }) => &mut self.counts.replayed,
            Err(Dropped::Message(_) | Dropped::Future { .. }) => &mut self.counts.malformed,
        };
        *count += 1;
        result
    }

    fn try_take(&mut self, sender: &str, bytes: &[u8]) -> Result<(), Dropped> {
        let stranger = || Dropped::Stranger {
            sender: sender.to_owned(),
        };
        let turns = self.neighbours.get_mut(sender).ok_or_else(stranger)?;
        let Message {
            round: found,
            head,
            first,
            predictions,
        } = Message::from_bytes(bytes, &self.federation)?;
        if found >= self.rounds {
            let rounds = self.rounds;
            return Err(Dropped::Future { found, rounds });
        }
        let said = &mut turns[turn(found)][head];
        let part = self.federation.parts().position(|part| part.start == first);
        let round = &mut said.rounds[part.expect("a message is a part")];
        match *round {
            Some(known) if found <= known => Err(Dropped::Replayed { found, known }),
            Some(_) | None => {
                *round = Some(found);
                said.predictions.replace(first, &predictions);
                Ok(())
            }
        }
    }

    /// What to keep.
    pub fn kept(&self) -> Kept {
        Kept {
            neighbours: self.neighbours.clone(),
            counts: self.counts,
        }
    }

    /// Knows again what an inbox of the same federation kept of neighbours that are there still.
    pub fn restore(&mut self, kept: Kept) {
        self.counts = kept.counts;
        for (name, said) in kept.neighbours {
            if let Some(own) = self.neighbours.get_mut(&name) {
                *own = said;
            }
        }
    }

    /// Neighbours of whom something was taken.
    pub fn heard_of(&self) -> usize {
        let said = |turns: &&Turns| {
            let mut rounds = turns.iter().flatten().flat_map(|said| &said.rounds);
            rounds.any(Option::is_some)
        };
        self.neighbours.values().filter(said).count()
    }

    /// What became of messages.
    pub fn counts(&self) -> Counts {
        self.counts
    }

    /// The names of neighbours whose heads have all said everything of this round, or of a later one in the same slots: what
    /// they said of this one is gone then. One that has only said the next is not heard yet: messages overtake each other.
    pub fn heard(&self, round: u32) -> impl Iterator<Item = &str> {
        let neighbours = self.neighbours.iter();
        let heard = neighbours.filter(move |(_, turns)| {
            reached(&turns[turn(round)]).is_some_and(|reached| reached >= round)
        });
        heard.map(|(name, _)| name.as_str())
    }

    /// The round that most of the neighbours have reached with all of their heads, silent ones counted, and at least two; 0
    /// where there are not so many. A few who lie, or one alone, cannot move it.
    pub fn round_of_most(&self) -> u32 {
        let newest = |turns: &Turns| turns.iter().filter_map(|heads| reached(heads)).max();
        let newest = self.neighbours.values().map(newest);
        let mut rounds: Vec<u32> = newest.map(Option::unwrap_or_default).collect();
        rounds.sort_unstable();
        match rounds.len() {
            0 | 1 => 0,
            // More than half have reached it.
            count => rounds[(count - 1) / 2],
        }
    }

    /// What each neighbour's heads said of all images in this round, or else in the newest that is at most `fresh` rounds away.
    pub fn teachers(&self, round: u32, fresh: u32) -> Vec<Vec<Predictions>> {
        let said = |heads: &Vec<Said>| heads.iter().map(|said| said.predictions.clone()).collect();
        let newest = |turns: &Turns| {
            let rounds = turns
                .iter()
                .filter_map(|heads| Some((reached(heads)?, heads)));
            let recent = rounds.filter(|(reached, _)| reached.abs_diff(round) <= fresh);
            let newest = recent.max_by_key(|(reached, _)| (*reached == round, *reached));
            newest.map(|(_, heads)| said(heads))
        };
        self.neighbours.values().filter_map(newest).collect()
    }
}

/// The round of which these heads have said everything; none while they are between two rounds.
fn reached(heads: &[Said]) -> Option<u32> {
    let mut rounds = heads.iter().flat_map(|said| &said.rounds);
    let round = *rounds.next()?;
    rounds.all(|other| *other == round).then_some(round)?
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::message::PART;
    use graft_patches::Digest;

    fn federation() -> Federation {
        Federation {
            digest: Digest::of(b"public"),
            images: PART + 2,
            classes: 4,
            speaking: 2,
        }
    }

    fn message(round: u32, head: usize, first: usize) -> Vec<u8> {
        let federation = federation();
        let images = federation.part(first).unwrap().len();
        let scores: Vec<f32> = [round as f32, 0.0, 0.0, 0.0].repeat(images);
        let predictions = Predictions::of(&scores, 4);
        let message = Message {
            round,
            head,
            first,
            predictions,
        };
        message.to_bytes(&federation)
    }

    fn all(inbox: &mut Inbox, sender: &str, round: u32) {
        for (head, first) in [(1, PART), (0, 0), (1, 0), (0, PART)] {
            inbox.take(sender, &message(round, head, first)).unwrap();
        }
    }

    #[test]
    fn whatever_order_messages_come_in_the_newest_is_known() {
        let mut inbox = Inbox::new(federation(), 10, ["a", "b", "c"]);
        assert_eq!(inbox.round_of_most(), 0);
        all(&mut inbox, "a", 3);
        all(&mut inbox, "b", 4);
        inbox.take("b", &message(5, 0, 0)).unwrap();
        assert_eq!(inbox.heard(4).collect::<Vec<_>>(), ["b"]);
        assert_eq!(inbox.heard(3).collect::<Vec<_>>(), ["a"]);
        let teachers = |inbox: &Inbox, round, fresh| inbox.teachers(round, fresh).len();
        assert_eq!((teachers(&inbox, 4, 0), teachers(&inbox, 4, 1)), (1, 2));
        let again = inbox.take("b", &message(5, 0, 0)).unwrap_err();
        assert_eq!(again, Dropped::Replayed { found: 5, known: 5 });
        inbox.take("b", &message(4, 0, 0)).unwrap_err();
        assert_eq!((inbox.counts().taken, inbox.counts().replayed), (9, 2));
    }

    #[test]
    fn who_is_a_round_behind_hears_what_its_round_needs() {
        let mut inbox = Inbox::new(federation(), 10, ["a"]);
        // What head 1 said of the first image in a round.
        let said = |round: u32| Predictions::of(&[round as f32, 0.0, 0.0, 0.0], 4).confidence(0);
        let heard = |inbox: &Inbox, round| {
            let teachers = inbox.teachers(round, 9);
            teachers.first().map(|heads| heads[1].confidence(0))
        };
        assert_eq!(heard(&inbox, 1), None);
        all(&mut inbox, "a", 1);
        all(&mut inbox, "a", 2);
        for (round, expected) in [(1, 1), (2, 2), (3, 2)] {
            assert_eq!(heard(&inbox, round), Some(said(expected)), "{round}");
        }
        // Between two rounds the other turn serves.
        inbox.take("a", &message(3, 0, 0)).unwrap();
        assert_eq!((inbox.heard(2).count(), inbox.heard(3).count()), (1, 0));
        assert_eq!(heard(&inbox, 1), Some(said(2)));
        for (head, first) in [(1, PART), (1, 0), (0, PART)] {
            inbox.take("a", &message(3, head, first)).unwrap();
        }
        for (round, expected) in [(1, 3), (2, 2), (3, 3)] {
            assert_eq!(heard(&inbox, round), Some(said(expected)), "{round}");
        }
    }

    #[test]
    fn messages_overtake_each_other_and_are_good_for_some_rounds() {
        let mut inbox = Inbox::new(federation(), 100, ["a"]);
        all(&mut inbox, "a", 5);
        // Round 4 is on its way still.
        assert_eq!(inbox.heard(4).count(), 0);
        all(&mut inbox, "a", 4);
        assert_eq!(inbox.heard(4).count(), 1);
        for (round, fresh, expected) in [(7, 2, 1), (8, 2, 0), (2, 2, 1), (1, 2, 0)] {
            assert_eq!(inbox.teachers(round, fresh).len(), expected, "{round}");
        }
    }

    #[test]
    fn one_who_lies_about_the_round_does_not_move_the_others() {
        let mut inbox = Inbox::new(federation(), 100, ["a", "b", "c"]);
        all(&mut inbox, "c", 99);
        assert_eq!(inbox.round_of_most(), 0);
        let mut alone = Inbox::new(federation(), 100, ["c"]);
        all(&mut alone, "c", 99);
        assert_eq!(alone.round_of_most(), 0);
        all(&mut inbox, "a", 3);
        assert_eq!(inbox.round_of_most(), 3);
        all(&mut inbox, "b", 4);
        assert_eq!(inbox.round_of_most(), 4);
    }

    #[test]
    fn everything_else_is_counted_and_dropped() {
        let mut inbox = Inbox::new(federation(), 10, ["a"]);
        inbox.take("nobody", &message(1, 0, 0)).unwrap_err();
        let mut foreign = message(1, 0, 0);
        foreign[9] ^= 1;
        inbox.take("a", &foreign).unwrap_err();
        inbox.take("a", &message(10, 0, 0)).unwrap_err();
        inbox.take("a", b"nonsense").unwrap_err();
        inbox.take("a", &vec![0; 1 << 20]).unwrap_err();
        let expected = Counts {
            taken: 0,
            malformed: 2,
            oversized: 1,
            foreign: 2,
            replayed: 0,
        };
        assert_eq!(inbox.counts(), expected);
        assert!(inbox.teachers(0, 0).is_empty());
    }
}
