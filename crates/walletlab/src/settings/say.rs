//! Settings in words: who is to blame for a value that cannot be read.

use std::ffi::{OsStr, OsString};

use clap::Command;
use clap::error::{ContextKind, ContextValue};

/// Clap names the flag of a value that cannot be read, even if nobody wrote that flag: then the variable is named too.
pub(crate) fn blame_environment(
    mut error: clap::Error,
    command: &Command,
    arguments: &[OsString],
) -> clap::Error {
    let variable = match error.get(ContextKind::InvalidArg) {
        Some(ContextValue::String(shown)) => variable_of(shown, command, arguments),
        Some(_) | None => None,
    };
    if let Some(variable) = variable {
        let tip = format!("the value comes from the environment variable {variable}");
        error.insert(ContextKind::Suggested, ContextValue::StyledStrs(vec![tip.into()]));
    }
    error
}

/// The variable that stands for a flag which is not among the arguments.
fn variable_of(shown: &str, command: &Command, arguments: &[OsString]) -> Option<String> {
    let name = arguments.get(1)?;
    let subcommand = command.find_subcommand(name)?;
    let argument = subcommand.get_arguments().find(|argument| argument.to_string() == shown)?;
    let flag = format!("--{}", argument.get_long()?);
    let is_given = |argument: &OsStr| {
        let argument = argument.to_string_lossy();
        argument.strip_prefix(&flag).is_some_and(|rest| rest.is_empty() || rest.starts_with('='))
    };
    if arguments.iter().any(|argument| is_given(argument)) {
        return None;
    }
    Some(argument.get_env()?.to_string_lossy().into_owned())
}
