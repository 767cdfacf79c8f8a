//! Memory for the life of the program.

use std::sync::Mutex;
use std::sync::atomic::AtomicPtr;

/// A multiple of what kernels need.
const ALIGNMENT: usize = 64;

/// Memory that is never freed, aligned as images have to be, for readers of static bytes. Leak checkers see that it is kept. It
/// does not begin as zeros: what is not written shows.
pub fn kept(length: usize) -> &'static mut [u8] {
    static KEPT: Mutex<Vec<AtomicPtr<u8>>> = Mutex::new(Vec::new());
    let memory = vec![0xa5; length + ALIGNMENT].leak();
    KEPT.lock()
        .expect("no panic before")
        .push(AtomicPtr::new(memory.as_mut_ptr()));
    let start = memory.as_ptr().align_offset(ALIGNMENT);
    &mut memory[start..][..length]
}

/// A copy of bytes in such memory.
pub fn kept_copy(bytes: &[u8]) -> &'static [u8] {
    let memory = kept(bytes.len());
    memory.copy_from_slice(bytes);
    memory
}
