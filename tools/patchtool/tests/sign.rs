//! `patchtool keygen`, `sign` and `verify`: who has the key makes what devices run, and another program can check it.

use std::path::Path;
use std::process::Command;

use shared::Folder;

#[allow(dead_code)] // Each test needs some of it.
mod shared;

/// A folder with a patch of the demo and a key.
fn fixture() -> Folder {
    let folder = Folder::new();
    let demo = Path::new(concat!(env!("CARGO_MANIFEST_DIR"), "/../assets/demo"));
    for name in ["demo.backbone", "fashion.patch"] {
        folder.write(
            name,
            &std::fs::read(demo.join(name)).expect("the demo has it"),
        );
    }
    folder.json("keygen -o fleet.key");
    folder
}

#[test]
fn what_is_signed_is_verified_with_the_public_key() {
    let folder = fixture();
    let signed = folder.json("sign fashion.patch --key fleet.key --counter 7 -o signed.patch");
    let verified = folder.json("verify signed.patch --key fleet.pub");
    assert_eq!(verified["signed_by"], signed["signed_by"]);
    assert_eq!(
        (&verified["counter"], &verified["is_trusted"]),
        (&7.into(), &true.into())
    );
    let inspected = folder.json("inspect signed.patch");
    assert_eq!(inspected["signed_by"], signed["signed_by"]);
    // A newer key beside the old one.
    folder.json("keygen -o next.key");
    folder.json("sign signed.patch --key next.key -o again.patch");
    folder.json("verify again.patch --key fleet.pub --key next.pub");
    folder.json("sign demo.backbone --key next.key -o signed.backbone");
    folder.json("verify signed.backbone --key next.pub");
    for (file, words) in [
        ("again.patch", "it is signed with key"),
        ("fashion.patch", "it is not signed"),
        ("demo.backbone", "it is not signed"),
    ] {
        let outcome = folder.run(&format!("verify {file} --key fleet.pub"));
        assert_eq!(outcome.status, 1, "{}", outcome.stderr);
        assert!(outcome.stdout.contains(words), "{}", outcome.stdout);
    }
}

#[test]
fn without_a_counter_what_is_signed_later_is_newer() {
    let folder = fixture();
    let before = std::time::SystemTime::now();
    let signed = folder.json("sign fashion.patch --key fleet.key -o signed.patch");
    let counter = signed["counter"].as_u64().expect("a number");
    let since = before.duration_since(std::time::UNIX_EPOCH).expect("later");
    assert!((since.as_secs()..since.as_secs() + 600).contains(&counter));
}

#[cfg(unix)]
#[test]
fn a_secret_key_is_for_its_owner_and_is_not_overwritten() {
    use std::os::unix::fs::PermissionsExt as _;
    let folder = fixture();
    let mode = std::fs::metadata(folder.path("fleet.key")).expect("it is there");
    assert_eq!(mode.permissions().mode() & 0o777, 0o600);
    let key = folder.read("fleet.key");
    folder.refused("keygen -o fleet.key", "already exists");
    assert_eq!(folder.read("fleet.key"), key);
    folder.refused(
        "sign fashion.patch --key fleet.pub -o p",
        "is no secret key",
    );
    folder.refused(
        "verify fashion.patch --key fleet.key",
        "not a public key of minisign",
    );
    folder.refused(
        "sign fashion.patch --key fleet.key -o fashion.patch --force",
        "is an input",
    );
    assert!(!folder.path("p").exists());
}

#[test]
fn minisign_checks_the_signature_beside_the_file() {
    let folder = fixture();
    folder.json("sign fashion.patch --key fleet.key -o signed.patch --minisig");
    let minisign = |file: &str| {
        Command::new("minisign")
            .current_dir(folder.path("."))
            .args([
                "-V",
                "-q",
                "-p",
                "fleet.pub",
                "-x",
                "signed.patch.minisig",
                "-m",
                file,
            ])
            .status()
    };
    match minisign("signed.patch") {
        Err(error) => println!("skipped: there is no minisign: {error}"),
        Ok(status) => {
            assert!(status.success());
            assert!(!minisign("fashion.patch").expect("it is there").success());
        }
    }
}

#[test]
fn a_counter_that_nothing_could_follow_is_refused() {
    let folder = fixture();
    let sign = "sign fashion.patch --key fleet.key -o signed.patch --counter";
    let outcome = folder.run(&format!("{sign} 18446744073709551615"));
    assert_eq!(outcome.status, 2);
    assert!(
        outcome.stderr.contains("never take a lower one"),
        "{}",
        outcome.stderr
    );
    folder.json(&format!("{sign} 4102444800"));
}
