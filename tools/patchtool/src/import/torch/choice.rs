//! Finds the state dict of an architecture in a checkpoint.
//!
//! Training scripts save it under a key of their own, beside an optimiser and more, and wrappers put prefixes before its
//! keys. So it is looked for by a key that each of them has: whatever is before that key is before all.

use std::collections::BTreeMap;
use std::path::Path;

use super::Arch;
use super::checkpoint::{Dictionary, join};
use super::names::Names;
use super::state_dict::StateDict;
use crate::import::error::ImportError;

/// A state dict: of one dictionary the keys that begin with a prefix.
struct Candidate {
    dictionary: usize,
    /// Empty, or with a dot at its end.
    prefix: String,
    names: Names,
    /// Path and prefix, by which `--key` names it.
    label: String,
}

/// Modules around the network that compute nothing of their own.
const WRAPPERS: [&str; 8] = [
    "state_dict",
    "module",
    "_orig_mod",
    "model",
    "net",
    "network",
    "ema_model",
    "online_model",
];
/// What counts training steps: no parameter.
const COUNTERS: [&str; 4] = ["num_batches_tracked", "n_averaged", "initted", "step"];
/// Weights of classes in a loss, which has no part in the scores.
const LOSSES: [&str; 3] = ["criterion", "loss", "loss_fn"];

/// A state dict, its library, and remarks for the user.
pub(super) struct Choice {
    pub(super) state: StateDict,
    pub(super) names: Names,
    pub(super) notes: Vec<String>,
}

/// Chooses the only state dict of the architecture; of several that at `key`, else the one that is a moving average.
pub(super) fn choose(
    mut dictionaries: Vec<Dictionary>,
    arch: Arch,
    key: Option<&str>,
    path: &Path,
) -> Result<Choice, ImportError> {
    let all = candidates(&dictionaries, arch);
    if all.is_empty() {
        return Err(none(&dictionaries, arch, path));
    }
    let mut notes = Vec::new();
    let chosen = match key {
        Some(key) => all
            .iter()
            .find(|candidate| candidate.label == key)
            .or(only(&all, |label| label.starts_with(&format!("{key}.")))),
        None => only(&all, |_| true).or_else(|| {
            let average = only(&all, is_average)?;
            let others = all.iter().filter(|other| other.label != average.label);
            notes.push(format!(
                "took {:?}, a moving average of the weights; --key takes another: {}",
                average.label,
                labels(others),
            ));
            Some(average)
        }),
    };
    let chosen = chosen.ok_or_else(|| ImportError::StateDictChoice {
        key: key.map(str::to_owned),
        found: labels(&all),
    })?;
    let mut wrappers = chosen.prefix.split_terminator('.');
    if wrappers.any(|wrapper| !WRAPPERS.contains(&wrapper)) {
        notes.push(format!(
            "the keys begin with {:?}: what that module computes beside the network is not imported",
            chosen.prefix
        ));
    }
    let dictionary = std::mem::take(&mut dictionaries[chosen.dictionary]);
    let mut own = BTreeMap::new();
    let mut aside = Vec::new();
    for (key, tensor) in dictionary.tensors {
        match place(&key, chosen, &all) {
            Place::Own => drop(own.insert(key[chosen.prefix.len()..].to_owned(), tensor)),
            Place::Beside => aside.push(key),
            Place::Unused => {}
        }
    }
    Ok(Choice {
        state: StateDict::new(arch, own, aside),
        names: chosen.names,
        notes,
    })
}

/// What a tensor is to the state dict that was chosen from its dictionary.
enum Place {
    Own,
    /// Known to be of no use.
    Unused,
    /// Part of something around the network.
    Beside,
}

fn place(key: &str, chosen: &Candidate, all: &[Candidate]) -> Place {
    let mut modules = key.split('.');
    let (first, last) = (modules.next(), modules.next_back());
    if COUNTERS.contains(&last.or(first).unwrap_or_default()) {
        return Place::Unused;
    }
    let owners = all.iter().filter(|candidate| {
        candidate.dictionary == chosen.dictionary && key.starts_with(&candidate.prefix)
    });
    match owners.max_by_key(|owner| owner.prefix.len()) {
        Some(owner) if owner.label == chosen.label => Place::Own,
        Some(_) => Place::Unused,
        None if LOSSES.contains(&first.unwrap_or_default()) => Place::Unused,
        None => Place::Beside,
    }
}

fn candidates(dictionaries: &[Dictionary], arch: Arch) -> Vec<Candidate> {
    let mut all = Vec::new();
    for (i, dictionary) in dictionaries.iter().enumerate() {
        for &names in arch.names() {
            let anchor = names.anchor();
            for key in dictionary.tensors.keys() {
                let Some(prefix) = prefix(key, &anchor) else {
                    continue;
                };
                all.push(Candidate {
                    dictionary: i,
                    prefix: prefix.to_owned(),
                    names,
                    label: join(&dictionary.path, prefix)
                        .trim_end_matches('.')
                        .to_owned(),
                });
            }
        }
    }
    all
}

/// What is before a key, if that is whole modules.
fn prefix<'k>(key: &'k str, anchor: &str) -> Option<&'k str> {
    key.strip_suffix(anchor)
        .filter(|prefix| prefix.is_empty() || prefix.ends_with('.'))
}

/// The only candidate whose label is like that.
fn only(all: &[Candidate], is_wanted: impl Fn(&str) -> bool) -> Option<&Candidate> {
    let mut wanted = all.iter().filter(|candidate| is_wanted(&candidate.label));
    wanted.next().filter(|_| wanted.next().is_none())
}

/// Whether these weights are a moving average of those in training: what timm and torchvision take for evaluation.
fn is_average(label: &str) -> bool {
    label.split(['.', '_']).any(|word| word == "ema")
}

fn labels<'c>(all: impl IntoIterator<Item = &'c Candidate>) -> String {
    let quoted = all
        .into_iter()
        .map(|candidate| format!("{:?}", candidate.label));
    quoted.collect::<Vec<_>>().join(", ")
}

/// Why no state dict was found.
fn none(dictionaries: &[Dictionary], arch: Arch, path: &Path) -> ImportError {
    let anchors: Vec<String> = arch.names().iter().map(|names| names.anchor()).collect();
    let names: Vec<String> = dictionaries
        .iter()
        .flat_map(|dictionary| dictionary.tensors.keys().map(|key| dictionary.name(key)))
        .collect();
    // A key that is spread over several dictionaries: those of modules, which hold modules.
    let is_module = |name: &String| anchors.iter().any(|anchor| prefix(name, anchor).is_some());
    if names.iter().any(is_module) {
        return ImportError::WholeModel {
            path: path.to_owned(),
        };
    }
    let is_other = |other: &&Arch| !candidates(dictionaries, **other).is_empty();
    ImportError::NoStateDict {
        arch: arch.name(),
        keys: anchors.join("\" or \""),
        found: summary(names.iter()),
        other: Arch::ALL.iter().find(is_other).map(|other| other.name()),
    }
}

/// How many names there are, and the first.
pub(super) fn summary<'n>(names: impl ExactSizeIterator<Item = &'n String>) -> String {
    const SHOWN: usize = 4;
    let count = names.len();
    let more = if count > SHOWN { ", ..." } else { "" };
    let first: Vec<String> = names.take(SHOWN).map(|name| format!("{name:?}")).collect();
    format!("{count} tensors: {}{more}", first.join(", "))
}
