//! The list of commands in `patchtool --help`, by what they are for.

use std::fmt::Write as _;

use clap::Command;

/// Headings, and the commands under each.
const GROUPS: [(&str, &[&str]); 9] = [
    ("See what it does", &["demo"]),
    ("Make a backbone", &["import", "quantize"]),
    (
        "Make a patch",
        &[
            "train",
            "export",
            "generate",
            "learn",
            "forget",
            "extract",
            "calibrate",
            "unlearn",
            "meta-train",
            "federate",
            "agent",
        ],
    ),
    ("Use and measure", &["run", "eval", "bench"]),
    ("Look into files", &["inspect", "diff"]),
    ("Sign and trust", &["keygen", "sign", "verify"]),
    ("Talk to a device", &["push", "device"]),
    ("Keep patches on a board", &["store"]),
    ("Set up the shell", &["completions", "man"]),
];

/// The command with its subcommands in groups: clap itself knows one list.
pub fn grouped(command: Command) -> Command {
    let mut template = String::from("{about}\n\n{usage-heading} {usage}\n");
    let styles = command.get_styles();
    let (bold, plain) = (styles.get_header(), styles.get_header().render_reset());
    for (heading, names) in GROUPS {
        let listed = listed(&command, names);
        let _ = write!(template, "\n{}{heading}:{plain}\n{listed}", bold.render());
    }
    let _ = write!(
        template,
        "\n{}Options:{plain}\n{{options}}{{after-help}}",
        bold.render()
    );
    command.help_template(template)
}

/// These subcommands as clap lists them: aligned, wrapped at the width of the terminal.
fn listed(command: &Command, names: &[&str]) -> String {
    let own = names
        .iter()
        .filter_map(|name| command.find_subcommand(name))
        .enumerate()
        .map(|(order, own)| own.clone().display_order(order));
    Command::new("patchtool")
        .styles(command.get_styles().clone())
        .subcommands(own)
        .disable_help_subcommand(true)
        .help_template("{subcommands}\n")
        .render_help()
        .ansi()
        .to_string()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cli::Cli;
    use clap::CommandFactory as _;

    #[test]
    fn every_command_is_in_one_group() {
        let mut listed: Vec<&str> = GROUPS
            .iter()
            .flat_map(|(_, names)| *names)
            .copied()
            .collect();
        let command = Cli::command();
        let mut known: Vec<&str> = command.get_subcommands().map(Command::get_name).collect();
        listed.sort_unstable();
        known.sort_unstable();
        assert_eq!(listed, known);
    }

    #[test]
    fn help_has_every_command_below_its_heading() {
        let help = grouped(Cli::command()).render_help().to_string();
        let at = |words: &str| {
            help.find(words)
                .unwrap_or_else(|| panic!("{words:?}: {help}"))
        };
        for (heading, names) in GROUPS {
            let mut last = at(&format!("\n{heading}:\n"));
            for name in names {
                let next = at(&format!("\n  {name} "));
                assert!(next > last, "{name}: {help}");
                last = next;
            }
        }
        assert!(at("--json") < at("Exit status:"), "{help}");
    }
}
