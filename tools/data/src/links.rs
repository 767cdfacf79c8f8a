//! Links inside an archive, followed to the files that they lead to.

use std::collections::HashMap;

use super::layout::{Entry, EntryKind, Place};

/// Links from one to the next that are followed, as many as Linux follows: loops end.
const MAX_LINKS: usize = 40;

/// Makes each link the file that it leads to, by way of other links too. Links that lead to no file stay.
pub(super) fn follow(entries: &mut [Entry]) {
    let is_link = |entry: &&Entry| matches!(entry.kind, EntryKind::Link(_));
    if !entries.iter().any(|entry| is_link(&entry)) {
        return;
    }
    let kinds: HashMap<&[u8], &EntryKind> = entries
        .iter()
        .map(|entry| (entry.path.as_slice(), &entry.kind))
        .collect();
    let files: Vec<Option<Place>> = entries
        .iter()
        .filter(is_link)
        .map(|link| destination(&link.kind, &kinds))
        .collect();
    let mut files = files.into_iter();
    for entry in entries {
        if let EntryKind::Link(_) = entry.kind
            && let Some(Some(place)) = files.next()
        {
            entry.kind = EntryKind::File(place);
        }
    }
}

fn destination(link: &EntryKind, kinds: &HashMap<&[u8], &EntryKind>) -> Option<Place> {
    let mut at = link;
    for _ in 0..MAX_LINKS {
        match at {
            EntryKind::File(place) => return Some(place.clone()),
            EntryKind::Link(target) => at = kinds.get(target.as_deref()?)?,
            EntryKind::Folder | EntryKind::DeepFolder | EntryKind::Special => return None,
        }
    }
    None
}
