//! A device in QEMU. Killing it is pulling the plug: what it wrote to flash stays in a file.

use std::net::{Ipv4Addr, TcpListener, TcpStream};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::mpsc::{Receiver, RecvTimeoutError, channel};
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, bail};

use crate::log::Log;
use crate::machine::Machine;

/// Time that QEMU may take until its serial port is there.
const START: Duration = Duration::from_secs(20);

/// Time for which it may take no bytes.
const WRITE: Duration = Duration::from_secs(60);

/// A running machine.
pub(crate) struct Qemu {
    child: Child,
    port: u16,
    lines: Receiver<String>,
    /// Prints every line of the log.
    verbose: bool,
}

impl Qemu {
    /// Switches it on; its flash memory is a file in this folder, blank if there is none.
    ///
    /// # Errors
    /// QEMU is not there or ends at once, or the ELF has no log formats.
    pub(crate) fn start(
        machine: &Machine,
        backbone: &Path,
        folder: &Path,
        verbose: bool,
    ) -> Result<Self> {
        let elf = machine.elf();
        let log = Log::of(&elf)?;
        let port = free_port()?;
        let mut command = Command::new("qemu-system-arm");
        command
            .current_dir(folder)
            .args(machine.arguments(backbone))
            // An instruction takes a nanosecond of the device's time, however slow the host is.
            .args(["-icount", "shift=0"])
            .arg("-serial")
            .arg(format!(
                "tcp:127.0.0.1:{port},server=on,wait=off,nodelay=on"
            ));
        let mut child = command
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .spawn()
            .context("cannot run qemu-system-arm")?;
        let stdout = child.stdout.take().context("QEMU has no standard output")?;
        let (sender, lines) = channel();
        thread::spawn(move || {
            // The receiver goes away with the machine, and the stream ends with it.
            let _ = log.follow(stdout, |line| drop(sender.send(line)));
        });
        let mut qemu = Self {
            child,
            port,
            lines,
            verbose,
        };
        qemu.wait_for_port()?;
        Ok(qemu)
    }

    fn wait_for_port(&mut self) -> Result<()> {
        let start = Instant::now();
        while TcpStream::connect((Ipv4Addr::LOCALHOST, self.port)).is_err() {
            if let Some(status) = self.child.try_wait()? {
                bail!("QEMU ended at once: {status}");
            }
            if start.elapsed() > START {
                bail!("QEMU does not open its serial port");
            }
            thread::sleep(Duration::from_millis(20));
        }
        Ok(())
    }

    /// Its serial port, as `patchtool` takes it.
    pub(crate) fn port(&self) -> String {
        format!("tcp:127.0.0.1:{}", self.port)
    }

    /// Its serial port without a protocol.
    ///
    /// # Errors
    /// The system's error.
    pub(crate) fn wire(&self) -> Result<TcpStream> {
        let wire = TcpStream::connect((Ipv4Addr::LOCALHOST, self.port))?;
        wire.set_nodelay(true)?;
        wire.set_write_timeout(Some(WRITE))?;
        Ok(wire)
    }

    /// The next line of the log with this text in it.
    ///
    /// # Errors
    /// None came in this time, an error came, or QEMU ended.
    pub(crate) fn wait_for(&mut self, text: &str, time: Duration) -> Result<String> {
        let end = Instant::now() + time;
        loop {
            let left = end.saturating_duration_since(Instant::now());
            match self.lines.recv_timeout(left) {
                Ok(line) => {
                    self.show(&line);
                    if line.contains(text) {
                        return Ok(line);
                    }
                    if line.starts_with("ERROR") {
                        bail!("the device says: {line}");
                    }
                }
                Err(RecvTimeoutError::Timeout) => bail!("no \"{text}\" in the log"),
                Err(RecvTimeoutError::Disconnected) => {
                    bail!("QEMU ended without \"{text}\" in the log")
                }
            }
        }
    }

    /// All lines of the log since those that were waited for.
    pub(crate) fn log(&mut self) -> Vec<String> {
        let lines: Vec<String> = self.lines.try_iter().collect();
        for line in &lines {
            self.show(line);
        }
        lines
    }

    fn show(&self, line: &str) {
        if self.verbose {
            println!("        {line}");
        }
    }
}

impl Drop for Qemu {
    /// Pulls the plug: SIGKILL leaves no time to do anything more.
    fn drop(&mut self) {
        // It may have ended by itself.
        let _ = self.child.kill();
        let _ = self.child.wait();
        self.log();
    }
}

/// A port that nothing listens on.
fn free_port() -> Result<u16> {
    Ok(TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?
        .local_addr()?
        .port())
}
