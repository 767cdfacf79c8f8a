//! A task's current patch, published while others are running.

use crate::sync::{Arc, ArcSwap};
use crate::{Error, Patch, Receipt};

/// The current patch of one task of a service. Readers see the old patch or the new one, never a mixture, and never
/// wait.
///
/// ```
/// # std::env::set_current_dir("../tools/assets/demo").unwrap();
/// use graft_runtime::{Backbone, Error, Patch, Session, TaskSlot};
///
/// let backbone = Backbone::open("demo.backbone")?;
/// let slot = TaskSlot::new("camera", backbone.identity());
/// std::thread::scope(|scope| {
///     let frames = scope.spawn(|| {
///         let mut session = Session::new(&backbone)?;
///         let frame = vec![0u8; 48 * 48 * 3];
///         for _ in 0..10 {
///             session.run(&slot.patch(), &frame)?; // the patch of this moment, for the whole frame
///         }
///         Ok::<(), Error>(())
///     });
///     slot.publish(Patch::open("fashion.patch", &backbone)?)?; // from the next frame on
///     frames.join().expect("no panic")
/// })?;
/// # Ok::<(), Error>(())
/// ```
#[derive(Debug)]
pub struct TaskSlot {
    name: String,
    patch: ArcSwap<Patch>,
}

impl TaskSlot {
    /// A slot for a task that starts with this patch.
    pub fn new(name: impl Into<String>, patch: impl Into<Arc<Patch>>) -> Self {
        Self {
            name: name.into(),
            patch: ArcSwap::new(patch.into()),
        }
    }

    /// The task's name.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// The patch of this moment: it stays valid for as long as it is held, whatever is published meanwhile.
    pub fn patch(&self) -> Arc<Patch> {
        self.patch.load_full()
    }

    /// Makes this the task's patch for all frames that start from now on, and says what it replaces. The memory of the
    /// patch before it is freed when the last frame that uses it ends.
    ///
    /// # Errors
    /// [`Error::OtherBackbone`] where it is bound to another backbone than the patch before it, [`Error::Untrusted`] where
    /// that one was bound under a policy and this one was not, or under another; the slot then keeps what it had. The name of
    /// a slot is for its owner: which task's patch goes to it is not compared.
    pub fn publish(&self, patch: impl Into<Arc<Patch>>) -> Result<Receipt, Error> {
        let patch = patch.into();
        loop {
            let current = self.patch.load_full();
            let expected = current.backbone_id();
            if patch.backbone_id() != expected {
                return Err(Error::OtherBackbone {
                    found: patch.backbone_id(),
                    expected,
                });
            }
            if current.trust().is_some() && patch.trust() != current.trust() {
                return Err(Error::Untrusted);
            }
            // What was compared is what is replaced, whatever others publish meanwhile.
            let replaced = self.patch.compare_and_swap(&current, Arc::clone(&patch));
            if Arc::ptr_eq(&replaced, &current) {
                return Ok(patch.receipt());
            }
        }
    }
}
