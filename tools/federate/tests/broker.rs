//! `patchtool agent`: processes that teach each other over mosquitto, through whatever happens.

mod broker {
    pub(crate) mod mosquitto;
    pub(crate) mod processes;
}

use std::time::Duration;

use broker::mosquitto::{Mosquitto, Security};
use broker::processes::{Agents, NAMES};
use graft_federate::message::{Federation, Message, Slot};
use graft_federate::mqtt::{Broker, Login};
use graft_federate::predictions::Predictions;
use graft_federate::transport::Transport as _;
use graft_patches::Digest;

#[test]
fn agents_teach_each_other() {
    let Some(mosquitto) = Mosquitto::start(Security::None) else {
        return;
    };
    let agents = Agents::new();
    let running = NAMES.map(|name| agents.start(name, &mosquitto, &["--wait", "600"]));
    for (name, agent) in NAMES.into_iter().zip(running) {
        let report = agent.report();
        assert_eq!(report["rounds"], 3, "{report}");
        // Of two neighbours two heads, in three rounds.
        assert_eq!(
            (&report["messages"]["taken"], &report["rounds_skipped"]),
            (&12.into(), &0.into()),
            "{report}"
        );
        assert!(agents.patch(name, "main").exists() && agents.patch(name, "shared").exists());
        assert!(!agents.checkpoint(name).exists());
    }
}

#[test]
fn whoever_is_killed_and_whatever_the_broker_forgets_they_learn_the_same() {
    let Some(mut mosquitto) = Mosquitto::start(Security::None) else {
        return;
    };
    let agents = Agents::new();
    let rounds = ["--rounds", "6", "--wait", "600"];
    let mut running = NAMES.map(|name| Some(agents.start(name, &mosquitto, &rounds)));
    agents.wait_for_checkpoint(NAMES[0]);
    running[0].take().unwrap().kill();
    mosquitto.restart();
    running[0] = Some(agents.start(NAMES[0], &mosquitto, &rounds));
    for agent in running.into_iter().flatten() {
        let report = agent.report();
        assert_eq!(report["rounds"], 6, "{report}");
    }
    agents.assert_as_in_one_process(rounds[1]);
}

#[test]
fn who_is_alone_goes_on_alone() {
    let Some(mosquitto) = Mosquitto::start(Security::None) else {
        return;
    };
    let agents = Agents::new();
    let report = agents
        .start(NAMES[0], &mosquitto, &["--wait", "1"])
        .report();
    assert_eq!(
        (&report["rounds"], &report["messages"]["taken"]),
        (&3.into(), &0.into())
    );
    // It has taken its messages back: another federation does not find them.
    let report = agents
        .start(NAMES[1], &mosquitto, &["--wait", "1"])
        .report();
    assert_eq!(report["messages"]["taken"], 0, "{report}");
}

#[test]
fn a_state_that_is_not_of_this_run_is_refused_and_left() {
    let Some(mosquitto) = Mosquitto::start(Security::None) else {
        return;
    };
    let agents = Agents::new();
    let start = |more: &[&str]| agents.start(NAMES[0], &mosquitto, more);
    let agent = start(&["--rounds", "500", "--wait", "0"]);
    agents.wait_for_checkpoint(NAMES[0]);
    agent.kill();
    let whole = std::fs::read(agents.checkpoint(NAMES[0])).unwrap();
    let other = start(&["--rounds", "500", "--lr", "0.5"]).failure();
    assert!(other.contains("--lr was 0.002, now 0.5"), "{other}");
    std::fs::write(agents.checkpoint(NAMES[0]), &whole[..whole.len() / 2]).unwrap();
    let cut = start(&["--rounds", "500"]).failure();
    assert!(cut.contains("expected"), "{cut}");
    for refused in [other, cut] {
        assert!(
            refused.contains("cannot go on where this client was stopped")
                && refused.contains("or start again with --force"),
            "{refused}"
        );
    }
    let left = std::fs::read(agents.checkpoint(NAMES[0])).unwrap();
    assert_eq!(left.len(), whole.len() / 2);
    let again = start(&["--force", "--wait", "0"]).report();
    assert_eq!(again["rounds"], 3, "{again}");
}

#[test]
fn who_comes_late_goes_on_where_the_others_are() {
    let Some(mosquitto) = Mosquitto::start(Security::None) else {
        return;
    };
    let agents = Agents::new();
    let arguments = ["--rounds", "40", "--wait", "1"];
    let first = [NAMES[0], NAMES[1]].map(|name| agents.start(name, &mosquitto, &arguments));
    agents.wait_for_checkpoint(NAMES[0]);
    agents.wait_for_checkpoint(NAMES[1]);
    std::thread::sleep(Duration::from_secs(1));
    let late = agents.start(NAMES[2], &mosquitto, &arguments).report();
    assert_eq!(late["rounds"], 40, "{late}");
    assert!(late["rounds_skipped"].as_u64().unwrap() > 0, "{late}");
    assert!(late["messages"]["taken"].as_u64().unwrap() > 0, "{late}");
    for agent in first {
        let report = agent.report();
        assert_eq!(
            (&report["rounds"], &report["rounds_skipped"]),
            (&40.into(), &0.into()),
            "{report}"
        );
    }
}

#[test]
fn tls_and_a_password_are_asked_for_and_given() {
    let Some(mosquitto) = Mosquitto::start(Security::TlsAndPassword) else {
        return;
    };
    let agents = Agents::new();
    let own = mosquitto.login_arguments();
    let own: Vec<&str> = own.iter().map(String::as_str).collect();
    let wrong: Vec<&str> = own
        .iter()
        .map(|&word| if word == "member" { "nobody" } else { word })
        .collect();
    let refused = agents.start(NAMES[0], &mosquitto, &wrong).failure();
    assert!(
        refused.contains("the broker refuses this client"),
        "{refused}"
    );
    let running = NAMES.map(|name| agents.start(name, &mosquitto, &own));
    for agent in running {
        let report = agent.report();
        assert!(
            report["messages"]["taken"].as_u64().unwrap() > 0,
            "{report}"
        );
    }
}

#[test]
fn what_is_no_message_is_dropped_and_counted() {
    let Some(mosquitto) = Mosquitto::start(Security::None) else {
        return;
    };
    let agents = Agents::new();
    // A neighbour that says nonsense, too much, and things about another public set.
    let login = Login {
        name: NAMES[1].into(),
        topic: "graft".into(),
        credentials: None,
        authorities: None,
    };
    let federation = Federation {
        digest: Digest::of(b"another"),
        images: 1,
        classes: 10,
        speaking: 2,
    };
    let mut liar = Broker::connect(&mosquitto.address(), &login, [], &federation).unwrap();
    let agent = agents.start(NAMES[0], &mosquitto, &["--wait", "2"]);
    let slot = |turn, head, part| Slot { turn, head, part };
    liar.send(slot(0, 0, 0), b"nonsense".to_vec());
    liar.send(slot(0, 1, 0), vec![0; 300_000]);
    let foreign = Message {
        round: 1,
        head: 0,
        first: 0,
        predictions: Predictions::of(&[0.0; 10], 10),
    };
    liar.send(slot(1, 0, 0), foreign.to_bytes(&federation));
    // In a topic that no neighbour has.
    liar.send(slot(0, 9, 9), b"nonsense".to_vec());
    let report = agent.report();
    let messages = &report["messages"];
    for (reason, count) in [("malformed", 1), ("oversized", 1), ("foreign", 1)] {
        assert_eq!(messages[reason], count, "{report}");
    }
    assert_eq!(
        (&messages["taken"], &report["rounds"]),
        (&0.into(), &3.into()),
        "{report}"
    );
    assert!(liar.receive(Duration::ZERO).unwrap().is_empty());
}

#[test]
fn federations_of_other_topics_do_not_meet() {
    let Some(mosquitto) = Mosquitto::start(Security::None) else {
        return;
    };
    let (one, other) = (Agents::new(), Agents::new());
    let pair = |agents: &Agents, topic| {
        [NAMES[0], NAMES[1]]
            .map(|name| agents.start(name, &mosquitto, &["--topic", topic, "--wait", "5"]))
    };
    let running = [pair(&one, "house/one"), pair(&other, "house/other")];
    for agent in running.into_iter().flatten() {
        let report = agent.report();
        assert_eq!(report["neighbours_heard"], 1, "{report}");
        assert_eq!(report["messages"]["foreign"], 0, "{report}");
    }
}
