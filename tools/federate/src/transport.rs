//! The way of messages: what a client says reaches all others, in any order, perhaps late, perhaps twice, perhaps never.

use std::cell::RefCell;
use std::collections::VecDeque;
use std::rc::Rc;
use std::time::Duration;

use anyhow::Result;

use crate::message::Slot;

/// A way of messages between clients.
pub trait Transport {
    /// Sends a message, in the place of the one that was in its slot before. A message that cannot be sent now is lost if a newer
    /// one takes its place.
    fn send(&mut self, slot: Slot, bytes: Vec<u8>);

    /// All messages that have come, with their senders; where there is none, the first that comes within this time.
    ///
    /// # Errors
    /// None will ever come: the client is refused.
    fn receive(&mut self, within: Duration) -> Result<Vec<(String, Vec<u8>)>>;
}

/// Clients of one process.
#[derive(Clone, Default)]
pub struct Room(Rc<RefCell<Vec<(String, Queue)>>>);

type Queue = VecDeque<(String, Vec<u8>)>;

/// A client's place in a [`Room`].
pub struct Place {
    room: Room,
    name: String,
}

impl Room {
    /// A place for a client of this name.
    pub fn place(&self, name: &str) -> Place {
        let queue = (name.to_owned(), Queue::new());
        self.0.borrow_mut().push(queue);
        Place {
            room: self.clone(),
            name: name.to_owned(),
        }
    }
}

impl Transport for Place {
    fn send(&mut self, _: Slot, bytes: Vec<u8>) {
        for (name, queue) in self.room.0.borrow_mut().iter_mut() {
            if *name != self.name {
                queue.push_back((self.name.clone(), bytes.clone()));
            }
        }
    }

    fn receive(&mut self, _: Duration) -> Result<Vec<(String, Vec<u8>)>> {
        let mut places = self.room.0.borrow_mut();
        let own = places.iter_mut().find(|(name, _)| *name == self.name);
        Ok(own.map_or(Vec::new(), |(_, queue)| queue.drain(..).collect()))
    }
}
