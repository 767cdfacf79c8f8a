//! The task slot: readers see a patch that was published, and what `publish` refuses never gets in, whatever the order.

use loom::model::Builder;
use loom::thread;

use crate::sync::Arc;
use crate::task_slot::TaskSlot;

/// A patch as the slot knows it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Patch {
    number: usize,
    backbone: u8,
    is_checked: bool,
}

impl Patch {
    pub(crate) fn backbone_id(&self) -> u8 {
        self.backbone
    }

    pub(crate) fn trust(&self) -> Option<()> {
        self.is_checked.then_some(())
    }

    pub(crate) fn receipt(&self) -> Receipt {
        Receipt(self.number)
    }
}

#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Receipt(usize);

#[derive(Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum Error {
    #[error("{found} instead of {expected}")]
    OtherBackbone { found: u8, expected: u8 },
    #[error("not checked")]
    Untrusted,
}

fn patch(number: usize, is_checked: bool) -> Patch {
    Patch {
        number,
        backbone: 1,
        is_checked,
    }
}

/// A slot whose first patch was not checked.
fn slot() -> Arc<TaskSlot> {
    Arc::new(TaskSlot::new("task", Arc::new(patch(0, false))))
}

#[test]
fn readers_see_what_was_published_and_the_last_one_stays() {
    loom::model(|| {
        let slot = slot();
        assert_eq!(slot.name(), "task");
        let publisher = {
            let slot = Arc::clone(&slot);
            thread::spawn(move || {
                for number in [1, 2] {
                    let published = slot.publish(Arc::new(patch(number, false)));
                    assert_eq!(published, Ok(Receipt(number)));
                }
            })
        };
        let [before, after] = [(); 2].map(|()| slot.patch().number);
        assert!(before <= after, "{after} came after {before}");
        publisher.join().expect("it has published");
        assert_eq!(slot.patch().number, 2);
    });
}

#[test]
fn what_nobody_has_checked_never_replaces_what_was() {
    let mut model = Builder::new();
    model.preemption_bound = Some(3);
    model.check(|| {
        let slot = slot();
        let publish = |patch: Patch| {
            let slot = Arc::clone(&slot);
            thread::spawn(move || slot.publish(Arc::new(patch)))
        };
        let checked = publish(patch(1, true));
        let unchecked = publish(patch(2, false));
        let checked = checked.join().expect("no panic");
        let unchecked = unchecked.join().expect("no panic");
        assert_eq!(checked, Ok(Receipt(1)));
        assert!(matches!(unchecked, Ok(Receipt(2)) | Err(Error::Untrusted)));
        assert_eq!(slot.patch().number, 1, "{unchecked:?}");
    });
}

#[test]
fn a_patch_of_another_backbone_is_refused() {
    loom::model(|| {
        let slot = slot();
        let other = Patch {
            backbone: 2,
            ..patch(1, true)
        };
        let refused = slot.publish(Arc::new(other));
        let (found, expected) = (2, 1);
        assert_eq!(refused, Err(Error::OtherBackbone { found, expected }));
        assert_eq!(slot.patch().number, 0);
    });
}
