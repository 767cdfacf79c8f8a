//! `patchtool agent`: one client of a federation, over a broker.
//!
//! It goes on through whatever happens to the others and to the broker, and after it was stopped itself: its state is saved
//! after every round.

use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Context as _, Result, bail};
use clap::Args;
use graft_data::dataset::Dataset;
use patchtool::commands::arguments::Common;
use patchtool::hint::Hint;
use patchtool::report::Report;
use patchtool::threads;
use patchtool::train::checkpoint::{self, CheckpointError};
use patchtool::train::fingerprint::Fingerprint;
use patchtool::train::learner::State;
use patchtool::train::lock::RunLock;
use serde::{Deserialize, Serialize};
use serde_json::json;

use crate::files;
use crate::member::{Kept, Member};
use crate::mqtt::{Address, Broker, Login};
use crate::setup::{Learning, Part, Setup, federation, labelled, labels};

const MAGIC: [u8; 8] = *b"GRAFTAGT";
/// The variable with the password of `--user`.
const PASSWORD: &str = "GRAFT_PASSWORD";

/// Longest time to take leave of a broker.
const LEAVE: Duration = Duration::from_secs(5);

/// Arguments of `agent`.
#[derive(Debug, Args)]
#[command(after_help = "Example, one of three:
  patchtool agent --name hall --neighbours yard,gate --broker mqtt://hub --backbone demo.backbone --data hall --public public \\
    --labels labels.txt -o patches
All clients need the same public images, labels, --heads and --rounds. Stopped? The same command goes on where it was.")]
pub struct Arguments {
    /// Name of this client, which no other has.
    #[arg(long)]
    name: String,
    /// Names of the clients that it learns from, which name it as theirs, too.
    #[arg(long, value_name = "NAME,NAME", value_delimiter = ',', required = true)]
    neighbours: Vec<String>,
    /// The broker: mqtt://HOST[:PORT], or mqtts:// for TLS. It relays what clients say, and learns nothing.
    #[arg(long, value_name = "URL")]
    broker: Address,
    /// What the topics of the federation begin with.
    #[arg(long, default_value = "graft")]
    topic: String,
    /// User of the broker; the password is in the variable GRAFT_PASSWORD.
    #[arg(long)]
    user: Option<String>,
    /// Certificates of the authorities to trust with mqtts://, as PEM; by default the system's.
    #[arg(long, value_name = "FILE")]
    ca: Option<PathBuf>,
    /// Longest time to wait in a round for what a neighbour says; after that it is not waited for until it is heard again.
    #[arg(long, value_name = "SECONDS", default_value_t = 60)]
    wait: u32,
    /// Backbone file.
    #[arg(short, long, value_name = "B")]
    backbone: PathBuf,
    /// Its own images, which stay here: laid out class/image.(jpg|png), a folder, tar or zip archive.
    #[arg(long, value_name = "DIR")]
    data: PathBuf,
    /// Images that all clients have; names of the folders are not looked at.
    #[arg(long, value_name = "DIR")]
    public: PathBuf,
    /// Class names, one a line, on which all clients agree. A client need not have images of all.
    #[arg(long, value_name = "FILE")]
    labels: PathBuf,
    /// Folder for its patches, NAME.main and NAME.shared, as .patch and as .safetensors.
    #[arg(short, long, value_name = "FOLDER")]
    output: PathBuf,
    /// Overwrite them if they exist, and start again where a run was stopped.
    #[arg(long)]
    force: bool,
    #[command(flatten)]
    learning: Learning,
}

/// A client between two rounds.
#[derive(Serialize, Deserialize)]
struct Saved {
    fingerprint: Fingerprint,
    round: u32,
    state: State,
    kept: Kept,
}

impl Arguments {
    fn login(&self) -> Result<Login> {
        let credentials = match &self.user {
            Some(user) => match std::env::var(PASSWORD) {
                Ok(password) => Some((user.clone(), password)),
                Err(_) => bail!(Hint::new(
                    format!("{user} has no password"),
                    "put it into the variable GRAFT_PASSWORD",
                )),
            },
            None => None,
        };
        let read = |path: &PathBuf| {
            std::fs::read(path).with_context(|| format!("cannot read {}", path.display()))
        };
        Ok(Login {
            name: self.name.clone(),
            topic: self.topic.clone(),
            credentials,
            authorities: self.ca.as_ref().map(read).transpose()?,
        })
    }

    /// The file that stands for the run: its state is saved beside it.
    fn main_patch(&self) -> PathBuf {
        self.output.join(format!("{}.main.patch", self.name))
    }
}

/// Takes part in a federation to its last round.
///
/// # Errors
/// Whatever cannot be read, learned or written. A broker that cannot be reached is tried again.
pub fn run(arguments: &Arguments, common: &Common) -> Result<Report> {
    let learning = &arguments.learning;
    let names = [std::slice::from_ref(&arguments.name), &arguments.neighbours].concat();
    files::check_names(&names).context("the name and those of the neighbours")?;
    let login = arguments.login()?;
    let folder = &arguments.output;
    std::fs::create_dir_all(folder).with_context(|| format!("cannot make {}", folder.display()))?;
    let main_patch = arguments.main_patch();
    let saved_at = checkpoint::path_for(&main_patch).context("a folder is no stdout")?;
    let _lock = RunLock::take(&main_patch)?;
    if arguments.force {
        checkpoint::remove(&saved_at).context("cannot remove the checkpoint")?;
    }
    files::check(folder, &names[..1], arguments.force || saved_at.exists())?;
    threads::start(learning.threads)?;
    let labels = labels(&arguments.labels)?;
    let public = Dataset::open(&arguments.public)?;
    let all: Vec<usize> = (0..public.len()).collect();
    let public = Part {
        dataset: &public,
        indices: &all,
    };
    let heads = usize::from(learning.heads);
    let federation = federation(&public, &labels, (heads, learning.rounds))?;
    let setup = Setup::open(&arguments.backbone, &labels, &public, learning, common)?;
    let private = labelled(&arguments.data, &labels)?;
    let own: Vec<usize> = (0..private.len()).collect();
    let private = Part {
        dataset: &private,
        indices: &own,
    };
    let mut client = setup.client(heads, &private, &arguments.data)?;
    let fingerprint = learning
        .fingerprint()
        .with("backbone", setup.id())
        .with("public set", federation.digest)
        .with("private images", client.private_digest());
    let saved = load(&saved_at, &fingerprint)?;
    let mut kept = Kept::default();
    if let Some(saved) = saved {
        client.restore(saved.state, saved.round)?;
        kept = saved.kept;
        tracing::info!("going on after round {}", saved.round);
    }
    let neighbours = arguments.neighbours.iter().cloned().collect();
    let broker = Broker::connect(
        &arguments.broker,
        &login,
        &arguments.neighbours,
        &federation,
    )?;
    let of_all = (learning.rounds, learning.belief(), learning.fresh);
    let mut member = Member::new(client, federation, neighbours, broker, of_all);
    member.restore(kept);
    let patience = Duration::from_secs(arguments.wait.into());
    while member.client.round() < learning.rounds {
        member.speak();
        member.gather(patience)?;
        let sums = member.learn()?;
        let round = member.client.round();
        tracing::info!(
            "round {round}: loss {:.3} on private images, {:.3} on public ones",
            sums.private_loss,
            sums.public_loss
        );
        let saved = Saved {
            fingerprint: fingerprint.clone(),
            round,
            state: member.client.state(),
            kept: member.kept(),
        };
        checkpoint::save(&saved_at, MAGIC, &saved)?;
    }
    // What may be overwritten was asked at the start.
    let written = files::write(folder, &arguments.name, &mut member.client, heads, true)?;
    checkpoint::remove(&saved_at).context("cannot remove the checkpoint")?;
    if member.heard_of() == 0 {
        tracing::warn!("no neighbour was ever heard: what it learned is its own alone");
    }
    let report = report(&written, &member);
    member.into_transport().leave(LEAVE);
    Ok(report)
}

/// The state of the run that was stopped, if there is one.
fn load(path: &Path, fingerprint: &Fingerprint) -> Result<Option<Saved>> {
    if !path.exists() {
        return Ok(None);
    }
    let lost = |error: CheckpointError| {
        Hint::new(
            format!("cannot go on where this client was stopped: {error}"),
            "give the settings and data of that run, or start again with --force",
        )
    };
    let saved: Saved = checkpoint::load(path, MAGIC).map_err(lost)?;
    let differences = saved.fingerprint.differences(fingerprint);
    if !differences.is_empty() {
        let path = path.to_owned();
        bail!(lost(CheckpointError::OtherRun { path, differences }));
    }
    Ok(Some(saved))
}

fn report(written: &[PathBuf], member: &Member<Broker>) -> Report {
    let counts = member.counts();
    let files: Vec<String> = written
        .iter()
        .map(|path| path.display().to_string())
        .collect();
    let text = format!(
        "{}\n{counts}\n{} bytes sent\n",
        files.join("\n"),
        member.sent
    );
    let json = json!({
        "files": files,
        "rounds": member.client.round(),
        "rounds_skipped": member.skipped,
        "neighbours_heard": member.heard_of(),
        "bytes_sent": member.sent,
        "messages": counts,
    });
    Report::new(text, json)
}
