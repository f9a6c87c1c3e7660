//! `walletlab health`.

use std::io::{self, Read, Write};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, TcpStream};
use std::path::PathBuf;
use std::time::Duration;

use crate::outcome::{Failure, Outcome, Verdict, print};
use crate::settings::{LISTEN_DEFAULT, parse_address, read_file};

/// Bytes of an answer that are read at most; a longer one is none of ours.
const ANSWER_BYTES_MAX: u64 = 65_536;

/// Ask a running server whether it is ready, as a container's health check does.
///
/// Asks /health/ready, which needs no token, at the address that `walletlab serve` would listen on with the same
/// variables and file; an address that means every interface is asked on loopback.
#[derive(Debug, clap::Args)]
#[command(after_long_help = concat!("\
Examples:
  walletlab health
  walletlab health --listen 127.0.0.1:9090 --timeout-ms 500

Exit codes:
  0  ready
  1  not ready, or nobody answers in time
  2  usage"))]
pub(crate) struct Args {
    /// A file with settings, as for `walletlab serve`
    #[arg(long, value_name = "FILE", env = "WALLETLAB_CONFIG", hide_env_values = true)]
    config: Option<PathBuf>,
    /// Where the server listens [default: 127.0.0.1:8080]
    #[arg(long, value_name = "ADDRESS:PORT", env = "WALLETLAB_LISTEN", hide_env_values = true)]
    #[arg(value_parser = parse_address)]
    listen: Option<SocketAddr>,
    /// How long connecting, sending and each wait for a part of the answer may take
    #[arg(long, value_name = "MILLISECONDS", default_value_t = 2_000, value_parser = clap::value_parser!(u64).range(1..))]
    timeout_ms: u64,
}

pub(crate) fn run(args: &Args) -> Outcome {
    let listen = match (args.listen, &args.config) {
        (Some(listen), _) => listen,
        (None, Some(path)) => read_file(path)?.listen().unwrap_or(LISTEN_DEFAULT),
        (None, None) => LISTEN_DEFAULT,
    };
    let address = reachable(listen);
    let answer = ask(address, Duration::from_millis(args.timeout_ms));
    let answer = answer.map_err(|error| Failure::Finding(format!("{address}: {error}")))?;
    let (status, body) = parts(&answer)
        .ok_or_else(|| Failure::Finding(format!("{address}: what answers there is no HTTP server")))?;
    if status == "200" {
        print(&format_args!("{}\n", body.trim_end()))?;
        return Ok(Verdict::Fine);
    }
    Err(Failure::Finding(format!("{address}: status {status}: {}", body.trim_end())))
}

/// An address that a client can connect to.
fn reachable(listen: SocketAddr) -> SocketAddr {
    let ip = match listen.ip() {
        IpAddr::V4(ip) if ip.is_unspecified() => Ipv4Addr::LOCALHOST.into(),
        IpAddr::V6(ip) if ip.is_unspecified() => Ipv6Addr::LOCALHOST.into(),
        ip => ip,
    };
    SocketAddr::new(ip, listen.port())
}

fn ask(address: SocketAddr, timeout: Duration) -> io::Result<String> {
    let mut stream = TcpStream::connect_timeout(&address, timeout)?;
    stream.set_read_timeout(Some(timeout))?;
    stream.set_write_timeout(Some(timeout))?;
    write!(stream, "GET /health/ready HTTP/1.1\r\nhost: {address}\r\nconnection: close\r\n\r\n")?;
    let mut answer = Vec::new();
    stream.take(ANSWER_BYTES_MAX).read_to_end(&mut answer)?;
    Ok(String::from_utf8_lossy(&answer).into_owned())
}

/// Status and body of an answer.
fn parts(answer: &str) -> Option<(&str, &str)> {
    let (head, body) = answer.split_once("\r\n\r\n")?;
    let status = head.strip_prefix("HTTP/1.1 ")?.get(..3)?;
    Some((status, body))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_that_means_every_interface_is_asked_on_loopback() {
        for (listen, asked) in [
            ("0.0.0.0:8080", "127.0.0.1:8080"),
            ("[::]:80", "[::1]:80"),
            ("127.0.0.1:1", "127.0.0.1:1"),
            ("192.0.2.7:9", "192.0.2.7:9"),
        ] {
            let listen = parse_address(listen).expect("an address");
            assert_eq!(reachable(listen).to_string(), asked);
        }
    }

    #[test]
    fn an_answer_has_a_status_and_a_body() {
        assert_eq!(parts("HTTP/1.1 200 OK\r\na: b\r\n\r\n{}\n"), Some(("200", "{}\n")));
        assert_eq!(parts("HTTP/1.1 503 \r\na: b\r\n\r\n"), Some(("503", "")));
        assert_eq!(parts("SSH-2.0-x\r\n\r\n"), None);
        assert_eq!(parts(""), None);
    }
}
