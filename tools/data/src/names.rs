//! Names of files and classes: bytes on disks and in archives, text for people.

use unicode_normalization::UnicodeNormalization as _;

/// A text in Unicode's composed form (NFC), in which two spellings of one name are equal: macOS writes `é` as `e` and
/// an accent, most others as one character.
pub fn composed(text: &str) -> String {
    text.nfc().collect()
}

/// Text for a name that may be any bytes: those that are no UTF-8 as `\xE9`, so that different names stay different.
pub(super) fn shown(name: &[u8]) -> String {
    let mut text = String::with_capacity(name.len());
    for chunk in name.utf8_chunks() {
        text += chunk.valid();
        for byte in chunk.invalid() {
            text += &format!("\\x{byte:02X}");
        }
    }
    text
}

/// The class of the images in a folder of this name.
pub(super) fn class(folder: &[u8]) -> String {
    composed(&shown(folder))
}

/// The parts of a path.
pub(super) fn parts(path: &[u8]) -> impl DoubleEndedIterator<Item = &[u8]> {
    path.split(|&byte| byte == b'/')
}

/// The folder and the name in it; no folder for what lies at the root.
pub(super) fn split(path: &[u8]) -> (Option<&[u8]>, &[u8]) {
    match path.iter().rposition(|&byte| byte == b'/') {
        Some(at) => (Some(&path[..at]), &path[at + 1..]),
        None => (None, path),
    }
}

/// The named parts of a path in an archive, joined by slashes: without `./`, `/` and `..`, none of which may lead out of the data set.
///
/// Backslashes behind the last slash separate, too: some programs on Windows write archives like that. A folder is told
/// by a slash at the end, and keeps the backslashes of its name.
pub(super) fn path(raw: &[u8]) -> Vec<u8> {
    let (folders, name) = split(raw);
    let folders = folders.into_iter().flat_map(parts);
    let named = folders.chain(name.split(|&byte| byte == b'\\'));
    let named: Vec<&[u8]> = named
        .filter(|part| !matches!(*part, b"" | b"." | b".."))
        .collect();
    named.join(&b'/')
}

/// The path that a link in this folder leads to; `None` where that is outside of the archive.
pub(super) fn target(folder: &[u8], link: &[u8]) -> Option<Vec<u8>> {
    if link.starts_with(b"/") {
        return None;
    }
    let mut named = Vec::new();
    for part in parts(folder).chain(parts(link)) {
        match part {
            b"" | b"." => {}
            b".." => drop(named.pop()?),
            _ => named.push(part),
        }
    }
    Some(named.join(&b'/'))
}

/// Names that the user did not put there: hidden files and what macOS adds to archives.
pub(super) fn is_hidden(name: &[u8]) -> bool {
    name.starts_with(b".") || name == b"__MACOSX"
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn two_spellings_are_one_class_and_bytes_that_are_no_text_stay_apart() {
        assert_eq!(class("cafe\u{301}".as_bytes()), "caf\u{e9}");
        assert_eq!(class("caf\u{e9}".as_bytes()), "caf\u{e9}");
        assert_eq!(class(b"caf\xE9"), "caf\\xE9");
        assert_eq!(class(b"caf\xE8"), "caf\\xE8");
    }

    #[test]
    fn paths_have_named_parts_only() {
        let normal = |raw: &str| String::from_utf8(path(raw.as_bytes())).unwrap();
        assert_eq!(normal("./a/1.png"), "a/1.png");
        assert_eq!(normal("/../a//b/"), "a/b");
        assert_eq!(normal("."), "");
        assert_eq!(normal("red\\0.png"), "red/0.png");
        assert_eq!(normal("set/red\\0.png"), "set/red/0.png");
        assert_eq!(normal("set\\red\\"), "set/red");
        assert_eq!(normal("\\alpha/1.png"), "\\alpha/1.png");
        assert_eq!(normal("\\alpha/"), "\\alpha");
    }

    #[test]
    fn links_lead_to_paths_in_the_archive() {
        let leads = |folder: &str, link: &str| target(folder.as_bytes(), link.as_bytes());
        assert_eq!(leads("a", "../b/./1.png").unwrap(), b"b/1.png");
        assert_eq!(leads("", "./b/1.png").unwrap(), b"b/1.png");
        assert_eq!(leads("a", "../../x"), None);
        assert_eq!(leads("a", "/etc/passwd"), None);
    }
}
