//! Address of a device, and the line to it.

use std::fmt;
use std::io::{self, Read, Write};
use std::net::{TcpStream, ToSocketAddrs as _};
use std::str::FromStr;
use std::time::Duration;

use serialport::SerialPort;

/// Time that a TCP peer may take to accept a connection.
const CONNECT: Duration = Duration::from_secs(5);

/// Address of a device.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Port {
    /// Host and port, such as `localhost:4000`: a simulator, or a serial-to-network bridge.
    Tcp(String),
    /// A serial port.
    Serial {
        /// Such as `/dev/ttyACM0` or `COM3`.
        path: String,
        /// Bits a second.
        baud: u32,
    },
}

/// Text that names no port.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("expected tcp:HOST:PORT, or a serial port such as /dev/ttyACM0 or COM3")]
pub struct UnknownPort;

impl FromStr for Port {
    type Err = UnknownPort;

    fn from_str(text: &str) -> Result<Self, UnknownPort> {
        let Some(address) = text.strip_prefix("tcp:") else {
            let path = text.to_owned();
            return match path.is_empty() {
                true => Err(UnknownPort),
                false => Ok(Self::Serial {
                    path,
                    baud: Self::BAUD,
                }),
            };
        };
        match address.rsplit_once(':') {
            Some((host, port)) if !host.is_empty() && port.parse::<u16>().is_ok() => {
                Ok(Self::Tcp(address.to_owned()))
            }
            _ => Err(UnknownPort),
        }
    }
}

impl fmt::Display for Port {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Tcp(address) => write!(f, "tcp:{address}"),
            Self::Serial { path, .. } => f.write_str(path),
        }
    }
}

impl Port {
    /// Bits a second of a serial port where no other number is given.
    pub const BAUD: u32 = 115_200;

    /// The same port at `baud` bits a second; of TCP there is no such number.
    pub fn with_baud(self, baud: u32) -> Self {
        match self {
            Self::Tcp(_) => self,
            Self::Serial { path, .. } => Self::Serial { path, baud },
        }
    }

    /// Opens the line.
    pub(crate) fn open(&self) -> io::Result<Box<dyn Line>> {
        match self {
            Self::Tcp(address) => Ok(Box::new(connect(address)?)),
            Self::Serial { path, baud } => Ok(Box::new(
                serialport::new(path, *baud).timeout(CONNECT).open()?,
            )),
        }
    }
}

/// The first address of a host that answers.
fn connect(address: &str) -> io::Result<TcpStream> {
    let mut failure = io::Error::new(io::ErrorKind::NotFound, "the host has no address");
    for address in address.to_socket_addrs()? {
        match TcpStream::connect_timeout(&address, CONNECT) {
            Ok(stream) => {
                stream.set_nodelay(true)?;
                stream.set_write_timeout(Some(CONNECT))?;
                return Ok(stream);
            }
            Err(error) => failure = error,
        }
    }
    Err(failure)
}

/// A line that carries bytes to a device and back.
pub(crate) trait Line: Read + Write + Send {
    /// Limits the time that a read may wait for the first byte.
    fn wait(&mut self, time: Duration) -> io::Result<()>;
}

impl Line for TcpStream {
    fn wait(&mut self, time: Duration) -> io::Result<()> {
        self.set_read_timeout(Some(time))
    }
}

impl Line for Box<dyn SerialPort> {
    fn wait(&mut self, time: Duration) -> io::Result<()> {
        Ok(self.set_timeout(time)?)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ports_are_read_as_they_are_shown() {
        for text in [
            "tcp:localhost:4000",
            "tcp:[::1]:4000",
            "/dev/ttyACM0",
            "COM3",
        ] {
            let port: Port = text.parse().unwrap();
            assert_eq!(port.to_string(), text);
        }
        for text in [
            "",
            "tcp:",
            "tcp:4000",
            "tcp::4000",
            "tcp:host:",
            "tcp:host:70000",
        ] {
            assert_eq!(text.parse::<Port>(), Err(UnknownPort), "{text}");
        }
    }

    #[test]
    fn only_serial_ports_have_a_speed() {
        let serial: Port = "COM3".parse().unwrap();
        assert_ne!(serial.clone().with_baud(9600), serial);
        let tcp: Port = "tcp:localhost:1".parse().unwrap();
        assert_eq!(tcp.clone().with_baud(9600), tcp);
    }
}
