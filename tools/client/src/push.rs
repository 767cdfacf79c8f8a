//! A patch on its way to a slot: only the pages that differ from what is there already.

use std::ops::Range;

use graft_link::{CHUNK, Reply, Request, State, Task, checksum, test_pattern};
use graft_patches::PatchImage;
use graft_patches::records::Dtype;
use graft_runtime::{Backbone, Patch, Session};

use crate::client::{Client, Device};
use crate::error::DeviceError;

/// Options of a push.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Push {
    /// The slot that it goes to; `None`: the first that is empty, else the first that nothing needs.
    pub slot: Option<u8>,
    /// The result of [`answer`]: the device checks itself by it when the patch is activated.
    pub answer: Option<[u8; 8]>,
    /// Send also what is there already.
    pub all: bool,
}

/// Any bytes for a slot.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Upload<'a> {
    /// The slot that they go to.
    pub slot: u8,
    /// All of them.
    pub bytes: &'a [u8],
    /// As [`Push::answer`].
    pub answer: Option<[u8; 8]>,
    /// As [`Push::all`].
    pub all: bool,
}

/// Result of a push.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Pushed {
    /// The slot that the patch is in.
    pub slot: u8,
    /// Its length.
    pub bytes: u32,
    /// Pages that were sent.
    pub sent: u32,
    /// Pages that were there already.
    pub kept: u32,
}

/// Progress of a push.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Step {
    /// Bytes that are in flash.
    pub done: u32,
    /// All bytes of the patch.
    pub total: u32,
}

/// Digest of the scores that a patch gives for [`test_pattern`]: the first bytes of the BLAKE3 digest of them as
/// little-endian f32. `None` for an f32 backbone, whose scores are not the same to the last bit everywhere.
///
/// # Errors
/// As [`Session::run`].
pub fn answer(backbone: &Backbone, patch: &Patch) -> Result<Option<[u8; 8]>, graft_runtime::Error> {
    if backbone.image().dtype() != Dtype::I8 {
        return Ok(None);
    }
    let mut pixels = vec![0; patch.input().shape.len()];
    test_pattern(&mut pixels);
    let mut session = Session::new(backbone)?;
    let scores = session.run(patch, &pixels)?;
    let mut hasher = blake3::Hasher::new();
    for score in scores {
        hasher.update(&score.to_le_bytes());
    }
    Ok(hasher.finalize().as_bytes().first_chunk().copied())
}

/// Brings a patch to a slot, and shows `progress`. A push that was cut off is gone on with by pushing again.
///
/// # Errors
/// Before anything is sent: [`DeviceError::OtherBackbone`], [`DeviceError::NoFreeSlot`]. Then those of the device.
pub fn push(
    client: &mut Client,
    patch: &PatchImage<'_>,
    options: Push,
    mut progress: impl FnMut(Step),
) -> Result<Pushed, DeviceError> {
    let device = client.device()?;
    if patch.backbone_id() != device.backbone {
        return Err(DeviceError::OtherBackbone {
            found: patch.backbone_id(),
            expected: device.backbone,
        });
    }
    let slot = match options.slot {
        Some(slot) => slot,
        None => free_slot(client, &device)?,
    };
    let upload = Upload {
        slot,
        bytes: patch.bytes(),
        answer: options.answer,
        all: options.all,
    };
    match client.upload(upload, &mut progress) {
        // Pages with the checksum of others are rare, but not impossible.
        Err(DeviceError::Digest) if !upload.all => {
            tracing::warn!("the bytes in flash are not the patch: sending all of it");
            let upload = Upload {
                all: true,
                ..upload
            };
            client.upload(upload, &mut progress)
        }
        other => other,
    }
}

fn free_slot(client: &mut Client, device: &Device) -> Result<u8, DeviceError> {
    let mut replaceable = None;
    for slot in 0..device.slots {
        if client.slot(slot)?.state == State::Empty {
            return Ok(slot);
        }
        let task = Some(Task::Slot(slot));
        let needed = [
            Some(device.active),
            Some(device.serving),
            device.trial.map(Task::Slot),
            device.previous,
        ];
        let is_needed = needed.contains(&task);
        if !is_needed {
            replaceable = replaceable.or(Some(slot));
        }
    }
    replaceable.ok_or(DeviceError::NoFreeSlot {
        slots: device.slots,
    })
}

impl Client {
    /// Brings bytes to a slot, which the device then checks.
    ///
    /// # Errors
    /// Those of the device; [`DeviceError::Digest`] where pages that were kept are others than the checksum says.
    pub fn upload(
        &mut self,
        upload: Upload<'_>,
        mut progress: impl FnMut(Step),
    ) -> Result<Pushed, DeviceError> {
        let Upload {
            slot,
            bytes,
            answer,
            all,
        } = upload;
        let page_len = self.device()?.page_len.max(1);
        // What is longer is longer than any slot.
        let total = u32::try_from(bytes.len()).unwrap_or(u32::MAX);
        self.order(&Request::Begin {
            slot,
            length: total,
            digest: *blake3::hash(bytes).as_bytes(),
            answer,
        })?;
        let mut pushed = Pushed {
            slot,
            bytes: total,
            sent: 0,
            kept: 0,
        };
        for start in (0..total).step_by(page_len as usize) {
            let page = start..start.saturating_add(page_len).min(total);
            if !all && self.has(bytes, page.clone())? {
                pushed.kept += 1;
            } else {
                pushed.sent += 1;
                self.write(bytes, page.clone(), |done| progress(Step { done, total }))?;
            }
            progress(Step {
                done: page.end,
                total,
            });
        }
        self.order(&Request::Finish)?;
        Ok(pushed)
    }

    fn write(
        &mut self,
        bytes: &[u8],
        page: Range<u32>,
        mut progress: impl FnMut(u32),
    ) -> Result<(), DeviceError> {
        for offset in page.clone().step_by(CHUNK) {
            let end = page.end.min(offset + CHUNK as u32);
            let bytes = part(bytes, offset..end);
            self.order(&Request::Write { offset, bytes })?;
            progress(end);
        }
        Ok(())
    }

    /// Whether a page is in flash already.
    fn has(&mut self, bytes: &[u8], page: Range<u32>) -> Result<bool, DeviceError> {
        let request = Request::Checksum {
            offset: page.start,
            length: page.end - page.start,
        };
        let found = self.ask(&request, |reply| {
            let Reply::Checksum(found) = reply else {
                return None;
            };
            Some(found)
        })?;
        Ok(found == checksum(part(bytes, page)))
    }
}

fn part(bytes: &[u8], range: Range<u32>) -> &[u8] {
    &bytes[range.start as usize..range.end as usize]
}
