//! `walletlab serve`.

use std::fs;
use std::path::Path;

use server::files::{DriverOptions, Durability, LogFormat, segments};
use server::{ClockKind, PageSource, ServeError, ServeOptions, Tokens};

use crate::log_source::LINES_NAME;
use crate::outcome::{Failure, Outcome, Verdict};
use crate::settings::{DurabilityLevel, Given, Merged, StoreForm};
use crate::{logging, page};

/// Serve the wallet over HTTP, with its page, until SIGTERM or Ctrl-C.
///
/// One process, one data directory, one port: the API under /v1/wallet, /health, /metrics, /docs, and the page at /.
/// Prints `listening on http://ADDRESS` on standard output when it answers, and nothing else there. A stop lets what is
/// being answered finish, within --stop-timeout-ms; whatever was answered is on the disk, however the process ends (unless
/// --durability says otherwise). A disk that is full refuses commands with 507 until there is room.
///
/// Every setting can also be a variable or a key of the file that --config names: a flag wins over the environment, the
/// environment over the file. `walletlab config` prints the result.
#[derive(Debug, clap::Args)]
#[command(after_long_help = concat!("\
Examples:
  walletlab serve
  walletlab serve --listen 127.0.0.1:0 --data wallet
  walletlab serve --listen 0.0.0.0:8080 --token-file tokens.txt --host wallet.example.org
  WALLETLAB_LOG_OUTPUT=json walletlab serve --config walletlab.toml

Exit codes:
  0  stopped by a signal
  1  the log in the data directory is damaged; or an append to it failed, after which the server only reads until it
     is stopped
  2  settings that cannot be used, a data directory that is in use, or an address that cannot be listened on"))]
pub(crate) struct Args {
    #[command(flatten)]
    given: Given,
}

pub(crate) fn run(args: Args, matches: &clap::ArgMatches) -> Outcome {
    let merged = args.given.merge(matches)?;
    merged.check().map_err(Failure::Usage)?;
    if merged.durability != DurabilityLevel::Memory {
        check_form(&merged.data, merged.log_format)?;
    }
    logging::start(merged.log_level, merged.log_output);
    let options = options(merged)?;
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build();
    let runtime =
        runtime.map_err(|error| Failure::Usage(format!("cannot start the server's threads: {error}")))?;
    let served = runtime.block_on(server::serve(options));
    // A disk that does not answer must not keep the process: nothing that waits for it was acknowledged.
    runtime.shutdown_background();
    served.map_err(failure)?;
    Ok(Verdict::Fine)
}

/// Refuses a directory whose log is in the other form, before anything is opened: the server refuses it too, but does
/// not know what the setting is called.
fn check_form(data: &Path, form: StoreForm) -> Result<(), Failure> {
    if !data.is_dir() {
        return Ok(());
    }
    let (wrong, other) = match form {
        StoreForm::Binary => (data.join(LINES_NAME).exists(), "jsonl"),
        StoreForm::Jsonl => (!segments(data)?.is_empty(), "binary"),
    };
    if !wrong {
        return Ok(());
    }
    let what = format!(
        "the log in this data directory is in the form {other}; serve it with --log-format {other}, or name another \
         directory (`walletlab export` and `walletlab import` make copies of a log)"
    );
    Err(Failure::Usage(format!("{}: {what}", data.display())))
}

fn options(merged: Merged) -> Result<ServeOptions, Failure> {
    let tokens = merged.token_file.as_deref().map(tokens).transpose()?;
    let page = match merged.page {
        Some(directory) => PageSource::Directory(directory),
        None if page::FILES.is_empty() => {
            tracing::warn!("{}", page::HOW_TO_BUILD);
            PageSource::None
        }
        None => PageSource::Embedded(page::FILES),
    };
    let journal = DriverOptions {
        format: match merged.log_format {
            StoreForm::Binary => LogFormat::Binary,
            StoreForm::Jsonl => LogFormat::JsonLines,
        },
        durability: match merged.durability {
            DurabilityLevel::Synced => Durability::Synced,
            DurabilityLevel::Written => Durability::Written,
            DurabilityLevel::Memory => Durability::Memory,
        },
        segment_bytes: merged.segment_bytes,
    };
    Ok(ServeOptions {
        listen: merged.listen,
        page,
        data: merged.data,
        journal,
        tokens,
        hosts: merged.hosts,
        clock: if merged.test_clock { ClockKind::Test } else { ClockKind::Wall },
        limits: merged.limits,
    })
}

fn tokens(path: &Path) -> Result<Tokens, Failure> {
    let text = fs::read_to_string(path).map_err(|error| Failure::unreadable(path, &error))?;
    if is_open_to_others(path) {
        tracing::warn!(
            "{}: every user of this machine can read this file with tokens; `chmod o= {0}` ends that",
            path.display()
        );
    }
    Tokens::parse(&text).map_err(|error| Failure::Usage(format!("{}: {error}", path.display())))
}

/// Whether users who neither own the file nor are in its group can read it. The group is left out: systemd hands a
/// credential over by an access list, which looks like a group that may read.
#[cfg(unix)]
fn is_open_to_others(path: &Path) -> bool {
    use std::os::unix::fs::PermissionsExt as _;

    path.metadata().is_ok_and(|meta| meta.permissions().mode() & 0o004 != 0)
}

#[cfg(not(unix))]
fn is_open_to_others(_path: &Path) -> bool {
    false
}

fn failure(error: ServeError) -> Failure {
    match error {
        ServeError::Files(error) => error.into(),
        ServeError::Failed { .. } => Failure::Finding(error.to_string()),
        error => Failure::Usage(error.to_string()),
    }
}
