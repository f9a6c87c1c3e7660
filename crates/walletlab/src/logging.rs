//! What the program says about itself while it serves: lines on standard error, never on standard output.

use std::io::{self, IsTerminal};

use tracing_subscriber::filter::{LevelFilter, Targets};
use tracing_subscriber::fmt;
use tracing_subscriber::layer::SubscriberExt;
use tracing_subscriber::util::SubscriberInitExt;

use crate::settings::{LogLevel, LogOutput};

/// The crates whose lines are ours; those of the libraries below them are only worth reading when they warn.
const OURS: [&str; 2] = ["server", "walletlab"];

/// From now on events and spans are written. Called once, before the server starts.
pub(crate) fn start(level: LogLevel, output: LogOutput) {
    let registry = tracing_subscriber::registry().with(filter(level));
    // A second subscriber in one process is a test's doing; the first one stays.
    let _ = match output {
        LogOutput::Text => {
            let is_colourful = io::stderr().is_terminal() && std::env::var_os("NO_COLOR").is_none();
            registry.with(fmt::layer().with_writer(io::stderr).with_ansi(is_colourful)).try_init()
        }
        LogOutput::Json => {
            let lines = fmt::layer().json().flatten_event(true).with_span_list(false);
            registry.with(lines.with_writer(io::stderr)).try_init()
        }
    };
}

fn filter(level: LogLevel) -> Targets {
    let level = match level {
        LogLevel::Off => LevelFilter::OFF,
        LogLevel::Error => LevelFilter::ERROR,
        LogLevel::Warn => LevelFilter::WARN,
        LogLevel::Info => LevelFilter::INFO,
        LogLevel::Debug => LevelFilter::DEBUG,
        LogLevel::Trace => LevelFilter::TRACE,
    };
    Targets::new().with_default(level.min(LevelFilter::WARN)).with_targets(OURS.map(|ours| (ours, level)))
}

#[cfg(test)]
mod tests {
    use tracing_subscriber::filter::LevelFilter as Level;

    use super::*;

    #[test]
    fn our_own_lines_follow_the_level_and_those_of_libraries_begin_at_warnings() {
        for (level, own, foreign) in [
            (LogLevel::Off, Level::OFF, Level::OFF),
            (LogLevel::Error, Level::ERROR, Level::ERROR),
            (LogLevel::Info, Level::INFO, Level::WARN),
            (LogLevel::Trace, Level::TRACE, Level::WARN),
        ] {
            let filter = filter(level);
            for (target, most) in [("server::http", own), ("walletlab", own), ("hyper::proto", foreign)] {
                for at in
                    [tracing::Level::ERROR, tracing::Level::WARN, tracing::Level::INFO, tracing::Level::TRACE]
                {
                    let expected = most >= Level::from_level(at);
                    assert_eq!(filter.would_enable(target, &at), expected, "{level:?} {target} {at}");
                }
            }
        }
    }
}
