//! The results of calls.

use core::ffi::{CStr, c_char};

/// The result of a call.
#[repr(C)]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum GraftStatus {
    /// It has done what it says.
    Ok = 0,
    /// A pointer is NULL.
    NullPointer = 1,
    /// Memory, an image, an object or an array of floats is at an address that is no multiple of its alignment.
    Misaligned = 2,
    /// The memory for an object is too small.
    MemoryTooSmall = 3,
    /// The object was closed, or is of another kind.
    NotOpen = 4,
    /// Another call uses the session or the backbone at this moment.
    Busy = 5,
    /// An argument is none of the values that it may have.
    InvalidArgument = 6,
    /// The bytes are no valid backbone or patch, or the patch does not fit the backbone.
    InvalidImage = 7,
    /// The patch was made for another backbone.
    OtherBackbone = 8,
    /// The patch is not signed with a key that the backbone trusts.
    Untrusted = 9,
    /// The image has another number of values than the patch's input.
    InputLength = 10,
    /// There is no room for all scores.
    ScoresLength = 11,
    /// The class has no name.
    NoLabel = 12,
    /// The library was built without kernels for the dtype of the backbone.
    Unsupported = 13,
    /// A file cannot be opened or mapped.
    File = 14,
    /// The system has no memory or threads left.
    System = 15,
    /// A bug of the library: the objects of the call must not be used again.
    Internal = 16,
}

impl GraftStatus {
    pub(crate) fn text(self) -> &'static CStr {
        match self {
            Self::Ok => c"no error",
            Self::NullPointer => c"a pointer is NULL",
            Self::Misaligned => {
                c"an address is not aligned: memory and images start at a multiple of 64"
            }
            Self::MemoryTooSmall => c"the memory for an object is too small: ask its size function",
            Self::NotOpen => c"the object was closed, or is of another kind",
            Self::Busy => c"another call uses the object: give each thread a session of its own",
            Self::InvalidArgument => c"an argument is none of the values that it may have",
            Self::InvalidImage => {
                c"the bytes are no valid backbone or patch, or the patch does not fit the backbone"
            }
            Self::OtherBackbone => c"the patch was made for another backbone",
            Self::Untrusted => c"the patch is not signed with a key that the backbone trusts",
            Self::InputLength => c"the image has another number of values than the patch's input",
            Self::ScoresLength => c"there is no room for all scores",
            Self::NoLabel => c"the class has no name",
            Self::Unsupported => {
                c"the library was built without kernels for the dtype of the backbone"
            }
            Self::File => c"the file cannot be opened or mapped",
            Self::System => c"the system has no memory or threads left",
            Self::Internal => c"a bug of the library: do not use the objects of the call again",
        }
    }
}

/// A sentence for a status. It is there for as long as the program runs.
///
/// @param status A status, or any number: those that are none have a sentence, too.
#[unsafe(no_mangle)]
pub extern "C" fn graft_status_text(status: i32) -> *const c_char {
    let known = [
        GraftStatus::Ok,
        GraftStatus::NullPointer,
        GraftStatus::Misaligned,
        GraftStatus::MemoryTooSmall,
        GraftStatus::NotOpen,
        GraftStatus::Busy,
        GraftStatus::InvalidArgument,
        GraftStatus::InvalidImage,
        GraftStatus::OtherBackbone,
        GraftStatus::Untrusted,
        GraftStatus::InputLength,
        GraftStatus::ScoresLength,
        GraftStatus::NoLabel,
        GraftStatus::Unsupported,
        GraftStatus::File,
        GraftStatus::System,
        GraftStatus::Internal,
    ];
    let known = known.into_iter().find(|known| *known as i32 == status);
    known
        .map_or(c"no status of this library", GraftStatus::text)
        .as_ptr()
}
