//! The use of memory, as the linker laid it out.

use graft_link::Memory;

use crate::stack;

unsafe extern "C" {
    static __vector_table: u8;
    static __erodata: u8;
    static __sdata: u8;
    static __edata: u8;
    static __sbss: u8;
    static __ebss: u8;
    static _backbone_start: u8;
    static _backbone_end: u8;
}

/// Bytes that the board has of each memory; the application adds the backbone and the arena.
pub fn report() -> Memory {
    let data = (&raw const __edata).addr() - (&raw const __sdata).addr();
    let bss = (&raw const __ebss).addr() - (&raw const __sbss).addr();
    let constants = (&raw const __erodata).addr() - (&raw const __vector_table).addr();
    Memory {
        // The initial values of data lie behind the constants.
        code: (constants + data) as u32,
        backbone: 0,
        statics: (data + bss) as u32,
        arena: 0,
        arena_used: 0,
        stack: stack::range().len() as u32,
        stack_used: stack::used() as u32,
    }
}

/// The flash region of the backbone.
pub fn backbone() -> &'static [u8] {
    let start = &raw const _backbone_start;
    let length = (&raw const _backbone_end).addr() - start.addr();
    // SAFETY: the board has that memory, and nothing writes it.
    unsafe { core::slice::from_raw_parts(start, length) }
}
