//! A device that learns refuses what makes no head, and learns what the host learns from the same frames.

#[allow(dead_code)] // Each test needs some of it.
mod board;

use board::{CLASSES, DIMENSIONS, Flash, Setup};
use graft_link::{Refusal, Reply, Request, State};
use graft_patches::Digest;
use graft_runtime::head_learner::{About, GD_PLUS_PLUS, HeadLearner, Projection};
use graft_runtime::{Backbone, Session};

fn backbone() -> Backbone {
    let float = graft_tests::wide_linear();
    Backbone::from_bytes(&graft_tests::int8::backbone(&float)).expect("it is valid")
}

fn frame(backbone: &Backbone, class: usize) -> Vec<u8> {
    let length = backbone.image().input().shape.len();
    (0..length)
        .map(|at| (at * (31 + 7 * class) % 251) as u8)
        .collect()
}

fn teach(device: &mut Setup, label: &str, frame: &[u8]) -> Result<u32, String> {
    for (at, bytes) in frame.chunks(graft_link::CHUNK).enumerate() {
        let offset = (at * graft_link::CHUNK) as u32;
        device.ask(Request::Image { offset, bytes }, |reply| {
            assert_eq!(reply, Reply::Done)
        });
    }
    device.ask(Request::Teach(label), |reply| {
        let Reply::Taught { examples, .. } = reply else {
            return Err(format!("{reply:?}"));
        };
        Ok(examples)
    })
}

fn learn(device: &mut Setup, recipe: &[u8]) -> Result<u32, String> {
    let request = Request::Learn {
        slot: 1,
        name: "winds",
        recipe,
    };
    device.ask(request, |reply| {
        if let Reply::Refused(refusal) = reply {
            return Err(refusal.to_string());
        }
        let Reply::Learned { length, .. } = reply else {
            return Err(format!("{reply:?}"));
        };
        Ok(length)
    })
}

#[test]
fn the_device_learns_what_the_host_learns() {
    let backbone = backbone();
    let mut device = Setup::start(&backbone, Flash::blank());
    let labels = ["north", "east"];
    let projection = Projection::of(&backbone.image(), DIMENSIONS, 0).unwrap();
    let mut memory = vec![0; HeadLearner::words_len(projection.dimensions(), CLASSES)];
    let mut learner = HeadLearner::new(projection, &mut memory).unwrap();
    let mut session = Session::new(&backbone).unwrap();
    for (class, label) in labels.into_iter().enumerate() {
        let frame = frame(&backbone, class);
        assert_eq!(teach(&mut device, label, &frame), Ok(1));
        let mut added = Ok(());
        let own = backbone.identity();
        session
            .run_embedding(&own, &frame, |embedding| {
                added = learner.add(class, embedding)
            })
            .unwrap();
        added.unwrap();
    }
    let mut work = vec![0.0; learner.work_len(GD_PLUS_PLUS.method)];
    let mut weights = vec![0.0; learner.weights_len()];
    let head = learner
        .learn(&GD_PLUS_PLUS, &mut work, &mut weights)
        .unwrap();
    let about = About {
        name: "winds",
        labels: &labels,
        dtype: backbone.image().dtype(),
        keeps_sums: false,
    };
    let made = (&head, &GD_PLUS_PLUS);
    let expected = learner.patch(backbone.image(), made, about, |patch| {
        let mut bytes = vec![0; patch.length().unwrap()];
        patch.write(&mut bytes).unwrap();
        bytes
    });
    assert_eq!(learn(&mut device, &[]), Ok(expected.len() as u32));
    let digest = device.ask(Request::Slot(1), |reply| {
        let Reply::Slot(slot) = reply else {
            panic!("{reply:?}");
        };
        Digest(slot.digest)
    });
    assert_eq!(digest, Digest::of(&expected));
}

#[test]
fn recipes_and_classes_without_a_sense_are_refused() {
    let backbone = backbone();
    let mut device = Setup::start(&backbone, Flash::blank());
    let none = learn(&mut device, &[]).unwrap_err();
    assert!(none.contains("examples of another class"), "{none}");
    for class in 0..CLASSES {
        let frame = frame(&backbone, class);
        teach(&mut device, &class.to_string(), &frame).unwrap();
    }
    let more = teach(&mut device, "more", &frame(&backbone, 0)).unwrap_err();
    let capacity = CLASSES as u8;
    assert!(
        more.contains(&format!("{:?}", Refusal::NoMoreClasses { capacity })),
        "{more}"
    );
    let recipe = |eta: f32, count: usize, confidence: f32| -> Vec<u8> {
        let numbers = [&[confidence][..], &[eta, 0.0].repeat(count)].concat();
        numbers.into_iter().flat_map(f32::to_le_bytes).collect()
    };
    for bad in [
        recipe(f32::NAN, 1, 1.0),
        recipe(-1.0, 1, 1.0),
        recipe(1.0, 0, 1.0),
        recipe(1.0, 7, 1.0),
        recipe(1.0, 1, 0.0),
        // Numbers that are finite, of which the head is not.
        recipe(1e38, 6, 1e38),
        vec![0; 3],
        vec![0; 8],
    ] {
        let error = learn(&mut device, &bad).unwrap_err();
        assert!(error.contains("cannot make a head"), "{bad:?}: {error}");
    }
    learn(&mut device, &recipe(1.0, 2, 3.0)).unwrap();
}

#[test]
fn whenever_the_power_goes_there_is_a_whole_patch_or_none() {
    let backbone = backbone();
    let taught = |flash| {
        let mut device = Setup::start(&backbone, flash);
        for class in 0..2 {
            teach(&mut device, &class.to_string(), &frame(&backbone, class)).unwrap();
        }
        device
    };
    let slot = |device: &mut Setup| {
        device.ask(Request::Slot(1), |reply| {
            let Reply::Slot(slot) = reply else {
                panic!("{reply:?}");
            };
            (slot.state, slot.length, slot.digest)
        })
    };
    let mut whole = taught(Flash::blank());
    let before = whole.flash.operations();
    learn(&mut whole, &[]).unwrap();
    let operations = whole.flash.operations() - before;
    let mut whole = whole.restart(&backbone);
    let expected = slot(&mut whole);
    assert_eq!(expected.0, State::Written);
    let mut found = [0; 2];
    for cut in 0..operations {
        let mut device = taught(Flash::blank());
        device.flash.cut_after(Some(cut));
        // The answer is lost with the power.
        let _ = learn(&mut device, &[]);
        device.flash.cut_after(None);
        let mut device = device.restart(&backbone);
        match slot(&mut device) {
            (State::Empty, ..) => found[0] += 1,
            other => {
                assert_eq!(other, expected, "cut {cut}");
                found[1] += 1;
            }
        }
    }
    assert!(
        found.iter().all(|&count| count > 0),
        "{found:?} of {operations}"
    );
}
