//! The pipeline at its boundary: a script of inputs in, outputs as text out.

mod forms;
mod golden;
mod groups;
mod lines_recovery;
mod random;
mod scripts;
mod segments;
mod snapshots;
mod two_phase;

use alloc::collections::VecDeque;
use alloc::format;
use alloc::string::{String, ToString};
use alloc::vec::Vec;
use expect_test::Expect;
use ledger::{Command, LinkedTransfers, TransactionId, TransactionResult};
use std::collections::BTreeMap;
use time::Timestamp;

use crate::{
    Answer, Append, Config, Input, LogIdentity, Lookup, Output, Pipeline, Place, Recovered, Recovery,
    Replayed, Request,
};

const IDENTITY: LogIdentity = LogIdentity { log_id: [1; 16], ledger_id: [2; 16], partition: 0 };

/// A pipeline, its disk and its look-ups, all by hand.
struct Rig {
    config: Config,
    pipeline: Pipeline,
    now: u64,
    requests: u64,
    labels: BTreeMap<TransactionId, String>,
    asked: Vec<TransactionId>,
    appends: VecDeque<Append>,
    durable: Vec<u8>,
    text: String,
}

impl Rig {
    fn new(config: Config) -> Self {
        let pipeline = Pipeline::start(&config, IDENTITY, 1).expect("a valid configuration");
        let (labels, asked) = (BTreeMap::new(), Vec::new());
        let (appends, durable, text) = (VecDeque::new(), Vec::new(), String::new());
        Rig { config, pipeline, now: 0, requests: 0, labels, asked, appends, durable, text }
    }

    fn input(&mut self, input: Input) {
        let mut outputs = Vec::new();
        self.pipeline.handle_input(self.time(), input, &mut outputs);
        self.print(outputs);
    }

    fn time(&self) -> Timestamp {
        Timestamp::from_micros(self.now).expect("scripts are short")
    }

    fn submit(&mut self, command: Command) {
        self.requests += 1;
        let request = Request { request_id: self.requests, command };
        self.input(Input::Submit([request].into()));
    }

    fn answer_lookups(&mut self) {
        let answer = |transaction_id: TransactionId| match self
            .pipeline
            .projections()
            .transactions
            .found(&transaction_id)
        {
            Some(found) => Lookup::TransactionFound { transaction_id, found },
            None => Lookup::TransactionAbsent { transaction_id },
        };
        let lookups = self.asked.iter().copied().map(answer).collect();
        self.asked.clear();
        self.input(Input::Lookups(lookups));
    }

    fn make_durable(&mut self) {
        let Some(append) = self.appends.pop_front() else { panic!("nothing to append") };
        self.durable.extend_from_slice(&append.bytes);
        self.input(Input::Appended { before: append.next_sequence });
    }

    fn settle(&mut self) {
        while !self.asked.is_empty() || !self.appends.is_empty() {
            if self.asked.is_empty() { self.make_durable() } else { self.answer_lookups() }
        }
    }

    fn restart(&mut self) {
        let generation = self.pipeline.generation() + 1;
        let recovered = recover(&self.durable);
        self.durable.truncate(kept(&recovered, self.durable.len()));
        self.pipeline =
            Pipeline::recover(&self.config, recovered, IDENTITY, generation).expect("a valid configuration");
        self.asked.clear();
        self.appends.clear();
    }

    fn print(&mut self, outputs: Vec<Output>) {
        for output in outputs {
            let line = match output {
                Output::FindTransaction(id) => {
                    self.asked.push(id);
                    format!("find {}", self.label(&id))
                }
                Output::Append(append) => {
                    let place = if append.place == Place::New { ", a new segment" } else { "" };
                    // Of a log without segments there is only one new one, which is not worth a word.
                    let place = if self.config.segment_bytes.is_none() { "" } else { place };
                    let line = format!("append {}..{}{place}", append.first_sequence, append.next_sequence);
                    self.appends.push_back(append);
                    line
                }
                Output::Reply(reply) => format!("#{} {}", reply.request_id, self.answer(&reply.answer)),
            };
            self.text.push_str(&format!("  {line}\n"));
        }
    }

    fn answer(&self, answer: &Answer) -> String {
        match answer {
            Answer::Done { outcome, replayed } => {
                let again = match replayed {
                    Replayed::First => "",
                    Replayed::Again => " again",
                };
                match outcome.result {
                    TransactionResult::Completed => format!("completed at {}{again}", outcome.sequence),
                    TransactionResult::Refused(reason) => {
                        format!("refused {} at {}{again}", reason.as_str(), outcome.sequence)
                    }
                }
            }
            Answer::Linked { outcomes, replayed } => {
                let again = match replayed {
                    Replayed::First => "",
                    Replayed::Again => " again",
                };
                let told: Vec<String> = outcomes
                    .iter()
                    .map(|outcome| {
                        let label = self.label(&outcome.transaction_id);
                        match outcome.result {
                            TransactionResult::Completed => {
                                format!("{label} completed at {}{again}", outcome.sequence)
                            }
                            TransactionResult::Refused(reason) => {
                                format!("{label} refused {} at {}{again}", reason.as_str(), outcome.sequence)
                            }
                        }
                    })
                    .collect();
                told.join(", ")
            }
            Answer::Conflict { transaction_id } => format!("conflict {}", self.label(transaction_id)),
            Answer::Busy { depth, .. } => format!("busy, {depth} in the queue"),
            Answer::DeadLettered { transaction_id } => format!("dead letter {}", self.label(transaction_id)),
            Answer::StorageFull => "storage full".to_string(),
            Answer::Unavailable => "unavailable".to_string(),
        }
    }

    fn label(&self, id: &TransactionId) -> String {
        self.labels.get(id).cloned().unwrap_or_else(|| "?".to_string())
    }

    fn run(&mut self, line: &str) {
        self.text.push_str(&format!("{line}\n"));
        let words: Vec<&str> = line.split_whitespace().collect();
        match words.as_slice() {
            ["lookups"] => self.answer_lookups(),
            ["durable"] => self.make_durable(),
            ["written"] => {
                let append = self.appends.pop_front().expect("something to append");
                self.durable.extend_from_slice(&append.bytes);
            }
            ["torn"] => {
                let append = self.appends.pop_front().expect("something to append");
                self.durable.extend_from_slice(&append.bytes[..append.bytes.len() / 2]);
            }
            ["settle"] => self.settle(),
            ["fail"] => self.input(Input::AppendFailed),
            ["segment", "ready"] => self.input(Input::SegmentReady),
            ["storage", "full"] => self.input(Input::StorageFull),
            ["close"] => self.input(Input::Close),
            ["redrive"] => self.input(Input::Redrive { max: 1 }),
            ["restart"] => self.restart(),
            ["lose", "lookups"] => self.asked.clear(),
            ["wait", micros] => {
                self.now += number::<u64>(micros);
                let mut outputs = Vec::new();
                self.pipeline.handle_timeout(self.time(), &mut outputs);
                self.print(outputs);
            }
            ["balances"] => {
                let lines: Vec<String> = self
                    .pipeline
                    .projections()
                    .balances
                    .iter()
                    .map(|(_, row)| match row.pending {
                        0 => format!("  {} {}\n", row.name.as_str(), row.posted),
                        held => format!("  {} {}, {held} held\n", row.name.as_str(), row.posted),
                    })
                    .collect();
                self.text.push_str(&lines.concat());
            }
            ["due"] => {
                let due = self.pipeline.poll_timeout();
                let due =
                    due.map_or("nothing".to_string(), |due| format!("{} at {}", due.reason, due.at.micros()));
                self.text.push_str(&format!("  {due}\n"));
            }
            ["group", ..] => {
                let mut members = Vec::new();
                for member in line["group ".len()..].split(';') {
                    let (label, command) = command(&member.split_whitespace().collect::<Vec<_>>());
                    self.labels.insert(command.transaction_id(), label);
                    members.push(command);
                }
                let transfers = LinkedTransfers::new(members).expect("a group");
                self.submit(Command::Linked { transfers });
            }
            words => {
                let (label, command) = command(words);
                self.labels.insert(command.transaction_id(), label);
                self.submit(command);
            }
        }
        assert!(self.pipeline.commands().is_balanced());
    }
}

fn number<T: core::str::FromStr>(word: &str) -> T {
    word.parse().ok().unwrap_or_else(|| panic!("{word} is not a number"))
}

fn labelled(label: &str) -> TransactionId {
    TransactionId::derived("test", &[label.as_bytes()])
}

/// `open NAME BALANCE [FLOOR]`, `transfer LABEL FROM TO AMOUNT [METADATA]`, `deposit LABEL ACCOUNT AMOUNT`, `withdraw LABEL
/// ACCOUNT AMOUNT`, `pend LABEL FROM TO AMOUNT [DEADLINE]`, `post LABEL PENDING AMOUNT|all`, `void LABEL PENDING`, `floor
/// LABEL ACCOUNT FLOOR`.
fn command(words: &[&str]) -> (String, Command) {
    let name = |word: &str| word.parse().expect("a name");
    match words {
        ["open", account, balance, floor @ ..] => {
            let opening_balance = number(balance);
            let asset = "USD".parse().expect("an asset");
            let command = Command::OpenAccount {
                account: name(account),
                asset,
                scale: 2,
                floor: floor.first().map(|floor| number(floor)),
                opening_balance,
            };
            (format!("open {account}"), command)
        }
        ["transfer", label, from, to, amount, metadata @ ..] => {
            let (from_account, to_account, amount) = (name(from), name(to), number(amount));
            let metadata = metadata.first().map(|text| crate::parse_metadata(text).expect("metadata"));
            let transaction_id = labelled(label);
            let command = Command::Transfer { transaction_id, from_account, to_account, amount, metadata };
            (label.to_string(), command)
        }
        ["deposit", label, account, amount] => {
            let (account, amount) = (name(account), number(amount));
            let transaction_id = labelled(label);
            (label.to_string(), Command::Deposit { transaction_id, account, amount, metadata: None })
        }
        ["withdraw", label, account, amount] => {
            let (account, amount) = (name(account), number(amount));
            let transaction_id = labelled(label);
            (label.to_string(), Command::Withdrawal { transaction_id, account, amount, metadata: None })
        }
        ["pend", label, from, to, amount, deadline @ ..] => {
            let command = Command::PendingTransfer {
                transaction_id: labelled(label),
                from_account: name(from),
                to_account: name(to),
                amount: number(amount),
                expires_at: deadline.first().map(|at| Timestamp::from_micros(number(at)).expect("a time")),
                metadata: None,
            };
            (label.to_string(), command)
        }
        ["post", label, pending, amount] => {
            let amount = (*amount != "all").then(|| number(amount));
            let (transaction_id, pending_id) = (labelled(label), labelled(pending));
            let command = Command::PostTransfer { transaction_id, pending_id, amount, metadata: None };
            (label.to_string(), command)
        }
        ["void", label, pending] => {
            let (transaction_id, pending_id) = (labelled(label), labelled(pending));
            (label.to_string(), Command::VoidTransfer { transaction_id, pending_id, metadata: None })
        }
        ["floor", label, account, floor] => {
            let (account, floor) = (name(account), number(floor));
            (label.to_string(), Command::SetFloor { transaction_id: labelled(label), account, floor })
        }
        words => panic!("unknown line {words:?}"),
    }
}

fn recover(log: &[u8]) -> Recovered {
    let mut recovery = Recovery::new(7);
    recovery.push(log, |_| ()).expect("a readable log");
    recovery.finish().expect("a log that is whole or torn")
}

fn kept(recovered: &Recovered, bytes: usize) -> usize {
    recovered.cut.as_ref().map_or(bytes, |cut| usize::try_from(cut.cut_at_byte).expect("a small log"))
}

fn check(config: Config, script: &str, expected: &Expect) {
    let mut rig = Rig::new(config);
    for line in script.lines().map(str::trim).filter(|line| !line.is_empty()) {
        rig.run(line);
    }
    expected.assert_eq(&rig.text);
}

/// Limits small enough to hit.
fn small() -> Config {
    Config {
        stage_commands_max: 2,
        append_records_max: 1,
        recent_ids_max: 8,
        hash_seed: 3,
        ..Config::default()
    }
}
