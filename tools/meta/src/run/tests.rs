//! Runs that are refused, and what they draw.

use super::*;
use crate::classes::tests::numbered;
use patchtool::hyper::{Generates, Target};

#[test]
fn more_ways_than_the_generator_knows_are_refused() {
    let classes = numbered(&[3; 30]);
    let data = Data {
        train: &classes,
        test: Some(&classes),
        test_episodes: &[],
        test_tasks: 0,
    };
    let setting = |ways| Setting {
        queries: 1,
        ..Setting::new(ways, 1)
    };
    let run = |ways, test_ways| {
        let target = Target {
            channels: 4,
            features: 4,
            side: 28,
        };
        let settings = Settings {
            config: Config::new(Generates::Prototypes, target, false),
            episodes: vec![setting(ways)],
            tasks: 1,
            augmentation: Augmentation::default(),
            related: false,
            batch: 1,
            scenario: Scenario::Tasks,
            steps: 1,
            rate: 1e-3,
            seed: 1,
        };
        let test_episodes = &[setting(test_ways)];
        let data = Data {
            test_episodes,
            ..data
        };
        Run::new(settings, data, Device::flex()).map(drop)
    };
    assert!(run(20, 20).is_ok());
    let error = run(21, 20).unwrap_err().to_string();
    assert_eq!(
        error,
        "21-way 1-shot: the generator knows at most 20 classes"
    );
    let refused = run(20, 25);
    assert!(matches!(refused, Err(RunError::Ways { .. })), "{refused:?}");
    let refused = run(20, 31);
    assert!(matches!(refused, Err(RunError::Episodes(_))), "{refused:?}");
}

#[test]
fn every_other_round_has_classes_of_one_folder() {
    let mut all = numbered(&[3; 12]).all().to_vec();
    for (index, class) in all.iter_mut().enumerate() {
        class.name = format!("{}/{index:02}", ["large", "small"][usize::from(index > 6)]);
    }
    let classes = Classes::of(numbered(&[1]).preprocess().clone(), all);
    let data = Data {
        train: &classes,
        test: None,
        test_episodes: &[],
        test_tasks: 0,
    };
    let setting = |ways| Setting {
        queries: 1,
        ..Setting::new(ways, 1)
    };
    let target = Target {
        channels: 4,
        features: 4,
        side: 28,
    };
    let settings = Settings {
        config: Config::new(Generates::Prototypes, target, false),
        episodes: vec![setting(3), setting(6)],
        tasks: 1,
        augmentation: Augmentation::default(),
        related: true,
        scenario: Scenario::Tasks,
        batch: 1,
        steps: 1,
        rate: 1e-3,
        seed: 1,
    };
    let run = Run::new(settings, data, Device::flex()).unwrap();
    // How many of an episode's classes, which their images are marked with, are of the larger folder.
    let large = |number| {
        let task = run.draw(number).unwrap().remove(0);
        let images = task.support.values.chunks(4);
        let classes = images.map(|pixels| pixels[0] as usize / 16);
        (classes.filter(|&class| class < 7).count(), task.ids.len())
    };
    let mut seen = [false; 2];
    for round in (0..40).map(|round| 4 * round) {
        let (count, ways) = large(round + 2);
        assert!(ways == 3 && (count == 0 || count == 3));
        seen[usize::from(count == 0)] = true;
        assert_eq!(large(round + 3), (6, 6));
    }
    assert_eq!(seen, [true; 2]);
    assert!((0..40).any(|round| ![0, 3].contains(&large(4 * round).0)));
}
