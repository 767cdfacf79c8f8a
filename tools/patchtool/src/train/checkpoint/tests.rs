//! Checkpoints are whole, of this run, or refused.

use super::*;
use proptest::prelude::*;

fn started(seed: u64) -> Fingerprint {
    Fingerprint::default()
        .with("seed", seed)
        .with("data", "a3f0")
}

fn checkpoint() -> Checkpoint {
    Checkpoint {
        fingerprint: started(1),
        epoch: 3,
        step: 7,
        so_far: Totals {
            images: 224,
            loss: 123.5,
            correct: 200,
            seconds: 9.25,
        },
        learner: State {
            parameters: vec![vec![1.0, -0.0, f32::MIN_POSITIVE], vec![]],
            statistics: vec![vec![0.5; 16]],
            optimizer: crate::train::optimizer::State {
                steps: 99,
                memory: vec![vec![0.125; 3], vec![]],
            },
            shared: None,
        },
        average: None,
        sparse: None,
        probe: None,
        step_ms: vec![1.5, 2.5],
        seconds: 3.5,
        best: Some(Best {
            epoch: 2,
            validation: Some(Score {
                loss: 0.5,
                accuracy: 0.75,
            }),
            trained: vec![1, 2, 255],
        }),
        history: vec![Epoch::default(); 3],
    }
}

proptest! {
    #[test]
    fn what_is_saved_is_loaded_bit_for_bit(
        parameters in prop::collection::vec(prop::collection::vec(any::<u32>(), 0..40), 0..6),
        trained in prop::collection::vec(any::<u8>(), 0..100),
        epoch in any::<usize>(),
    ) {
        let folder = tempfile::tempdir().unwrap();
        let path = path_for(&folder.path().join("t.safetensors")).unwrap();
        let values = |bits: &Vec<u32>| bits.iter().map(|&bits| f32::from_bits(bits)).collect();
        let saved = Checkpoint {
            epoch,
            learner: State {
                parameters: parameters.iter().map(values).collect(),
                ..checkpoint().learner
            },
            best: Some(Best { trained, ..Best::default() }),
            ..checkpoint()
        };
        saved.save(&path).unwrap();
        let loaded = Checkpoint::load(&path).unwrap();
        let bits = |c: &Checkpoint| -> Vec<Vec<u32>> {
            c.learner.parameters.iter().map(|values| values.iter().map(|v| v.to_bits()).collect()).collect()
        };
        prop_assert_eq!(bits(&loaded), parameters);
        let without = |c: &Checkpoint| Checkpoint { learner: State::default(), ..c.clone() };
        prop_assert_eq!(without(&loaded), without(&saved));
    }
}

#[test]
fn a_file_cut_or_changed_anywhere_is_refused() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("c");
    checkpoint().save(&path).unwrap();
    let bytes = fs::read(&path).unwrap();
    let load = |bytes: &[u8]| {
        fs::write(&path, bytes).unwrap();
        Checkpoint::load(&path)
    };
    for length in 0..bytes.len() {
        load(&bytes[..length]).unwrap_err();
    }
    for index in 0..bytes.len() {
        let mut changed = bytes.clone();
        changed[index] ^= 1 << (index % 8);
        load(&changed).unwrap_err();
    }
    let longer = [&bytes[..], &[0]].concat();
    assert!(matches!(load(&longer), Err(CheckpointError::Length { .. })));
    assert_eq!(load(&bytes).unwrap(), checkpoint());
}

#[test]
fn another_run_is_refused_with_what_differs() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("c");
    checkpoint().save(&path).unwrap();
    let loaded = Checkpoint::load(&path).unwrap();
    loaded.check(&path, &started(1)).unwrap();
    let error = loaded.check(&path, &started(2)).unwrap_err();
    assert!(error.to_string().ends_with("seed was 1, now 2"), "{error}");
    let error = Checkpoint::load(&folder.path().join("none")).unwrap_err();
    assert!(error.hint().contains("leave out --resume"), "{error}");
    let error = Checkpoint::load(folder.path()).unwrap_err();
    assert!(
        matches!(error, CheckpointError::NotACheckpoint { .. }),
        "{error}"
    );
}

#[test]
fn stdout_has_no_checkpoint() {
    for name in ["-", "/dev/stdout"] {
        let output = Path::new(name);
        assert_eq!(path_for(output), None);
        check_free(output, false, false).unwrap();
        let error = check_free(output, true, true).unwrap_err();
        assert!(error.hint().contains("name a file"), "{error}");
    }
}

#[cfg(target_os = "linux")]
#[test]
fn a_full_disk_says_how_to_go_on() {
    let error = checkpoint().save(Path::new("/dev/full")).unwrap_err();
    assert!(error.to_string().contains("is kept"), "{error}");
    assert!(error.hint().starts_with("free some space"), "{error:?}");
}

#[test]
fn a_rehearsal_leaves_nothing() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("c");
    checkpoint().rehearse(&path).unwrap();
    assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 0);
    let error = checkpoint().rehearse(&path.join("no/folder")).unwrap_err();
    assert!(matches!(error, CheckpointError::Unwritable(_)), "{error}");
}

#[test]
fn a_checkpoint_is_replaced_and_removed() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("c");
    checkpoint().save(&path).unwrap();
    let next = Checkpoint {
        epoch: 4,
        ..checkpoint()
    };
    next.save(&path).unwrap();
    assert_eq!(Checkpoint::load(&path).unwrap(), next);
    assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 1);
    remove(&path).unwrap();
    remove(&path).unwrap();
    assert!(!path.exists());
}
