//! What was wrong with the command line, in one sentence that says what would be right.

use std::{error::Error as _, ffi::OsString};

use clap::error::{ContextKind, ContextValue, ErrorKind};

use super::{args::definition, exit::Exit, output::Console};
use crate::config::values::listed;

/// Prints the help that was asked for, or what is wrong.
pub(super) fn explain(error: &clap::Error, args: &[OsString], console: &mut Console) -> Exit {
    match error.kind() {
        ErrorKind::DisplayHelp | ErrorKind::DisplayVersion => {
            let text = error.render();
            let text = if console.has_colour() { text.ansi().to_string() } else { text.to_string() };
            // A reader that went away has seen enough.
            _ = console.print(&text);
            Exit::Ok
        }
        ErrorKind::DisplayHelpOnMissingArgumentOrSubcommand | ErrorKind::MissingSubcommand => {
            console.print_error(&error.render().to_string());
            Exit::Usage
        }
        _ => {
            console.print_error(&format!("error: {}", sentence(error, args)));
            Exit::Usage
        }
    }
}

fn sentence(error: &clap::Error, args: &[OsString]) -> String {
    let said = |kind| error.get(kind).and_then(text);
    let arg = said(ContextKind::InvalidArg).unwrap_or_default();
    let place = place(&arg, args);
    let value = said(ContextKind::InvalidValue).unwrap_or_default();
    match error.kind() {
        ErrorKind::UnknownArgument if arg.starts_with('-') && arg.contains(|c: char| c.is_ascii_digit()) => {
            format!("`{arg}` is no flag, and numbers and durations cannot be negative")
        }
        ErrorKind::UnknownArgument if arg.starts_with("--what-if") => {
            format!("`{arg}` is a flag of `scan`: what is only supposed is never acted on")
        }
        ErrorKind::UnknownArgument => {
            let better = said(ContextKind::SuggestedArg).map_or_else(
                || "; `--help` lists those that it takes".to_owned(),
                |better| format!("; did you mean `{better}`?"),
            );
            let what = if arg.starts_with('-') { "flag" } else { "argument" };
            format!("unknown {what} `{arg}`{better}")
        }
        ErrorKind::InvalidSubcommand => {
            let name = said(ContextKind::InvalidSubcommand).unwrap_or_default();
            let better = said(ContextKind::SuggestedSubcommand)
                .map_or_else(|| "; `--help` lists them".to_owned(), |better| format!("; did you mean `{better}`?"));
            format!("unknown command `{name}`{better}")
        }
        ErrorKind::InvalidValue if value.is_empty() => format!("`{place}` needs a value{}", choice(error)),
        ErrorKind::InvalidValue => format!("`{place}` cannot be `{value}`{}", choice(error)),
        ErrorKind::ValueValidation => {
            let why = error.source().map(ToString::to_string).unwrap_or_default();
            format!("`{place}` cannot be `{value}`: {why}")
        }
        ErrorKind::ArgumentConflict => {
            let prior = said(ContextKind::PriorArg).unwrap_or_default();
            if prior == arg {
                format!("`{}` is given twice", flag(&arg))
            } else {
                format!("`{}` and `{}` exclude each other; leave one out", flag(&arg), flag(&prior))
            }
        }
        ErrorKind::MissingRequiredArgument => format!("`{}` is missing", flag(&arg)),
        ErrorKind::TooFewValues | ErrorKind::WrongNumberOfValues | ErrorKind::NoEquals => {
            format!("`{place}` needs a value")
        }
        ErrorKind::TooManyValues => format!("`{place}` takes no value"),
        _ => error.to_string().lines().next().unwrap_or_default().trim_start_matches("error: ").to_owned(),
    }
}

/// `; ... is wanted`
fn choice(error: &clap::Error) -> String {
    match error.get(ContextKind::ValidValue) {
        Some(ContextValue::Strings(values)) if !values.is_empty() => {
            let values: Vec<_> = values.iter().map(String::as_str).collect();
            format!("; {} is wanted", listed(&values, "or"))
        }
        _ => String::new(),
    }
}

/// Where a value stands: the flag, or the environment variable if the flag was not given.
fn place(arg: &str, args: &[OsString]) -> String {
    let flag = flag(arg);
    let Some(name) = flag.strip_prefix("--") else { return flag };
    let given = |given: &str| given == flag || given.strip_prefix(&flag).is_some_and(|rest| rest.starts_with('='));
    let short = short_of(name);
    let given_short = |given: &str| {
        short.is_some_and(|short| given.starts_with('-') && !given.starts_with("--") && given.contains(short))
    };
    if args.iter().filter_map(|arg| arg.to_str()).any(|text| given(text) || given_short(text)) {
        return flag;
    }
    let definition = definition();
    let commands = std::iter::once(&definition).chain(definition.get_subcommands());
    let argument = commands.flat_map(clap::Command::get_arguments).find(|argument| argument.get_long() == Some(name));
    argument.and_then(clap::Arg::get_env).map_or(flag, |variable| variable.to_string_lossy().into_owned())
}

fn short_of(long: &str) -> Option<char> {
    let definition = definition();
    let commands = std::iter::once(&definition).chain(definition.get_subcommands());
    commands
        .flat_map(clap::Command::get_arguments)
        .find(|arg| arg.get_long() == Some(long))
        .and_then(clap::Arg::get_short)
}

/// `--timeout` of `--timeout <DURATION>`
fn flag(arg: &str) -> String {
    if !arg.starts_with('-') {
        return arg.trim_matches(['[', ']', '<', '>']).to_owned();
    }
    arg.split([' ', '=', '[']).next().unwrap_or(arg).to_owned()
}

fn text(value: &ContextValue) -> Option<String> {
    match value {
        ContextValue::String(text) => Some(text.clone()),
        ContextValue::Strings(texts) => texts.first().cloned(),
        ContextValue::StyledStr(text) => Some(text.to_string()),
        _ => None,
    }
}
