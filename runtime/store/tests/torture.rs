//! A process that installs, activates, confirms, rolls back and collects garbage is killed at random moments, again and
//! again, on one folder. After each kill the store opens and serves what it served before the step
//! that was under way, or what that step was to serve. `GRAFT_TORTURE=1000` kills a thousand times.

use std::collections::BTreeMap;
use std::io::{BufRead as _, BufReader, Write as _};
use std::path::Path;
use std::process::{Command, Stdio};
use std::sync::mpsc;
use std::time::Duration;

use graft_patches::Digest;
use graft_patches::signature::Trust;
use graft_patches::writer::{SigningKey, sign};
use graft_runtime::{Backbone, ImageBytes};
use graft_store::{Ended, Error, Limits, Options, PatchStore, Refusal};

#[allow(dead_code, reason = "not every test needs all of it")]
mod shared;

const KILLS: u64 = 50;
const LIMITS: Limits = Limits {
    tasks: 1,
    versions: 6,
    patch_bytes: 1 << 20,
    bytes: 1 << 24,
    keep: 1,
};

/// Names the folder to the process that is killed.
const FOLDER: &str = "GRAFT_TORTURE_FOLDER";
const SEED: &str = "GRAFT_TORTURE_SEED";

/// A small generator of random numbers (SplitMix64).
struct Random(u64);

impl Random {
    fn below(&mut self, most: u64) -> u64 {
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        (z ^ (z >> 31)) % most
    }
}

fn open(folder: &Path, backbone: &Backbone) -> PatchStore {
    let options = Options {
        limits: LIMITS,
        ..Options::default()
    };
    PatchStore::open(folder, backbone, options).expect("a store opens after a kill")
}

fn key() -> SigningKey {
    SigningKey::from_seed([1; 32])
}

/// The demo's backbone with a policy: only then counters matter.
fn trusting() -> Backbone {
    shared::backbone().trusting(Trust::one(key().public()))
}

/// A patch whose scores are its counter.
fn signed(backbone: &Backbone, counter: u64) -> Vec<u8> {
    signed_with(backbone, counter as f32, counter)
}

fn signed_with(backbone: &Backbone, score: f32, counter: u64) -> Vec<u8> {
    let bytes = ImageBytes::copied(&shared::patch(backbone, "t", score));
    sign(bytes.as_slice(), &key(), counter).expect("it is a patch")
}

fn served(store: &PatchStore) -> Option<Digest> {
    let patch = store.slot("t").expect("the name is plain").patch();
    patch.image().map(|image| Digest::of(image.bytes()))
}

/// The process that is killed: says on stdout what it is about to do and when it has done it.
#[test]
#[ignore = "it is a part of the next test"]
fn churn() {
    let Some(folder) = std::env::var_os(FOLDER) else {
        return;
    };
    let seed = std::env::var(SEED).expect("the other process sets it");
    let mut random = Random(seed.parse().expect("a number"));
    let backbone = trusting();
    let store = open(folder.as_ref(), &backbone);
    say("open");
    let state = || store.folder().task("t").ok();
    loop {
        let highest = state().and_then(|state| state.highest_counter());
        let counter = highest.unwrap_or(0) + 1;
        let done = match random.below(8) {
            0..2 => {
                say(&format!("install {counter}"));
                store.install(&signed(&backbone, counter)).map(drop)
            }
            2..4 => {
                let versions = state().map_or(Vec::new(), |state| state.versions().to_vec());
                let Some(last) = versions.len().checked_sub(1) else {
                    continue;
                };
                let index = last.min(random.below(2 * versions.len() as u64) as usize);
                let version = versions[index];
                say(&format!("activate {}", version.digest));
                store.activate("t", Some(version.number)).map(drop)
            }
            4..6 => {
                say("confirm");
                store.confirm("t").map(drop)
            }
            6 => {
                say("roll-back");
                store.roll_back("t", Ended::Asked).map(drop)
            }
            _ => {
                say("collect-garbage");
                store.collect_garbage().map(drop)
            }
        };
        match done {
            Ok(()) => say("done"),
            Err(Error::Refused { .. } | Error::Limit { .. } | Error::NoTask { .. }) => {
                say("refused");
            }
            Err(error) => panic!("{error:?}"),
        }
    }
}

fn say(line: &str) {
    let mut stdout = std::io::stdout().lock();
    writeln!(stdout, "> {line}").expect("the other process reads");
}

/// What the process that was killed has said of itself, and what follows from it for the next one.
#[derive(Clone, Default)]
struct Said {
    /// What was confirmed, oldest first, as far as a rollback can reach: at most two.
    confirmed: Vec<Digest>,
    trial: Option<Digest>,
    counter: u64,
    /// The step under way.
    under_way: Option<String>,
    steps: BTreeMap<String, u64>,
}

impl Said {
    fn take(&mut self, line: &str) {
        match line {
            "open" => {
                self.under_way = None;
                self.trial = None;
            }
            "refused" => self.under_way = None,
            "done" => {
                let step = self.under_way.take().expect("a step was under way");
                self.finish(&step);
                let name = step.split(' ').next().unwrap_or_default();
                *self.steps.entry(name.into()).or_default() += 1;
            }
            step => self.under_way = Some(step.into()),
        }
    }

    fn finish(&mut self, step: &str) {
        match step.split_once(' ') {
            Some(("install", counter)) => self.counter = counter.parse().expect("a number"),
            Some((_, digest)) => {
                let digest = digest.parse().expect("a digest");
                if self.trial.is_some() || self.confirmed.last() != Some(&digest) {
                    self.trial = Some(digest);
                }
            }
            None if step == "confirm" => {
                self.confirmed.extend(self.trial.take());
                let old = self.confirmed.len().saturating_sub(2);
                self.confirmed.drain(..old);
            }
            None if step == "roll-back" && self.trial.take().is_none() => {
                self.confirmed.pop();
            }
            None => {}
        }
    }

    /// What may be served after the kill: what was active, or what is after the step that was under way. A version whose
    /// trial is about to begin may also begin it after the kill.
    fn legal(&self) -> Vec<Said> {
        let mut all = vec![self.clone()];
        if let Some(step) = &self.under_way {
            let mut done = self.clone();
            done.finish(step);
            all.push(done);
        }
        for said in &mut all {
            said.under_way = None;
        }
        all
    }
}

#[test]
fn a_killed_process_leaves_the_old_or_the_new() {
    let kills =
        std::env::var("GRAFT_TORTURE").map_or(KILLS, |kills| kills.parse().expect("a number"));
    let folder = tempfile::tempdir().unwrap();
    let backbone = trusting();
    let mut random = Random(kills);
    let mut said = Said::default();
    let mut found = BTreeMap::<&str, u64>::new();
    let mut under_way = BTreeMap::<String, u64>::new();
    let mut highest = 0;
    for seed in 0..kills {
        let moment = [random.below(30), random.below(4_000)];
        kill_one(folder.path(), seed, moment, &mut said);
        let step = said.under_way.as_deref().unwrap_or("nothing");
        let step = step.split(' ').next().unwrap_or_default().to_owned();
        let store = open(folder.path(), &backbone);
        let serves = served(&store);
        let legal = said.legal();
        let is_begun = |said: &&Said| said.trial.is_some() && serves == said.trial;
        let is_active = |said: &&Said| serves.as_ref() == said.confirmed.last();
        let (name, next) = match (legal.iter().find(is_active), legal.get(1).filter(is_begun)) {
            (Some(next), _) if next.confirmed == said.confirmed => ("old", next),
            (Some(next), _) => ("new", next),
            (None, Some(next)) if step == "activate" => ("new", next),
            (None, _) => panic!("kill {seed} during {step}: {serves:?} is neither old nor new"),
        };
        *found.entry(name).or_default() += 1;
        *under_way.entry(step).or_default() += 1;
        let counters = legal.iter().map(|said| said.counter);
        if let Ok(state) = store.folder().task("t") {
            let counter = state.highest_counter().unwrap_or(0);
            assert!(
                counter >= highest,
                "the counter falls from {highest} to {counter}"
            );
            assert!(counters.clone().any(|legal| legal == counter));
            highest = counter;
            check_whole(&store, seed);
            check_older_is_refused(&store, &backbone, counter);
        }
        let counter = highest;
        let steps = said.steps.clone();
        // It has begun a trial, which the next start ends.
        said = Said {
            counter,
            steps,
            trial: None,
            ..next.clone()
        };
    }
    println!(
        "{kills} kills, during {under_way:?}: then {found:?} is served; {:?} steps done",
        said.steps
    );
    println!("highest counter {highest}, never lower than before");
}

/// Starts a process on the folder and kills it after it has said so many lines and then so many microseconds.
fn kill_one(folder: &Path, seed: u64, [lines_said, delay]: [u64; 2], said: &mut Said) {
    let mut child = Command::new(std::env::current_exe().unwrap())
        .args(["--exact", "churn", "--ignored", "--nocapture"])
        .env(FOLDER, folder)
        .env(SEED, seed.to_string())
        .stdout(Stdio::piped())
        .stderr(Stdio::inherit())
        .spawn()
        .unwrap();
    let lines = BufReader::new(child.stdout.take().unwrap()).lines();
    let (sender, received) = mpsc::channel();
    let reader = std::thread::spawn(move || {
        for line in lines.map_while(Result::ok) {
            // A line that the harness began has its name before it.
            let Some((_, step)) = line.split_once("> ") else {
                continue;
            };
            if sender.send(step.to_owned()).is_err() {
                break;
            }
        }
    });
    for _ in 0..=lines_said {
        let line = received.recv_timeout(Duration::from_secs(60));
        said.take(&line.expect("it goes on"));
    }
    std::thread::sleep(Duration::from_micros(delay));
    child.kill().unwrap();
    let status = child.wait().unwrap();
    assert_eq!(status.code(), None, "it has ended by itself: {status}");
    reader.join().unwrap();
    received.iter().for_each(|line| said.take(&line));
}

fn check_whole(store: &PatchStore, seed: u64) {
    let state = store.folder().task("t").unwrap();
    let folder = store.folder().path().join("tasks/t");
    for version in state.versions() {
        let path = folder.join(format!("{:010}.patch", version.number));
        let bytes = std::fs::read(&path).unwrap();
        assert_eq!(Digest::of(&bytes), version.digest, "kill {seed}, {path:?}");
    }
    let files = std::fs::read_dir(folder).unwrap().count();
    assert_eq!(
        files,
        1 + state.versions().len(),
        "kill {seed}: garbage stays"
    );
}

fn check_older_is_refused(store: &PatchStore, backbone: &Backbone, highest: u64) {
    if highest < 2 {
        return;
    }
    // One that is not there already.
    let older = signed_with(backbone, -1.0, highest - 1);
    let refused = store.install(&older).unwrap_err();
    let is_old = matches!(
        refused,
        Error::Refused {
            refusal: Refusal::Older { .. },
            ..
        }
    );
    assert!(is_old, "{refused}");
}
