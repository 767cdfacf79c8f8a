//! The epilogue on single values.

use graft_patches::layout::{epilogue_len, scale_index};

use super::{Epilogue, PANEL};

impl Epilogue<'_> {
    /// Scale, bias and activation of an output channel's accumulator.
    pub(super) fn apply(&self, channel: usize, acc: f32) -> f32 {
        let scale = scale_index(channel);
        let bias = scale + PANEL;
        self.activation
            .of(self.table[scale] * acc + self.table[bias])
    }

    /// Panics unless the table has an entry for each of the channels.
    pub(super) fn check(&self, channels: usize) {
        assert!(
            self.table.len() >= epilogue_len(channels),
            "epilogue table has {} values, too few for {channels} channels",
            self.table.len()
        );
    }
}
