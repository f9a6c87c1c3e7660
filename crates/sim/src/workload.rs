//! What generated clients ask for.

use std::collections::VecDeque;

use ledger::{AccountName, Asset, Command, TransactionId};
use time::Timestamp;

use crate::options::{Options, account_name};
use crate::rng::{Rng, Stream};
use crate::zipf::Zipf;

mod two_phase;

use two_phase::{Pending, change_body};

/// Draws commands from the seed. First every account is opened; everything else waits until all openings are answered.
#[derive(Clone, Debug)]
pub(crate) struct Generator {
    rng: Rng,
    zipf: Zipf,
    asset: Asset,
    openings_drawn: u32,
    openings_answered: u32,
    openings: u32,
    bad_drawn: u64,
    /// Commands that have an outcome, to be sent again.
    answered: VecDeque<Command>,
    /// Pending transfers that have an outcome, to be posted or voided.
    pendings: VecDeque<Pending>,
}

/// A command and what its client may be told.
#[derive(Clone, Debug)]
pub(crate) struct Drawn {
    pub(crate) command: Command,
    pub(crate) expected: Expected,
}

/// What a client may be told.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Expected {
    /// An outcome.
    Outcome,
    /// That the id is taken by another body.
    Conflict,
}

/// What comes of asking for the next command.
#[derive(Clone, Debug)]
pub(crate) enum Draw {
    /// This one.
    Command(Drawn),
    /// Nothing until the openings that are on their way are answered.
    Wait,
}

/// Answered commands that are remembered for repeats.
const ANSWERED_MAX: usize = 256;
/// Ways in which a command is bad.
const BAD_KINDS: u64 = 10;

impl Generator {
    pub(crate) fn new(options: &Options) -> Generator {
        let asset: Asset = options.asset.parse().expect("options are validated");
        Generator {
            rng: Rng::new(options.seed, Stream::Workload),
            zipf: Zipf::new(options.accounts, options.zipf_exponent_per_mille),
            asset,
            openings_drawn: 0,
            openings_answered: 0,
            // One more account, of another asset, to be wrongly paid to.
            openings: options.accounts + u32::from(options.bad_commands_per_mille > 0),
            bad_drawn: 0,
            answered: VecDeque::new(),
            pendings: VecDeque::new(),
        }
    }

    /// The next command.
    pub(crate) fn draw(&mut self, options: &Options, now: Timestamp) -> Draw {
        if self.openings_drawn < self.openings {
            let command = self.opening(options, self.openings_drawn);
            self.openings_drawn += 1;
            return Draw::Command(Drawn { command, expected: Expected::Outcome });
        }
        if self.openings_answered < self.openings {
            return Draw::Wait;
        }
        Draw::Command(self.draw_command(options, now))
    }

    /// A command of [`Generator::draw`] has an outcome. Says whether this was the last opening.
    pub(crate) fn answered(&mut self, command: Command) -> bool {
        if let Command::OpenAccount { .. } = command {
            self.openings_answered += 1;
            return self.openings_answered == self.openings;
        }
        if self.answered.len() == ANSWERED_MAX {
            self.answered.pop_front();
        }
        for member in command.members() {
            self.pendings.extend(Pending::of(member));
        }
        while self.pendings.len() > ANSWERED_MAX {
            self.pendings.pop_front();
        }
        self.answered.push_back(command);
        false
    }

    /// The opening of an account of the workload; the last one is of another asset.
    fn opening(&self, options: &Options, number: u32) -> Command {
        let regular = number < options.accounts;
        Command::OpenAccount {
            account: if regular { account_name(number) } else { elsewhere() },
            asset: if regular { self.asset.clone() } else { other_asset(&self.asset) },
            scale: options.scale,
            floor: None,
            opening_balance: if regular { options.opening_balance } else { 0 },
        }
    }

    fn draw_command(&mut self, options: &Options, now: Timestamp) -> Drawn {
        let shares = [
            options.duplicates_per_mille,
            options.deposits_per_mille,
            options.withdrawals_per_mille,
            options.bad_commands_per_mille,
            options.pending_per_mille,
            options.linked_per_mille,
            options.floors_per_mille,
        ];
        let mut share = self.rng.below(1_000);
        let kind = shares.iter().position(|width| match share.checked_sub(u64::from(*width)) {
            Some(rest) => {
                share = rest;
                false
            }
            None => true,
        });
        let outcome = |command| Drawn { command, expected: Expected::Outcome };
        match kind {
            Some(0) if !self.answered.is_empty() => {
                let at = self.rng.below(self.answered.len() as u64);
                outcome(self.answered[usize::try_from(at).expect("below 256")].clone())
            }
            Some(1) => {
                let (transaction_id, amount) = (self.id(now), self.amount(options));
                outcome(Command::Deposit { transaction_id, account: self.account(), amount, metadata: None })
            }
            Some(2) => {
                let (transaction_id, amount) = (self.id(now), self.amount(options));
                outcome(Command::Withdrawal {
                    transaction_id,
                    account: self.account(),
                    amount,
                    metadata: None,
                })
            }
            Some(3) => self.bad(options, now),
            Some(4) => outcome(self.two_phase(options, now)),
            Some(5) => outcome(self.linked(options, now)),
            Some(6) => outcome(self.set_floor(now)),
            _ => outcome(self.transfer(options, now)),
        }
    }

    fn transfer(&mut self, options: &Options, now: Timestamp) -> Command {
        let transaction_id = self.id(now);
        let from = self.zipf.draw(&mut self.rng);
        let to = self.zipf.draw(&mut self.rng);
        // A transfer to oneself is a bad command; those are drawn on purpose.
        let to = if to == from { (to + 1) % options.accounts } else { to };
        let amount = self.amount(options);
        Command::Transfer {
            transaction_id,
            from_account: account_name(from),
            to_account: account_name(to),
            amount,
            metadata: None,
        }
    }

    /// One kind of bad command after the other, so that a run has all of them.
    fn bad(&mut self, options: &Options, now: Timestamp) -> Drawn {
        self.bad_drawn += 1;
        let kind = self.bad_drawn % BAD_KINDS;
        let repeated = self.answered.back().cloned();
        if let (0, Some(mut command)) = (kind, repeated) {
            change_body(&mut command);
            return Drawn { command, expected: Expected::Conflict };
        }
        let mut command = self.transfer(options, now);
        if let Command::Transfer { transaction_id, from_account, to_account, amount, .. } = &mut command {
            match kind {
                1 => *amount = 0,
                2 => *amount = -*amount,
                3 => *to_account = from_account.clone(),
                4 => *to_account = AccountName::world(&self.asset),
                5 => *from_account = "nobody".parse().expect("a name"),
                6 => *to_account = "nobody".parse().expect("a name"),
                7 => *to_account = elsewhere(),
                8 => {
                    let (transaction_id, account) = (*transaction_id, from_account.clone());
                    command = Command::Deposit { transaction_id, account, amount: i64::MAX, metadata: None };
                }
                _ => *amount = i64::MAX / 4,
            }
        }
        Drawn { command, expected: Expected::Outcome }
    }

    fn account(&mut self) -> AccountName {
        account_name(self.zipf.draw(&mut self.rng))
    }

    fn amount(&mut self, options: &Options) -> i64 {
        let max = u64::try_from(options.amount_max).unwrap_or(1);
        i64::try_from(self.rng.between(1, max)).unwrap_or(1)
    }

    /// A UUID of version 7: the virtual time in milliseconds, then random bits.
    fn id(&mut self, now: Timestamp) -> TransactionId {
        let mut bytes = [0; 16];
        bytes[..8].copy_from_slice(&((now.micros() / 1_000) << 16).to_be_bytes());
        bytes[6..8].copy_from_slice(&self.rng.bits().to_be_bytes()[..2]);
        bytes[8..].copy_from_slice(&self.rng.bits().to_be_bytes());
        bytes[6] = 0x70 | (bytes[6] & 0x0f);
        bytes[8] = 0x80 | (bytes[8] & 0x3f);
        TransactionId::from_bytes(bytes)
    }
}

/// The account of another asset.
fn elsewhere() -> AccountName {
    "elsewhere".parse().expect("a name")
}

fn other_asset(asset: &Asset) -> Asset {
    let other = if asset.as_str() == "XTS" { "XXX" } else { "XTS" };
    other.parse().expect("an asset code")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn draws(options: &Options, count: usize) -> Vec<Drawn> {
        let mut generator = Generator::new(options);
        let mut drawn = Vec::new();
        while drawn.len() < count {
            match generator.draw(options, Timestamp::ZERO) {
                Draw::Command(next) => {
                    generator.answered(next.command.clone());
                    drawn.push(next);
                }
                Draw::Wait => panic!("every opening is answered at once"),
            }
        }
        drawn
    }

    #[test]
    fn openings_come_first_and_the_rest_waits_for_their_answers() {
        let options = Options { accounts: 2, ..Options::default() };
        let mut generator = Generator::new(&options);
        let mut openings = Vec::new();
        while let Draw::Command(drawn) = generator.draw(&options, Timestamp::ZERO) {
            openings.push(drawn.command);
        }
        assert_eq!(openings.len(), 3, "two accounts, and one of another asset");
        let last: Vec<bool> = openings.into_iter().map(|opening| generator.answered(opening)).collect();
        assert_eq!(last, [false, false, true]);
        assert!(matches!(generator.draw(&options, Timestamp::ZERO), Draw::Command(_)));
    }

    #[test]
    fn shares_are_kept_and_ids_are_version_7() {
        let options = Options {
            accounts: 10,
            duplicates_per_mille: 100,
            deposits_per_mille: 100,
            withdrawals_per_mille: 100,
            bad_commands_per_mille: 100,
            ..Options::default()
        };
        let drawn = draws(&options, 20_000);
        let count = |is: fn(&Command) -> bool| drawn.iter().filter(|drawn| is(&drawn.command)).count();
        let deposits = count(|command| matches!(command, Command::Deposit { .. }));
        let withdrawals = count(|command| matches!(command, Command::Withdrawal { .. }));
        // Repeats and conflicts are deposits and withdrawals now and then, too.
        assert!((2_000..2_800).contains(&deposits) && (1_900..2_600).contains(&withdrawals));
        let conflicts = drawn.iter().filter(|drawn| drawn.expected == Expected::Conflict).count();
        assert!((170..230).contains(&conflicts), "{conflicts}");
        for drawn in &drawn {
            if let Command::Transfer { transaction_id, .. } = &drawn.command {
                assert_eq!(&transaction_id.to_string()[14..15], "7");
            }
        }
    }
}
