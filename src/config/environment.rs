//! Settings from the environment: the flag's long name in capitals after `SIDECAR_DRIFT_`.

use std::any::TypeId;

use clap::{
    Arg, Command,
    builder::{StringValueParser, TypedValueParser},
};

use super::NAMES;

/// Gives every setting of the command line its environment variable, and every boolean the three forms `--flag`,
/// `--flag=true` and `--flag=false` (the predecessor's users write the longer ones).
///
/// Done in one place and not at each flag, so that none is forgotten or misspelled.
#[must_use]
pub fn with_environment(command: Command) -> Command {
    command.mut_args(setting).mut_subcommands(with_environment)
}

fn setting(arg: Arg) -> Arg {
    let arg = if arg.get_value_parser().type_id() == TypeId::of::<bool>() && arg.get_action().takes_values() {
        arg.num_args(0..=1)
            .require_equals(true)
            .default_missing_value("true")
            .value_name("BOOL")
            .hide_possible_values(true)
    } else {
        arg
    };
    let id = arg.get_id().as_str();
    if id == "no_color" {
        return arg.env("NO_COLOR").hide_env(true).value_parser(no_color());
    }
    if !NAMES.contains(&id) && id != "config" {
        return arg;
    }
    let variable = format!("SIDECAR_DRIFT_{}", id.to_ascii_uppercase());
    arg.env(variable).hide_env(true)
}

/// By the convention of no-color.org any value that is not empty means no colours; as a flag, `=false` means colours.
fn no_color() -> impl TypedValueParser<Value = bool> {
    StringValueParser::new().map(|text| !text.is_empty() && text != "false")
}
