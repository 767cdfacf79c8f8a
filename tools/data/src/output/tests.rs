//! Outputs are whole or not there, and what was there before is kept.

use super::*;
use std::io::SeekFrom;

fn names_in(folder: &Path) -> Vec<String> {
    let entries = fs::read_dir(folder).unwrap();
    entries
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        .collect()
}

fn write(path: &Path, force: bool, text: &str) -> Result<(), OutputError> {
    write_atomically(path, force, |file| file.write_all(text.as_bytes()))
}

#[test]
fn a_file_is_overwritten_only_on_request() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("a.patch");
    write(&path, false, "one").unwrap();
    let error = write(&path, false, "two").unwrap_err();
    assert!(matches!(error, OutputError::Exists { .. }) && error.hint().contains("--force"));
    assert_eq!(fs::read_to_string(&path).unwrap(), "one");
    write(&path, true, "three").unwrap();
    assert_eq!(fs::read_to_string(&path).unwrap(), "three");
    assert_eq!(names_in(folder.path()), ["a.patch"]);
}

#[test]
fn a_file_made_meanwhile_is_kept() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("a");
    let error = write_atomically(&path, false, |_| fs::write(&path, "theirs")).unwrap_err();
    assert!(matches!(error, OutputError::Exists { .. }), "{error}");
    assert_eq!(fs::read_to_string(&path).unwrap(), "theirs");
    assert_eq!(names_in(folder.path()), ["a"]);
}

#[test]
fn a_failure_leaves_nothing_new_behind() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("a");
    let fail = |file: &mut BufWriter<&File>| {
        file.write_all(&[7; 100_000])?;
        Err::<(), _>(io::Error::from(io::ErrorKind::StorageFull))
    };
    let error = write_atomically(&path, false, fail).unwrap_err();
    assert!(
        error.hint().contains("space") && names_in(folder.path()).is_empty(),
        "{error}"
    );
    write(&path, false, "before").unwrap();
    write_atomically(&path, true, fail).unwrap_err();
    assert_eq!(fs::read_to_string(&path).unwrap(), "before");
    assert_eq!(names_in(folder.path()), ["a"]);
}

#[test]
fn what_is_replaced_is_never_half_there() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("a");
    fs::write(unfinished(&path), "what a kill left").unwrap();
    replace(&path, |file| file.write_all(b"one")).unwrap();
    let full = |_: &mut BufWriter<&File>| Err(io::Error::from(io::ErrorKind::StorageFull));
    let error = replace(&path, full).unwrap_err();
    assert!(error.hint().contains("space"), "{error}");
    assert_eq!(fs::read_to_string(&path).unwrap(), "one");
    assert_eq!(names_in(folder.path()), ["a"]);
    assert!(matches!(
        replace(folder.path(), full),
        Err(OutputError::IsFolder { .. })
    ));
}

#[test]
fn what_cannot_be_written_is_known_before() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("a");
    check(&path, false).unwrap();
    let full = |_: &mut BufWriter<&File>| Err(io::Error::from(io::ErrorKind::StorageFull));
    let error = rehearse(&path, full).unwrap_err();
    assert!(error.hint().contains("space"), "{error}");
    assert!(names_in(folder.path()).is_empty());
    // A folder in which nobody, not even root, can make a file.
    #[cfg(target_os = "linux")]
    {
        let error = check(Path::new("/proc/self/a"), false).unwrap_err();
        assert!(matches!(error, OutputError::Failed { .. }), "{error}");
    }
}

#[test]
fn writers_may_seek_and_return_a_value() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("a");
    let length = write_atomically(&path, false, |file| {
        file.write_all(b"????body")?;
        file.seek(SeekFrom::Start(0))?;
        file.write_all(b"head")?;
        file.seek(SeekFrom::End(0))
    });
    assert_eq!(length.unwrap(), 8);
    assert_eq!(fs::read(&path).unwrap(), b"headbody");
}

#[test]
fn folders_are_refused() {
    let folder = tempfile::tempdir().unwrap();
    assert!(matches!(
        write(folder.path(), true, "x"),
        Err(OutputError::IsFolder { .. })
    ));
    let missing = folder.path().join("no/such/file");
    assert!(matches!(
        check(&missing, false),
        Err(OutputError::NoFolder { .. })
    ));
    assert!(matches!(
        write(&missing, true, "x"),
        Err(OutputError::NoFolder { .. })
    ));
    assert!(check(Path::new("a-file-that-is-not-there"), false).is_ok());
}

#[test]
fn two_files_cannot_both_go_to_stdout() {
    let names = ["-", "/dev/stdout"].map(Path::new);
    let error = check_all(&names, &[], true).unwrap_err();
    assert!(
        matches!(error, OutputError::Twice { .. } | OutputError::Terminal),
        "{error}"
    );
    assert!(!is_stdout(Path::new("./-")) && !is_stdout(Path::new("stdout")));
}

#[cfg(target_os = "linux")]
#[test]
fn devices_are_written_and_a_full_one_is_an_error() {
    write(Path::new("/dev/null"), false, "x").unwrap();
    let error = write(Path::new("/dev/full"), true, "x").unwrap_err();
    assert!(error.hint().contains("space"), "{error}");
    assert!(!fs::metadata("/dev/full").unwrap().is_file());
}

#[cfg(unix)]
#[test]
fn links_stay_and_the_umask_decides_who_may_read() {
    use std::os::unix::fs::{PermissionsExt, symlink};
    let folder = tempfile::tempdir().unwrap();
    let (path, link) = (folder.path().join("a"), folder.path().join("link"));
    write(&path, false, "one").unwrap();
    fs::write(folder.path().join("plain"), "").unwrap();
    let mode = |name: &str| {
        fs::metadata(folder.path().join(name))
            .unwrap()
            .permissions()
            .mode()
    };
    assert_eq!(mode("a"), mode("plain"));
    symlink(&path, &link).unwrap();
    write(&link, true, "two").unwrap();
    assert!(link.is_symlink());
    assert_eq!(fs::read_to_string(&path).unwrap(), "two");
    replace(&link, |file| file.write_all(b"three")).unwrap();
    assert!(link.is_symlink());
    assert_eq!(fs::read_to_string(&path).unwrap(), "three");
}
