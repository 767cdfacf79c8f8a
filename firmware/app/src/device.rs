//! The device: its link, and one turn of its loop.

use embedded_hal::delay::DelayNs;
use embedded_hal::digital::{InputPin, OutputPin, PinState};
use embedded_io::{Read, ReadReady, Write};
use graft_link::{FRAME, FrameError, Memory, Receiver, Refusal, Reply, Request, encode};
use graft_runtime::Backbone;
use graft_slots::Layout;

use crate::board::{Board, Clock};
use crate::error::Error;
use crate::log::{info, warning};
use crate::run::FRAMES_PER_SECOND;
use crate::server::{Buffers, FlashError, Server};

/// The shortest time that a button is held, in milliseconds: contacts bounce.
const DEBOUNCE_MS: u32 = 5;

/// The longest time that an answer may take to leave the board before it restarts, in milliseconds.
const FAREWELL_MS: u32 = 20;

/// Most bytes that are read from the link in one turn.
const BYTES_PER_TURN: usize = 2 * FRAME;

/// The next thing to do.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Next {
    /// Poll again at once.
    Poll,
    /// There is nothing to do before the next interrupt or frame.
    Wait,
    /// Start anew: the host asked.
    Restart,
}

/// A device that serves tasks.
pub struct Device<B: Board> {
    server: Server<B>,
    receiver: Receiver,
    answer: Answer,
    last_frame: u32,
    is_pressed: bool,
}

/// The last answer, for a host that asks again because it was lost.
struct Answer {
    /// Id and checksum of the request.
    to: Option<(u16, u32)>,
    bytes: [u8; FRAME],
    len: usize,
}

impl<B: Board> Device<B> {
    /// Reads the slots, binds every patch, and serves the active one. A patch on trial is rolled back; one whose bytes have
    /// changed is discarded, one that this firmware or backbone cannot serve is left as it is.
    ///
    /// # Errors
    /// [`Error`]: the backbone does not fit the memory, or the flash fails.
    pub fn start(
        board: B,
        backbone: Backbone,
        flash: B::Flash,
        layout: Layout,
        buffers: Buffers,
    ) -> Result<Self, Error<FlashError<B>>> {
        let mut server = Server::start(board, backbone, flash, layout, buffers)?;
        let last_frame = server.board.clock().ticks();
        Ok(Self {
            server,
            receiver: Receiver::new(),
            answer: Answer {
                to: None,
                bytes: [0; FRAME],
                len: 0,
            },
            last_frame,
            is_pressed: false,
        })
    }

    /// One turn: a request of the host at most, the button, and a frame where it is time.
    pub fn poll(&mut self) -> Next {
        let next = self.listen();
        if next == Next::Restart {
            return next;
        }
        self.press();
        let interval = B::Clock::TICKS_PER_SECOND / FRAMES_PER_SECOND;
        let now = self.server.board.clock().ticks();
        if now.wrapping_sub(self.last_frame) < interval {
            return next;
        }
        self.frame();
        // From its end: where a frame takes longer than the interval, the host is heard between two of them all the same.
        self.last_frame = self.server.board.clock().ticks();
        Next::Poll
    }

    /// The use of memory.
    pub fn memory(&self) -> Memory {
        self.server.memory()
    }

    /// Reads what has arrived, up to one request, and answers it.
    fn listen(&mut self) -> Next {
        for read in 0..BYTES_PER_TURN {
            let serial = self.server.board.serial();
            let mut byte = [0];
            if !matches!(serial.read_ready(), Ok(true)) || !matches!(serial.read(&mut byte), Ok(1))
            {
                return if read == 0 { Next::Wait } else { Next::Poll };
            }
            if let Some(next) = self.receive(byte[0]) {
                return next;
            }
        }
        Next::Poll
    }

    /// Takes a byte of the host, and answers the request that it ends.
    fn receive(&mut self, byte: u8) -> Option<Next> {
        let Self {
            server,
            receiver,
            answer,
            ..
        } = self;
        let frame = match receiver.push(byte)? {
            Ok(frame) => frame,
            // Any answer tells the host this version.
            Err(FrameError::Version { id, .. }) => {
                answer.to = None;
                answer.write(id, &Reply::Refused(Refusal::Malformed));
                answer.send(server);
                return Some(Next::Poll);
            }
            // The host asks again.
            Err(_) => return Some(Next::Poll),
        };
        let mut next = Next::Poll;
        let asked = (frame.id, frame.checksum);
        if answer.to != Some(asked) {
            answer.to = Some(asked);
            let id = frame.id;
            match frame.message() {
                Ok(Request::Restart) => {
                    answer.write(id, &Reply::Done);
                    next = Next::Restart;
                }
                Ok(request) => server.handle(request, &mut |reply| answer.write(id, &reply)),
                Err(_) => answer.write(id, &Reply::Refused(Refusal::Malformed)),
            }
        }
        answer.send(server);
        if next == Next::Restart {
            info!("restart, as the host asks");
            server.board.delay().delay_ms(FAREWELL_MS);
        }
        Some(next)
    }

    /// A press moves to the next task.
    fn press(&mut self) {
        let board = &mut self.server.board;
        let was_pressed = self.is_pressed;
        self.is_pressed = board.button().is_low().unwrap_or(false);
        if self.is_pressed && !was_pressed {
            board.delay().delay_ms(DEBOUNCE_MS);
            // One that still bounces is looked at again in the next turn.
            self.is_pressed = board.button().is_low().unwrap_or(false);
            if self.is_pressed {
                self.server.serve(self.server.next_task());
            }
        }
    }

    /// Runs the image with the served task.
    fn frame(&mut self) {
        let server = &mut self.server;
        if !server.capture() {
            return;
        }
        let state = PinState::from(server.frames.is_multiple_of(2));
        if server.board.light().set_state(state).is_err() {
            warning!("the light fails");
        }
        server.frames = server.frames.wrapping_add(1);
        if server.run_frame().is_err() {
            warning!("frame {=u32} was not run", server.frames);
        }
    }
}

impl Answer {
    fn write(&mut self, id: u16, reply: &Reply<'_>) {
        let written = encode(id, reply, &mut self.bytes).map(<[u8]>::len);
        // Texts of a board may be too long for a frame.
        self.len = written.unwrap_or_else(|_| {
            let refused = Reply::Refused(Refusal::Malformed);
            encode(id, &refused, &mut self.bytes).map_or(0, <[u8]>::len)
        });
    }

    /// A host that has gone hears nothing; the next one asks again.
    fn send<B: Board>(&self, server: &mut Server<B>) {
        let serial = server.board.serial();
        let sent = serial.write_all(&self.bytes[..self.len]);
        if sent.and_then(|()| serial.flush()).is_err() {
            warning!("an answer was not sent");
        }
    }
}
