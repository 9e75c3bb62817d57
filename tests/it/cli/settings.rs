//! What holds for every setting.

use clap::{Arg, ArgMatches, FromArgMatches};
use sidecar_drift::{
    cli,
    config::{
        Client, Config, Daemon, Display, File, Kinds, Leadership, LeaseAt, NAMES, Purpose, Record, Rendering, Rollouts,
        Selection, Settings, State, Voice,
    },
};

/// Every argument of every command that is a setting.
fn settings() -> Vec<(String, Arg)> {
    let definition = cli::definition();
    let commands = std::iter::once(&definition).chain(definition.get_subcommands());
    let arguments =
        commands.flat_map(|command| command.get_arguments().map(|arg| (command.get_name().to_owned(), arg.clone())));
    arguments.filter(|(_, arg)| NAMES.contains(&arg.get_id().as_str())).collect()
}

#[test]
fn every_setting_has_a_flag_and_a_variable_of_its_own_name() {
    let settings = settings();
    for name in NAMES {
        let (_, arg) =
            settings.iter().find(|(_, arg)| arg.get_id() == name).unwrap_or_else(|| panic!("{name} has no flag"));
        assert_eq!(arg.get_long(), Some(name.replace('_', "-").as_str()));
        let variable = arg.get_env().unwrap().to_str().unwrap();
        if *name == "no_color" {
            assert_eq!(variable, "NO_COLOR");
        } else {
            assert_eq!(variable, format!("SIDECAR_DRIFT_{}", name.to_ascii_uppercase()));
        }
    }
}

#[test]
fn every_help_names_the_default() {
    for (command, arg) in settings() {
        let help = arg.get_help().unwrap().to_string();
        assert!(help.contains(" [default: ") && help.ends_with(']'), "{command} --{}: {help}", arg.get_id());
    }
}

/// The value after `[default:`, where it is one that can be written.
fn default_in_help(arg: &Arg) -> Option<String> {
    let help = arg.get_help()?.to_string();
    let default = help.split("[default: ").nth(1)?.trim_end_matches(']').split(';').next()?.to_owned();
    let writable = !default.contains(' ') && !matches!(default.as_str(), "all" | "none");
    writable.then_some(default)
}

#[test]
fn the_defaults_in_the_help_are_true() {
    let mut checked = 0;
    for (command, arg) in settings().into_iter().filter(|(command, _)| command == "run") {
        let Some(default) = default_in_help(&arg) else { continue };
        let flag = format!("--{}={default}", arg.get_long().unwrap());
        let matches = cli::definition().try_get_matches_from(["sidecar-drift", &command, &flag]).unwrap();
        assert_eq!(
            given(&matches),
            Config::new(Settings::default(), File::default(), Purpose::Run).unwrap(),
            "{flag} is not the default"
        );
        checked += 1;
    }
    assert!(checked > 20, "only {checked} defaults were found");
}

/// The daemon's configuration from parsed flags.
fn given(matches: &ArgMatches) -> Config {
    let run = matches.subcommand_matches("run").unwrap();
    let settings = Settings {
        client: Client::from_arg_matches(run).unwrap(),
        voice: Voice::from_arg_matches(run).unwrap(),
        selection: Selection::from_arg_matches(run).unwrap(),
        kinds: Kinds::from_arg_matches(run).unwrap(),
        rendering: Rendering::from_arg_matches(run).unwrap(),
        rollouts: Rollouts::from_arg_matches(run).unwrap(),
        state: State::from_arg_matches(run).unwrap(),
        daemon: Daemon::from_arg_matches(run).unwrap(),
        record: Record::from_arg_matches(run).unwrap(),
        lease: LeaseAt::from_arg_matches(run).unwrap(),
        leadership: Leadership::from_arg_matches(run).unwrap(),
        display: Display::default(),
    };
    Config::new(settings, File::default(), Purpose::Run).unwrap()
}
