//! `walletlab config`.

use crate::outcome::{Failure, Outcome, Verdict, print, print_json};
use crate::settings::Given;

/// Print what `walletlab serve` would run with, and where each value comes from.
///
/// Takes the same flags, variables and file as `serve`: a flag wins over the environment, the environment over the
/// file, the file over the default. What is printed is itself a file for --config. A token file is shown as its path.
#[derive(Debug, clap::Args)]
#[command(after_long_help = concat!("\
Examples:
  walletlab config
  walletlab config --config walletlab.toml --listen 127.0.0.1:9090
  walletlab config --config walletlab.yaml > merged.toml
  walletlab config --json | jq '.settings[\"limits.connections_max\"]'

With --json: {settings: {KEY: {value, origin: flag | environment | file | default, name}}}; `name` is the flag, the
variable or the file

Exit codes:
  0  `walletlab serve` takes these settings
  2  a key or a value that is not one, or settings that cannot go together"))]
pub(crate) struct Args {
    #[command(flatten)]
    given: Given,
    /// Print JSON
    #[arg(long)]
    json: bool,
}

pub(crate) fn run(args: Args, matches: &clap::ArgMatches) -> Outcome {
    let merged = args.given.merge(matches)?;
    if args.json {
        print_json(&merged.to_json())?;
    } else {
        print(&merged)?;
    }
    merged.check().map_err(Failure::Usage)?;
    Ok(Verdict::Fine)
}
