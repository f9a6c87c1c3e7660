//! Commands, made before any clock starts.

use ledger::{AccountName, Command, TransactionId};
use pipeline::{Input, LogIdentity, Lookup, Output, Pipeline, Request};
use time::Timestamp;

/// What every account is opened with: enough that no transfer is refused.
const OPENING_BALANCE: i64 = 1_000_000_000;

pub(super) fn account_name(number: u32) -> AccountName {
    format!("account-{number:07}").parse().expect("short, and without control characters")
}

/// Opens accounts 0, 1, 2, ...
pub(super) fn openings(accounts: u32) -> impl Iterator<Item = Command> {
    (0..accounts).map(|number| Command::OpenAccount {
        account: account_name(number),
        asset: "USD".parse().expect("an asset code"),
        scale: 2,
        floor: None,
        opening_balance: OPENING_BALANCE,
    })
}

/// Transfers between two uniformly drawn accounts, the same ones each time.
pub(super) fn transfers(accounts: u32, count: u64) -> impl Iterator<Item = Command> {
    let mut draws = Draws(0x9e37_79b9_7f4a_7c15);
    (0..count).map(move |number| {
        let from = draws.below(accounts);
        let to = (from + 1 + draws.below(accounts - 1)) % accounts;
        let mut id = [0; 16];
        id[..8].copy_from_slice(&draws.next().to_le_bytes());
        id[8..].copy_from_slice(&number.to_le_bytes());
        Command::Transfer {
            transaction_id: TransactionId::from_bytes(id),
            from_account: account_name(from),
            to_account: account_name(to),
            amount: 1 + i64::from(draws.below(100)),
            metadata: None,
        }
    })
}

/// In batches, numbered from 0.
pub(super) fn requests(commands: impl Iterator<Item = Command>, batch: usize) -> Vec<Vec<Request>> {
    let mut batches: Vec<Vec<Request>> = Vec::new();
    for (request_id, command) in (0..).zip(commands) {
        match batches.last_mut() {
            Some(last) if last.len() < batch => last.push(Request { request_id, command }),
            Some(_) | None => {
                let mut first = Vec::with_capacity(batch);
                first.push(Request { request_id, command });
                batches.push(first);
            }
        }
    }
    batches
}

/// A pipeline whose appends are durable at once.
pub(super) struct InMemory {
    pub(super) pipeline: Pipeline,
    /// The whole log, if it is kept.
    pub(super) log: Option<Vec<u8>>,
    outputs: Vec<Output>,
}

impl InMemory {
    /// With so many records an append, and as many commands looked up at once.
    pub(super) fn new(batch: u32) -> InMemory {
        let config = server::files::Driver::config(batch, 1);
        let identity = LogIdentity { log_id: [1; 16], ledger_id: [2; 16], partition: 0 };
        let pipeline = Pipeline::start(&config, identity, 1).expect("the configuration works");
        InMemory { pipeline, log: None, outputs: Vec::new() }
    }

    /// Runs a batch to its end.
    pub(super) fn submit(&mut self, requests: Vec<Request>) {
        self.input(Input::Submit(requests));
        loop {
            let mut lookups = Vec::new();
            let mut appended = None;
            for output in self.outputs.drain(..) {
                match output {
                    Output::Reply(reply) => drop(std::hint::black_box(reply)),
                    Output::FindTransaction(transaction_id) => {
                        lookups.push(match self.pipeline.projections().transactions.found(&transaction_id) {
                            Some(found) => Lookup::TransactionFound { transaction_id, found },
                            None => Lookup::TransactionAbsent { transaction_id },
                        });
                    }
                    Output::Append(append) => {
                        appended = Some(append.next_sequence);
                        if let Some(log) = &mut self.log {
                            log.extend_from_slice(&append.bytes);
                        }
                    }
                }
            }
            match (lookups.is_empty(), appended) {
                (true, None) => return,
                (true, Some(before)) => self.input(Input::Appended { before }),
                (false, _) => {
                    self.input(Input::Lookups(lookups));
                    if let Some(before) = appended {
                        self.input(Input::Appended { before });
                    }
                }
            }
        }
    }

    fn input(&mut self, input: Input) {
        self.pipeline.handle_input(Timestamp::ZERO, input, &mut self.outputs);
    }
}

/// Splitmix64.
pub(super) struct Draws(pub(super) u64);

impl Draws {
    pub(super) fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut bits = self.0;
        bits = (bits ^ (bits >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        bits = (bits ^ (bits >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        bits ^ (bits >> 31)
    }

    fn below(&mut self, bound: u32) -> u32 {
        let scaled = ((self.next() >> 32) * u64::from(bound)) >> 32;
        u32::try_from(scaled).expect("below a u32")
    }
}
