//! The device's log: defmt frames on QEMU's standard output, which only its ELF file can read.

use std::io::{ErrorKind, Read};
use std::path::Path;

use anyhow::{Context as _, Result};
use defmt_decoder::{DecodeError, Table};

/// Meaning of the frames of one program.
pub(crate) struct Log {
    table: Table,
}

impl Log {
    /// Reads the formats out of an ELF file.
    ///
    /// # Errors
    /// It cannot be read, or was built without defmt or with another version of it.
    pub(crate) fn of(elf: &Path) -> Result<Self> {
        let bytes = std::fs::read(elf).with_context(|| format!("cannot read {}", elf.display()))?;
        let table = Table::parse(&bytes)
            .with_context(|| format!("the log formats in {}", elf.display()))?
            .with_context(|| format!("{} was built without defmt", elf.display()))?;
        Ok(Self { table })
    }

    /// Gives each line as it comes, until the stream ends. What is no frame becomes a line that says so, and the next
    /// frame is read again.
    ///
    /// # Errors
    /// The stream's error.
    pub(crate) fn follow(&self, mut stream: impl Read, mut line: impl FnMut(String)) -> Result<()> {
        let mut decoder = self.table.new_stream_decoder();
        let mut bytes = [0; 1024];
        loop {
            let count = match stream.read(&mut bytes) {
                Ok(0) => return Ok(()),
                Ok(count) => count,
                Err(error) if error.kind() == ErrorKind::Interrupted => continue,
                Err(error) => return Err(error.into()),
            };
            decoder.received(&bytes[..count]);
            loop {
                match decoder.decode() {
                    Ok(frame) => line(frame.display(false).to_string()),
                    Err(DecodeError::UnexpectedEof) => break,
                    Err(DecodeError::Malformed) => line("(not a frame of the log)".into()),
                }
            }
        }
    }
}
