//! Memory that this process uses, as Linux tells it.

/// Memory of this process in bytes.
#[derive(Clone, Copy, Debug)]
pub struct Usage {
    /// In RAM, shared pages of mapped files among it.
    pub resident: usize,
    /// Written by this process alone: heap, stacks.
    pub private_dirty: usize,
}

/// Reads `/proc/self/smaps_rollup`; `None` where there is none.
pub fn usage() -> Option<Usage> {
    parse(&std::fs::read_to_string("/proc/self/smaps_rollup").ok()?)
}

fn parse(rollup: &str) -> Option<Usage> {
    let field = |name: &str| {
        let line = rollup.lines().find_map(|line| line.strip_prefix(name))?;
        let kilobytes: usize = line.split_whitespace().next()?.parse().ok()?;
        Some(kilobytes * 1024)
    };
    Some(Usage {
        resident: field("Rss:")?,
        private_dirty: field("Private_Dirty:")?,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn fields_are_read_in_kilobytes() {
        let usage =
            parse("00-ff ---p [rollup]\nRss:    1024 kB\nPss: 7 kB\nPrivate_Dirty:   12 kB\n");
        let usage = usage.expect("all fields are there");
        assert_eq!(
            (usage.resident, usage.private_dirty),
            (1024 * 1024, 12 * 1024)
        );
        assert!(parse("Rss: many").is_none());
    }
}
