//! Agents as processes, with images of their own out of the demo's.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use graft_data::dataset::Dataset;
use serde_json::Value;
use tempfile::TempDir;

use super::mosquitto::{Mosquitto, PASSWORD};

/// Names of the agents.
pub(crate) const NAMES: [&str; 3] = ["hall", "yard", "gate"];

/// How they learn.
const LEARNING: [&str; 4] = ["--kind", "head", "--augment", "none"];

/// Folders of three agents, public images, labels, and where patches go.
pub(crate) struct Agents {
    folder: TempDir,
}

/// A running agent.
pub(crate) struct Agent(Child);

fn asset(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("../assets/demo")
        .join(name)
}

impl Agents {
    /// Clothes, a third of the classes to each agent, every fifth image to the public.
    pub(crate) fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let clothes = Dataset::open(asset("fashion-train.tar")).unwrap();
        for (at, item) in clothes.items().iter().enumerate() {
            let owner = match at % 5 {
                0 => "public/all".to_owned(),
                _ => format!(
                    "{}/{}",
                    NAMES[item.class % 3],
                    clothes.classes()[item.class]
                ),
            };
            let owner = folder.path().join(owner);
            fs::create_dir_all(&owner).unwrap();
            fs::write(owner.join(format!("{at}.png")), clothes.read(at).unwrap()).unwrap();
        }
        fs::write(
            folder.path().join("labels.txt"),
            clothes.classes().join("\n"),
        )
        .unwrap();
        Self { folder }
    }

    fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    /// Where an agent's patch will be.
    pub(crate) fn patch(&self, name: &str, role: &str) -> PathBuf {
        self.path("patches").join(format!("{name}.{role}.patch"))
    }

    /// Where an agent's state is between two rounds.
    pub(crate) fn checkpoint(&self, name: &str) -> PathBuf {
        let mut path = self.patch(name, "main").into_os_string();
        path.push(".checkpoint");
        path.into()
    }

    /// Starts an agent whose neighbours are the others, with these arguments besides.
    pub(crate) fn start(&self, name: &str, broker: &Mosquitto, arguments: &[&str]) -> Agent {
        let others: Vec<&str> = NAMES.into_iter().filter(|other| *other != name).collect();
        let defaults = [["--rounds", "3"], ["--wait", "60"]];
        let child = Command::new(env!("CARGO_BIN_EXE_patchtool-federate"))
            .args([
                "agent",
                "--json",
                "--name",
                name,
                "--neighbours",
                &others.join(","),
            ])
            .args(["--broker", &broker.url()])
            .args(LEARNING)
            .args(
                defaults
                    .into_iter()
                    .filter(|[flag, _]| !arguments.contains(flag))
                    .flatten(),
            )
            .arg("--backbone")
            .arg(asset("demo.backbone"))
            .arg("--data")
            .arg(self.path(name))
            .arg("--public")
            .arg(self.path("public"))
            .arg("--labels")
            .arg(self.path("labels.txt"))
            .arg("--output")
            .arg(self.path("patches"))
            .args(arguments)
            .env("GRAFT_PASSWORD", PASSWORD)
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        Agent(child)
    }

    /// Asserts that their patches are those of the same clients in one process, byte for byte.
    pub(crate) fn assert_as_in_one_process(&self, rounds: &str) {
        let mut command = Command::new(env!("CARGO_BIN_EXE_patchtool-federate"));
        command
            .args(["federate", "--rounds", rounds])
            .args(LEARNING);
        for name in NAMES {
            command.arg("--client");
            command.arg(format!("{name}={}", self.path(name).display()));
        }
        for (flag, path) in [
            ("--backbone", asset("demo.backbone")),
            ("--test", asset("fashion-test.tar")),
            ("--public", self.path("public")),
            ("--labels", self.path("labels.txt")),
            ("--output", self.path("together")),
        ] {
            command.arg(flag).arg(path);
        }
        let output = command.output().unwrap();
        let errors = String::from_utf8_lossy(&output.stderr).into_owned();
        assert!(output.status.success(), "{errors}");
        for name in NAMES {
            for role in ["main", "shared"] {
                let own = fs::read(self.patch(name, role)).unwrap();
                let together = self.path("together").join(format!("{name}.{role}.patch"));
                assert!(own == fs::read(together).unwrap(), "{name}.{role}");
            }
        }
    }

    /// Waits until an agent has done a round.
    pub(crate) fn wait_for_checkpoint(&self, name: &str) {
        let start = Instant::now();
        while !self.checkpoint(name).exists() {
            assert!(
                start.elapsed() < Duration::from_secs(120),
                "{name} does nothing"
            );
            std::thread::sleep(Duration::from_millis(20));
        }
    }
}

impl Agent {
    /// Ends it where it is.
    pub(crate) fn kill(mut self) {
        self.0.kill().unwrap();
        self.0.wait().unwrap();
    }

    /// What it says once it has ended.
    pub(crate) fn report(self) -> Value {
        let output = self.0.wait_with_output().unwrap();
        let errors = String::from_utf8_lossy(&output.stderr).into_owned();
        assert!(output.status.success(), "{errors}");
        serde_json::from_slice(&output.stdout).unwrap()
    }

    /// Why it fails.
    pub(crate) fn failure(self) -> String {
        let output = self.0.wait_with_output().unwrap();
        let errors = String::from_utf8_lossy(&output.stderr).into_owned();
        assert_eq!(output.status.code(), Some(2), "{errors}");
        errors
    }
}
