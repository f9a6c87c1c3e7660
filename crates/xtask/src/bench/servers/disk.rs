//! The disk alone, in the place of a server: the load appends and syncs by itself.

use std::net::{Ipv4Addr, SocketAddr};

use super::Server;
use crate::bench::Bench;

/// About the bytes that one transfer adds to a log when it is synced alone, its seal included.
const BYTES: u32 = 256;

/// One append and one `fdatasync`, one after the other, in a file of written zeros.
pub(crate) struct BareDisk {
    directory: String,
    settings: Vec<String>,
}

impl BareDisk {
    /// Where the servers keep their data, too.
    pub(crate) fn new(bench: &Bench) -> BareDisk {
        let settings =
            vec![format!("pwrite of {BYTES} bytes and fdatasync, in a file of 64 MiB of written zeros")];
        BareDisk { directory: bench.data.display().to_string(), settings }
    }
}

impl Server for BareDisk {
    fn name(&self) -> String {
        "the disk".to_owned()
    }

    fn durability(&self) -> &'static str {
        "synced"
    }

    fn settings(&self) -> &[String] {
        &self.settings
    }

    fn address(&self) -> SocketAddr {
        (Ipv4Addr::LOCALHOST, 0).into()
    }

    fn pid(&self) -> u32 {
        0
    }

    fn load_arguments(&self) -> Vec<String> {
        vec![
            "disk".to_owned(),
            "--directory".to_owned(),
            self.directory.clone(),
            "--bytes".to_owned(),
            BYTES.to_string(),
        ]
    }

    fn takes_load(&self) -> bool {
        false
    }
}
