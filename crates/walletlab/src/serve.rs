//! `walletlab serve`.

use std::net::SocketAddr;
use std::path::PathBuf;

use server::{ServeError, ServeOptions};

use crate::outcome::{Failure, Outcome, Verdict};

/// Serve the page and `/health` over HTTP until SIGTERM or Ctrl-C.
///
/// Prints `listening on http://ADDRESS` when it answers.
#[derive(Debug, clap::Args)]
#[command(after_long_help = concat!("\
Examples:
  walletlab serve
  walletlab serve --listen 127.0.0.1:0 --page dist

Exit codes:
  0  stopped by a signal
  2  the page is not built, or the address cannot be listened on"))]
pub(crate) struct Args {
    /// Where to listen; port 0 picks a free one
    #[arg(long, value_name = "ADDRESS:PORT", default_value = "127.0.0.1:8080")]
    listen: SocketAddr,
    /// The directory with the built page
    #[arg(long, value_name = "DIR", default_value = "dist")]
    page: PathBuf,
}

pub(crate) fn run(args: Args) -> Outcome {
    let Args { listen, page } = args;
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build();
    let runtime =
        runtime.map_err(|error| Failure::Usage(format!("cannot start the server's threads: {error}")))?;
    match runtime.block_on(server::serve(ServeOptions { listen, page })) {
        Ok(()) => Ok(Verdict::Fine),
        Err(
            error @ (ServeError::PageMissing { .. }
            | ServeError::AddressInUse { .. }
            | ServeError::Socket { .. }),
        ) => Err(Failure::Usage(error.to_string())),
    }
}
