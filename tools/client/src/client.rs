//! One question at a time, asked again until it is answered.

use std::io;
use std::thread;
use std::time::{Duration, Instant, SystemTime};

use graft_link::{
    CHUNK, Ended, FRAME, FrameError, Memory, Receiver, Reply, Request, Slot, Task, encode,
};
use graft_patches::Digest;
use graft_patches::signature::KeyId;
use tracing::{debug, info};

use crate::error::DeviceError;
use crate::port::{Line, Port};

/// More than any metadata, scores or layers take: a device that claims to have more is not believed.
const MOST_BYTES: u32 = 16 << 20;

/// Until a line that cannot be opened is tried again.
const PAUSE: Duration = Duration::from_millis(100);

/// The least time for an answer of a device that has just been found.
const HELLO: Duration = Duration::from_secs(1);

/// Time that a device is waited for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Patience {
    /// Until a question is asked again; twice as long after each time.
    pub first: Duration,
    /// Number of times that it is asked, at least once.
    pub times: u32,
}

impl Default for Patience {
    /// A minute, in which a small device also finishes a run or erases flash.
    fn default() -> Self {
        Self {
            first: Duration::from_secs(1),
            times: 6,
        }
    }
}

/// A connection to a device.
pub struct Client {
    port: Port,
    line: Box<dyn Line>,
    receiver: Receiver,
    patience: Patience,
    id: u16,
}

/// State of a device; see [`graft_link::Device`].
#[derive(Clone, Debug, PartialEq)]
pub struct Device {
    /// Board and CPU.
    pub board: String,
    /// Version of the firmware.
    pub firmware: String,
    /// Id of the backbone.
    pub backbone: Digest,
    /// Height, width and channels of the backbone's own input.
    pub input: [u32; 3],
    /// Kernels that it runs on.
    pub kernels: String,
    /// Number of slots.
    pub slots: u8,
    /// Bytes of each.
    pub slot_len: u32,
    /// Bytes of a page, which is erased as a whole.
    pub page_len: u32,
    /// The task that runs when no other is named.
    pub serving: Task,
    /// The task that it serves after a reset.
    pub active: Task,
    /// The slot on trial.
    pub trial: Option<u8>,
    /// The task that a rollback without a trial goes back to.
    pub previous: Option<Task>,
    /// The reason why it last went back.
    pub ended: Option<Ended>,
    /// Number of records that have been committed.
    pub sequence: u32,
    /// Frames run since it started.
    pub frames: u32,
    /// Unit of `ticks`: this many are a second.
    pub ticks_per_second: u32,
    /// Keys that it trusts; none where it runs whatever it is given.
    pub keys: Vec<KeyId>,
    /// Tasks that it keeps signature counters of, and of how many it can.
    pub counters: [u8; 2],
}

impl Device {
    /// Seconds that `ticks` take.
    pub fn seconds(&self, ticks: u32) -> f64 {
        f64::from(ticks) / f64::from(self.ticks_per_second.max(1))
    }
}

impl From<graft_link::Device<'_>> for Device {
    fn from(device: graft_link::Device<'_>) -> Self {
        Self {
            board: device.board.into(),
            firmware: device.firmware.into(),
            backbone: Digest(device.backbone),
            input: device.input,
            kernels: device.kernels.into(),
            slots: device.slots,
            slot_len: device.slot_len,
            page_len: device.page_len,
            serving: device.serving,
            active: device.active,
            trial: device.trial,
            previous: device.previous,
            ended: device.ended,
            sequence: device.sequence,
            frames: device.frames,
            ticks_per_second: device.ticks_per_second,
            counters: device.counters,
            keys: device.keys.into_iter().flatten().map(KeyId).collect(),
        }
    }
}

/// Result of a run.
#[derive(Clone, Debug, PartialEq)]
pub struct Scores {
    /// The task that it ran with.
    pub task: Task,
    /// One for each class.
    pub scores: Vec<f32>,
    /// Time that it took, in ticks, of [`Device::ticks_per_second`].
    pub ticks: u32,
}

/// Times of a run, by layer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Profile {
    /// The task that it ran with.
    pub task: Task,
    /// Ticks of each layer, of [`Device::ticks_per_second`].
    pub layers: Vec<u32>,
    /// Ticks of the whole run.
    pub ticks: u32,
}

impl Patience {
    /// All of this time, and about as often as by default.
    pub fn within(time: Duration) -> Self {
        let seconds = u32::try_from(time.as_secs()).unwrap_or(u32::MAX);
        let times = seconds.saturating_add(1).ilog2().clamp(1, 16);
        Self {
            first: time / ((1 << times) - 1),
            times,
        }
    }
}

impl Client {
    /// Opens a port and asks the device what it is, again and again, until it answers: it may still be starting.
    ///
    /// # Errors
    /// When the time is up, the last one. At once what the device itself says, such as [`DeviceError::Version`].
    pub fn wait(port: &Port, time: Duration) -> Result<Self, DeviceError> {
        let start = Instant::now();
        loop {
            let left = time.saturating_sub(start.elapsed());
            match Self::greet(port, left) {
                Err(DeviceError::Open { .. } | DeviceError::Lost { .. }) if !left.is_zero() => {
                    thread::sleep(PAUSE.min(left));
                }
                greeted => return greeted,
            }
        }
    }

    fn greet(port: &Port, time: Duration) -> Result<Self, DeviceError> {
        let mut client = Self::open(port)?.with_patience(Patience::within(time.max(HELLO)));
        client.device()?;
        Ok(client.with_patience(Patience::default()))
    }

    /// Opens a port. Nothing is asked yet.
    ///
    /// # Errors
    /// [`DeviceError::Open`].
    pub fn open(port: &Port) -> Result<Self, DeviceError> {
        let line = port.open().map_err(|source| DeviceError::Open {
            port: port.clone(),
            source,
        })?;
        let now = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH);
        Ok(Self {
            port: port.clone(),
            line,
            receiver: Receiver::new(),
            patience: Patience::default(),
            // Another host's last request should not be taken for the first of this one.
            id: now.unwrap_or_default().subsec_micros() as u16,
        })
    }

    /// The same client with other patience.
    pub fn with_patience(mut self, patience: Patience) -> Self {
        self.patience = patience;
        self
    }

    /// The device's state.
    ///
    /// # Errors
    /// A line that fails, or what the device refuses: so of every question.
    pub fn device(&mut self) -> Result<Device, DeviceError> {
        self.ask(&Request::Device, |reply| {
            let Reply::Device(device) = reply else {
                return None;
            };
            Some(device.into())
        })
    }

    /// Use of the device's memory.
    ///
    /// # Errors
    /// As [`Self::device`].
    pub fn memory(&mut self) -> Result<Memory, DeviceError> {
        self.ask(&Request::Memory, |reply| {
            let Reply::Memory(memory) = reply else {
                return None;
            };
            Some(memory)
        })
    }

    /// Contents of a slot.
    ///
    /// # Errors
    /// As [`Self::device`].
    pub fn slot(&mut self, slot: u8) -> Result<Slot, DeviceError> {
        self.ask(&Request::Slot(slot), |reply| {
            let Reply::Slot(slot) = reply else {
                return None;
            };
            Some(slot)
        })
    }

    /// Height, width and channels of a task's input.
    ///
    /// # Errors
    /// As [`Self::device`].
    pub fn input(&mut self, task: Task) -> Result<[u32; 3], DeviceError> {
        self.ask(&Request::Input(task), |reply| {
            let Reply::Input(shape) = reply else {
                return None;
            };
            Some(shape)
        })
    }

    /// The metadata section of a task's image.
    ///
    /// # Errors
    /// As [`Self::device`].
    pub fn metadata(&mut self, task: Task) -> Result<Vec<u8>, DeviceError> {
        self.bytes(|offset| Request::Metadata { task, offset })
    }

    /// Checks the patch of a slot once more and serves it on trial.
    ///
    /// # Errors
    /// As [`Self::device`]; [`DeviceError::SelfCheck`] where it gives wrong scores.
    pub fn activate(&mut self, slot: u8) -> Result<(), DeviceError> {
        self.order(&Request::Activate(slot))
    }

    /// The patch on trial is good.
    ///
    /// # Errors
    /// As [`Self::device`].
    pub fn confirm(&mut self) -> Result<(), DeviceError> {
        self.order(&Request::Confirm)
    }

    /// Ends the trial, or goes back to what was active before.
    ///
    /// # Errors
    /// As [`Self::device`].
    pub fn rollback(&mut self) -> Result<(), DeviceError> {
        self.order(&Request::Rollback)
    }

    /// Starts the device anew.
    ///
    /// # Errors
    /// As [`Self::device`].
    pub fn restart(&mut self) -> Result<(), DeviceError> {
        self.order(&Request::Restart)
    }

    /// Runs an image of 8-bit pixels, NHWC, with a task or with what the device serves.
    ///
    /// # Errors
    /// As [`Self::device`].
    pub fn run(&mut self, pixels: &[u8], task: Option<Task>) -> Result<Scores, DeviceError> {
        self.image(pixels)?;
        let (task, ticks) = self.ask(&Request::Run(task), ran)?;
        let scores = self.bytes(Request::Scores)?;
        let (scores, _) = scores.as_chunks();
        Ok(Scores {
            task,
            scores: scores.iter().copied().map(f32::from_le_bytes).collect(),
            ticks,
        })
    }

    /// As [`Self::run`], and times every layer.
    ///
    /// # Errors
    /// As [`Self::device`].
    pub fn profile(&mut self, pixels: &[u8], task: Option<Task>) -> Result<Profile, DeviceError> {
        self.image(pixels)?;
        let (task, ticks) = self.ask(&Request::Profile(task), ran)?;
        let layers = self.bytes(Request::Layers)?;
        let (layers, _) = layers.as_chunks();
        Ok(Profile {
            task,
            layers: layers.iter().copied().map(u32::from_le_bytes).collect(),
            ticks,
        })
    }

    pub(crate) fn image(&mut self, pixels: &[u8]) -> Result<(), DeviceError> {
        let mut offset = 0;
        for bytes in pixels.chunks(CHUNK) {
            self.order(&Request::Image { offset, bytes })?;
            offset += bytes.len() as u32;
        }
        Ok(())
    }

    /// Something longer than a message, piece by piece from offsets.
    fn bytes(&mut self, request: impl Fn(u32) -> Request<'static>) -> Result<Vec<u8>, DeviceError> {
        let mut all = Vec::new();
        loop {
            let request = request(all.len() as u32);
            let (total, piece) = self.ask(&request, |reply| {
                let Reply::Bytes { total, bytes } = reply else {
                    return None;
                };
                Some((total, bytes.to_vec()))
            })?;
            all.extend_from_slice(&piece);
            if all.len() == total as usize {
                return Ok(all);
            }
            if piece.is_empty() || total > MOST_BYTES || all.len() > total as usize {
                return Err(DeviceError::Answer);
            }
        }
    }

    /// Asks for what is answered by [`Reply::Done`].
    pub(crate) fn order(&mut self, request: &Request<'_>) -> Result<(), DeviceError> {
        self.ask(request, |reply| (reply == Reply::Done).then_some(()))
    }

    /// Asks until there is an answer. `read` takes what it needs of the kind of answer that fits the request.
    pub(crate) fn ask<T>(
        &mut self,
        request: &Request<'_>,
        read: impl Fn(Reply<'_>) -> Option<T>,
    ) -> Result<T, DeviceError> {
        self.id = self.id.wrapping_add(1);
        let mut buffer = [0; FRAME];
        let frame = encode(self.id, request, &mut buffer).map_err(DeviceError::Frame)?;
        let mut wait = self.patience.first;
        let mut waited = Duration::ZERO;
        for _ in 0..self.patience.times.max(1) {
            let sent = self.line.write_all(frame).and_then(|()| self.line.flush());
            sent.map_err(|error| self.lost(&error))?;
            if let Some(answer) = self.answer(Instant::now() + wait, &read)? {
                return Ok(answer);
            }
            waited += wait;
            wait *= 2;
            info!("no answer from {} for {waited:?}", self.port);
        }
        Err(DeviceError::NoAnswer {
            port: self.port.clone(),
            waited,
        })
    }

    /// The answer to the last request, or `None` if there is none until then.
    fn answer<T>(
        &mut self,
        until: Instant,
        read: impl Fn(Reply<'_>) -> Option<T>,
    ) -> Result<Option<T>, DeviceError> {
        let mut buffer = [0; FRAME];
        while let Some(left) = until.checked_duration_since(Instant::now())
            && !left.is_zero()
        {
            let count = self.receive(left, &mut buffer)?;
            // What comes after an answer is a repetition of it.
            for &byte in &buffer[..count] {
                let frame = match self.receiver.push(byte) {
                    None => continue,
                    Some(Ok(frame)) if frame.id == self.id => frame,
                    Some(Err(FrameError::Version {
                        found,
                        expected,
                        id,
                    })) if id == self.id => {
                        return Err(DeviceError::Version { found, expected });
                    }
                    Some(other) => {
                        debug!("not the answer: {other:?}");
                        continue;
                    }
                };
                let reply = frame.message().map_err(DeviceError::Frame)?;
                if let Reply::Refused(refusal) = reply {
                    return Err(refusal.into());
                }
                return read(reply).map(Some).ok_or(DeviceError::Answer);
            }
        }
        Ok(None)
    }

    /// Bytes from the line, none where none come in this time.
    fn receive(&mut self, time: Duration, buffer: &mut [u8]) -> Result<usize, DeviceError> {
        use io::ErrorKind::{Interrupted, TimedOut, WouldBlock};
        let received = self.line.wait(time).and_then(|()| self.line.read(buffer));
        match received {
            Ok(0) => Err(self.lost(&io::ErrorKind::UnexpectedEof.into())),
            Ok(count) => Ok(count),
            Err(error) if matches!(error.kind(), Interrupted | TimedOut | WouldBlock) => Ok(0),
            Err(error) => Err(self.lost(&error)),
        }
    }

    fn lost(&self, error: &io::Error) -> DeviceError {
        DeviceError::Lost {
            port: self.port.clone(),
            reason: error.to_string(),
        }
    }
}

fn ran(reply: Reply<'_>) -> Option<(Task, u32)> {
    let Reply::Ran { task, ticks, .. } = reply else {
        return None;
    };
    Some((task, ticks))
}
