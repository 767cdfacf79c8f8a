//! The faults behind a status, and where they leave the library.

use core::ffi::c_char;

use graft_patches::ImageError;
use graft_runtime::Error;

use crate::status::GraftStatus;

/// The reason why a call failed.
pub(crate) enum Fault {
    /// The status says all.
    Call(GraftStatus),
    /// Too little memory for an object.
    #[cfg_attr(
        not(feature = "std"),
        expect(dead_code, reason = "figures are for the words of `std`")
    )]
    Memory { found: usize, expected: usize },
    /// The runtime's.
    Runtime(Error),
}

impl From<GraftStatus> for Fault {
    fn from(status: GraftStatus) -> Self {
        Self::Call(status)
    }
}

impl From<Error> for Fault {
    fn from(error: Error) -> Self {
        Self::Runtime(error)
    }
}

impl From<ImageError> for Fault {
    fn from(error: ImageError) -> Self {
        Self::Runtime(error.into())
    }
}

impl Fault {
    fn status(&self) -> GraftStatus {
        match self {
            Self::Call(status) => *status,
            Self::Memory { .. } => GraftStatus::MemoryTooSmall,
            Self::Runtime(error) => status(error),
        }
    }
}

fn status(error: &Error) -> GraftStatus {
    match error {
        Error::Image(error) => image_status(error),
        Error::OtherBackbone { .. } => GraftStatus::OtherBackbone,
        Error::Untrusted => GraftStatus::Untrusted,
        Error::InputLength { .. } => GraftStatus::InputLength,
        Error::Arena { .. } | Error::Widen { .. } => GraftStatus::MemoryTooSmall,
        Error::Kernels(_) => GraftStatus::Unsupported,
        #[cfg(feature = "std")]
        Error::File { .. } => GraftStatus::File,
        #[cfg(feature = "std")]
        Error::InvalidFile { source, .. } => image_status(source),
        #[cfg(feature = "std")]
        Error::Memory { .. } | Error::Threads { .. } => GraftStatus::System,
        // Of training, which C has no call for.
        _ => GraftStatus::Internal,
    }
}

fn image_status(error: &ImageError) -> GraftStatus {
    if matches!(error, ImageError::Misaligned { .. }) {
        return GraftStatus::Misaligned;
    }
    if matches!(error, ImageError::WrongBackbone { .. }) {
        return GraftStatus::OtherBackbone;
    }
    let is_untrusted = matches!(
        error,
        ImageError::Unsigned
            | ImageError::UnknownKey { .. }
            | ImageError::WrongSignature { .. }
            | ImageError::SignedTask
    );
    if is_untrusted {
        GraftStatus::Untrusted
    } else {
        GraftStatus::InvalidImage
    }
}

/// The body of a call that returns a status.
pub(crate) fn status_of(call: impl FnOnce() -> Result<(), Fault>) -> GraftStatus {
    match caught(call) {
        Ok(()) => GraftStatus::Ok,
        Err(fault) => {
            last::keep(&fault);
            fault.status()
        }
    }
}

/// The body of a call that returns a size, which is 0 where it fails.
pub(crate) fn size_or_zero(call: impl FnOnce() -> Result<usize, Fault>) -> usize {
    caught(call).unwrap_or_else(|fault| {
        last::keep(&fault);
        0
    })
}

/// Calls, and has a panic for a fault: none leaves the library.
#[cfg(feature = "std")]
fn caught<T>(call: impl FnOnce() -> Result<T, Fault>) -> Result<T, Fault> {
    std::panic::catch_unwind(std::panic::AssertUnwindSafe(call))
        .unwrap_or(Err(Fault::Call(GraftStatus::Internal)))
}

/// Calls: without `std` a panic ends the program.
#[cfg(not(feature = "std"))]
fn caught<T>(call: impl FnOnce() -> Result<T, Fault>) -> Result<T, Fault> {
    call()
}

/// The last fault of a thread, in words.
#[cfg(feature = "std")]
mod last {
    use std::cell::RefCell;
    use std::error::Error as _;
    use std::ffi::{CString, c_char};

    use super::Fault;
    use crate::status::GraftStatus;

    thread_local! {
        static LAST: RefCell<CString> = RefCell::new(GraftStatus::Ok.text().into());
    }

    pub(super) fn keep(fault: &Fault) {
        let text = CString::new(text(fault)).unwrap_or_default();
        // A thread that ends has no use for it.
        let _ = LAST.try_with(|last| last.replace(text));
    }

    pub(super) fn text_pointer() -> *const c_char {
        let ended = GraftStatus::Ok.text().as_ptr();
        LAST.try_with(|last| last.borrow().as_ptr())
            .unwrap_or(ended)
    }

    fn text(fault: &Fault) -> String {
        let status = fault.status().text().to_string_lossy();
        match fault {
            Fault::Call(_) => status.into_owned(),
            Fault::Memory { found, expected } => {
                format!("{status} ({found} bytes, it takes {expected})")
            }
            Fault::Runtime(error) => {
                let mut text = error.to_string();
                let mut source = error.source();
                while let Some(error) = source {
                    text += &format!(": {error}");
                    source = error.source();
                }
                format!("{text} (hint: {})", error.hint())
            }
        }
    }
}

/// The status of the last fault of any thread.
#[cfg(not(feature = "std"))]
mod last {
    use core::ffi::c_char;
    use core::sync::atomic::{AtomicI32, Ordering};

    use super::Fault;
    use crate::status::{GraftStatus, graft_status_text};

    static LAST: AtomicI32 = AtomicI32::new(GraftStatus::Ok as i32);

    pub(super) fn keep(fault: &Fault) {
        LAST.store(fault.status() as i32, Ordering::Relaxed);
    }

    pub(super) fn text_pointer() -> *const c_char {
        graft_status_text(LAST.load(Ordering::Relaxed))
    }
}

/// The last failure in words. On hosted systems it is the calling thread's, with figures, the file and what to do, and is
/// there until the thread's next call that fails; on microcontrollers it is the sentence of the last status of any task.
#[unsafe(no_mangle)]
pub extern "C" fn graft_last_error() -> *const c_char {
    last::text_pointer()
}

#[cfg(all(test, feature = "std"))]
mod tests {
    use super::{GraftStatus, status_of};

    #[test]
    fn a_panic_is_a_status() {
        assert_eq!(status_of(|| panic!("a bug")), GraftStatus::Internal);
    }
}
