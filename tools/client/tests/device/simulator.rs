//! The firmware's application on a board in memory, behind a TCP port, with a line as bad as asked for.

use std::io::{ErrorKind, Read, Write};
use std::net::TcpListener;
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::Duration;

use graft_client::{Client, Patience, Port};
use graft_firmware::Next;
use graft_runtime::Backbone;

use super::board::{Flash, Setup};

/// Faults of the line.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Trouble {
    /// Of the bytes in each direction, one in this number is lost.
    pub(crate) lose: Option<u32>,
    /// One in this number is another one.
    pub(crate) change: Option<u32>,
    /// Before each answer comes what a boot loader may print.
    pub(crate) noise: bool,
    /// Of the bytes to the device, this number arrives, then the connection ends.
    pub(crate) cut_after: Option<usize>,
    /// With the connection the power goes.
    pub(crate) power_cut: bool,
}

/// A device that serves one connection after the other for as long as the test runs.
pub(crate) struct Simulator {
    pub(crate) port: Port,
    trouble: Arc<Mutex<Trouble>>,
}

impl Simulator {
    pub(crate) fn start(backbone: &Backbone) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a free port");
        let address = listener.local_addr().expect("it has one");
        let trouble = Arc::new(Mutex::new(Trouble::default()));
        let (shared, backbone) = (Arc::clone(&trouble), backbone.clone());
        thread::spawn(move || {
            let mut setup = Setup::start(&backbone, Flash::blank());
            for stream in listener.incoming() {
                let trouble = *shared.lock().expect("no test panics with it");
                let stream = stream.expect("a connection");
                stream.set_nonblocking(true).expect("sockets can");
                stream.set_nodelay(true).expect("sockets can");
                setup = Line::new(stream, trouble).serve(setup, &backbone);
                if trouble.power_cut {
                    setup = setup.restart(&backbone);
                }
            }
        });
        let port = format!("tcp:{address}").parse().expect("it is one");
        Self { port, trouble }
    }

    /// A device on a serial port.
    #[cfg(unix)]
    pub(crate) fn start_serial(backbone: &Backbone) -> Self {
        use serialport::{SerialPort as _, TTYPort};
        let (ours, theirs) = TTYPort::pair().expect("the system has terminals");
        let port = theirs.name().expect("it has one");
        let port = port.parse().expect("it is one");
        // One process at a time has it open.
        drop(theirs);
        let backbone = backbone.clone();
        thread::spawn(move || {
            let mut setup = Setup::start(&backbone, Flash::blank());
            let mut line = Line::new(ours, Trouble::default());
            // While no host has the other end open, the line fails.
            loop {
                setup = line.serve(setup, &backbone);
                thread::sleep(Duration::from_millis(1));
            }
        });
        Self {
            port,
            trouble: Arc::default(),
        }
    }

    /// Of the connections from now on.
    pub(crate) fn trouble(&self, trouble: Trouble) {
        *self.trouble.lock().expect("the device lives") = trouble;
    }

    pub(crate) fn connect(&self) -> Client {
        let client = Client::open(&self.port).expect("it listens");
        client.with_patience(Patience {
            first: Duration::from_millis(20),
            times: 12,
        })
    }
}

/// A connection, and how many bytes have gone through it.
struct Line<S> {
    stream: S,
    trouble: Trouble,
    count: u32,
}

impl<S: Read + Write> Line<S> {
    fn new(stream: S, trouble: Trouble) -> Self {
        Self {
            stream,
            trouble,
            count: 0,
        }
    }

    /// Runs the device until the connection ends.
    fn serve(&mut self, mut setup: Setup, backbone: &Backbone) -> Setup {
        let mut left = self.trouble.cut_after.unwrap_or(usize::MAX);
        let mut buffer = [0; 256];
        while left > 0 {
            let room = left.min(buffer.len());
            match self.stream.read(&mut buffer[..room]) {
                Ok(0) => break,
                Ok(count) => {
                    left -= count;
                    let bytes = self.troubled(&buffer[..count]);
                    setup.wires.to_device.borrow_mut().extend(bytes);
                }
                Err(error)
                    if matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::TimedOut) => {}
                Err(_) => break,
            }
            // A frame a turn: whatever the host asks, there are frames in between.
            let ticks = &setup.wires.ticks;
            ticks.set(ticks.get().wrapping_add(1000));
            let next = setup.device.poll();
            if !self.answer(&setup) {
                break;
            }
            match next {
                Next::Restart => setup = setup.restart(backbone),
                Next::Wait => thread::sleep(Duration::from_micros(50)),
                Next::Poll => {}
            }
        }
        setup
    }

    /// False where the host has gone.
    fn answer(&mut self, setup: &Setup) -> bool {
        let bytes: Vec<u8> = setup.wires.to_host.borrow_mut().drain(..).collect();
        if bytes.is_empty() {
            return true;
        }
        let noise: &[u8] = match self.trouble.noise {
            true => b"\0\x07boot\0 \xff\xff ready",
            false => &[],
        };
        let bytes = [noise, &self.troubled(&bytes)].concat();
        self.stream.write_all(&bytes).is_ok()
    }

    fn troubled(&mut self, bytes: &[u8]) -> Vec<u8> {
        let mut troubled = Vec::new();
        for &byte in bytes {
            self.count += 1;
            let is_hit = |one_in: Option<u32>| one_in.is_some_and(|n| self.count.is_multiple_of(n));
            if !is_hit(self.trouble.lose) {
                troubled.push(if is_hit(self.trouble.change) {
                    byte ^ 4
                } else {
                    byte
                });
            }
        }
        troubled
    }
}
