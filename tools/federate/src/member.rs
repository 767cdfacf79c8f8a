//! A member of a federation: a client, what it knows of its neighbours, and its way to them.

use std::collections::{BTreeMap, BTreeSet};
use std::time::{Duration, Instant};

use anyhow::Result;
use serde::{Deserialize, Serialize};

use crate::choice::Belief;
use crate::client::Client;
use crate::inbox::{self, Counts, Inbox};
use crate::lessons::Round;
use crate::lie::Lie;
use crate::message::{Federation, Message, Slot, turn};
use crate::predictions::Predictions;
use crate::transport::Transport;

/// Rounds by which the others may be ahead before a client goes on at theirs.
const AHEAD: u32 = 2;

/// What a member keeps between two runs.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub struct Kept {
    inbox: inbox::Kept,
    said: BTreeMap<Slot, Vec<u8>>,
    sent: u64,
    skipped: u32,
}

/// A member of a federation.
pub struct Member<T> {
    /// Who learns.
    pub client: Client,
    /// What it has sent, in bytes.
    pub sent: u64,
    /// Rounds that it has left out to be where the others are.
    pub skipped: u32,
    federation: Federation,
    inbox: Inbox,
    transport: T,
    neighbours: BTreeSet<String>,
    /// Neighbours that did not answer in time, who are not waited for until they are heard again.
    silent: BTreeSet<String>,
    belief: Belief,
    /// Rounds for which an answer is good.
    fresh: u32,
    own: Vec<Predictions>,
    /// What it has said last in each slot: others may need it still when it starts again.
    said: BTreeMap<Slot, Vec<u8>>,
}

impl<T: Transport> Member<T> {
    /// A member whose neighbours have not said anything yet. An answer is good for `fresh` rounds after its own.
    pub fn new(
        client: Client,
        federation: Federation,
        neighbours: BTreeSet<String>,
        transport: T,
        (rounds, belief, fresh): (u32, Belief, u32),
    ) -> Self {
        Self {
            client,
            sent: 0,
            skipped: 0,
            inbox: Inbox::new(federation.clone(), rounds, neighbours.iter().cloned()),
            federation,
            transport,
            neighbours,
            silent: BTreeSet::new(),
            belief,
            fresh,
            own: Vec::new(),
            said: BTreeMap::new(),
        }
    }

    /// Tells the others what its heads say of all public images.
    pub fn speak(&mut self) {
        self.own = self.client.predictions();
        self.send(&self.own.clone());
    }

    /// Tells the others lies in place of that; it has heard what they say.
    pub fn lie(&mut self, lie: Lie) {
        self.own = self.client.predictions();
        let Federation {
            images,
            classes,
            speaking,
            ..
        } = self.federation;
        let others = self.inbox.teachers(self.client.round(), 0);
        let said = (0..speaking).map(|head| {
            let others: Vec<&Predictions> = others.iter().map(|heads| &heads[head]).collect();
            let seed = u64::from(self.client.round()) << 8 | head as u64;
            lie.predictions((images, classes), &others, seed)
        });
        let said: Vec<Predictions> = said.collect();
        self.send(&said);
    }

    fn send(&mut self, of_heads: &[Predictions]) {
        let round = self.client.round();
        for (head, predictions) in of_heads.iter().enumerate() {
            for (part, images) in self.federation.parts().enumerate() {
                let message = Message {
                    round,
                    head,
                    first: images.start,
                    predictions: predictions.part(images),
                };
                let bytes = message.to_bytes(&self.federation);
                self.sent += bytes.len() as u64;
                let turn = turn(round);
                let slot = Slot { turn, head, part };
                self.said.insert(slot, bytes.clone());
                self.transport.send(slot, bytes);
            }
        }
    }

    /// Takes the messages that have come; where there is none, waits so long for one.
    ///
    /// # Errors
    /// As [`Transport::receive`].
    pub fn hear(&mut self, within: Duration) -> Result<()> {
        for (sender, bytes) in self.transport.receive(within)? {
            if let Err(reason) = self.inbox.take(&sender, &bytes) {
                tracing::debug!("dropped a message of {sender}: {reason}");
            }
        }
        Ok(())
    }

    /// Waits until all neighbours that are there have said what this round needs, but no longer than `patience`. Where the
    /// others are far ahead, goes on at their round.
    ///
    /// # Errors
    /// As [`Transport::receive`].
    pub fn gather(&mut self, patience: Duration) -> Result<()> {
        let start = Instant::now();
        loop {
            self.hear(Duration::ZERO)?;
            let round = self.client.round();
            let theirs = self.inbox.round_of_most();
            if theirs >= round + AHEAD {
                tracing::warn!("the others are in round {}: going on there", theirs + 1);
                self.client.skip_to(theirs);
                self.skipped += theirs - round;
                // It says the same as before, as it has learned nothing since.
                self.send(&self.own.clone());
                continue;
            }
            let heard: BTreeSet<String> = self.inbox.heard(round).map(Into::into).collect();
            for name in self.silent.extract_if(.., |name| heard.contains(name)) {
                tracing::info!("{name} is there again");
            }
            let missing = self.neighbours.iter().filter(|name| !heard.contains(*name));
            let missing: BTreeSet<String> = missing.cloned().collect();
            if missing.is_subset(&self.silent) {
                return Ok(());
            }
            let left = patience.saturating_sub(start.elapsed());
            if left.is_zero() {
                for name in missing.difference(&self.silent) {
                    tracing::warn!("{name} said nothing for {patience:?}: going on without");
                }
                self.silent = missing;
                return Ok(());
            }
            self.hear(left)?;
        }
    }

    /// A round on what is known: what neighbours said in it, or lately, and what it says itself.
    ///
    /// # Errors
    /// As [`Client::learn`].
    pub fn learn(&mut self) -> Result<Round> {
        let mut teachers = vec![std::mem::take(&mut self.own)];
        teachers.extend(self.inbox.teachers(self.client.round(), self.fresh));
        let is_taught = !teachers[0].is_empty();
        let lessons = is_taught.then(|| self.client.lessons(teachers, self.belief));
        self.client.learn(lessons.as_ref())
    }

    /// The way to the others, when everything is said.
    pub fn into_transport(self) -> T {
        self.transport
    }

    /// What to keep of it between two runs, beside the state of the client.
    pub fn kept(&self) -> Kept {
        Kept {
            inbox: self.inbox.kept(),
            said: self.said.clone(),
            sent: self.sent,
            skipped: self.skipped,
        }
    }

    /// Goes on from what was kept, and says the last of it again.
    pub fn restore(&mut self, kept: Kept) {
        self.inbox.restore(kept.inbox);
        for (slot, bytes) in &kept.said {
            self.transport.send(*slot, bytes.clone());
        }
        self.said = kept.said;
        (self.sent, self.skipped) = (kept.sent, kept.skipped);
    }

    /// Neighbours of whom something was heard.
    pub fn heard_of(&self) -> usize {
        self.inbox.heard_of()
    }

    /// What became of the messages of others.
    pub fn counts(&self) -> Counts {
        self.inbox.counts()
    }
}
