//! A log cut at every byte.

use std::fs;

use journal::{Decoder, Item, TailSearch, Verdict};
use ledger::Digest;
use pipeline::{Recovery, Replay};
use server::files::FileJournal;

use super::harness::{Files, accounts_csv, check_invariants, digests, log_path, transfers_csv, walletlab};

/// The log of a run of the binary with 1,000 transfers.
fn log() -> Vec<u8> {
    let files = Files::new();
    let accounts = files.write("accounts.csv", accounts_csv(20, "10.00"));
    let transfers = files.write("transfers.csv", transfers_csv(20, 1_000));
    let data = files.text("data");
    walletlab(&["run", "--accounts", &accounts, "--transfers", &transfers, "--data", &data, "--batch", "32"])
        .exits(0);
    fs::read(files.log("data")).expect("read")
}

/// Where the frames of a log begin, and where the last ends, each with the records before it.
fn borders(log: &[u8]) -> Vec<(u64, u64)> {
    let mut decoder = Decoder::new();
    decoder.push(log);
    let mut borders = vec![(0, 0)];
    while decoder.next().expect("a good log").is_some() {
        borders.push((decoder.position(), decoder.next_sequence()));
    }
    borders
}

#[test]
fn a_log_cut_at_every_byte_keeps_an_exact_prefix_of_its_records() {
    let log = log();
    let (borders, digests) = (borders(&log), digests(&log));
    assert_eq!(digests.len(), 1_021);

    // Every byte: the decoder, the judgement of the tail, and the ledger grow along with the log.
    let (mut decoder, mut replay) = (Decoder::new(), Replay::new(1));
    let mut border = 0;
    for cut in 0..=log.len() {
        if cut > 0 {
            let byte = &log[cut - 1..cut];
            decoder.push(byte);
            while let Some(item) = decoder.next().expect("a prefix of a good log") {
                border += 1;
                let _: Item<'_> = item;
            }
            replay.push(byte, |_| std::ops::ControlFlow::Continue(())).expect("a prefix of a good log");
        }
        let (at_byte, records) = borders[border];
        assert_eq!((decoder.position(), replay.next_sequence()), (at_byte, records), "cut at {cut}");
        assert_eq!(replay.ledger().digest(), digests[index(records)], "cut at {cut}");
        check_verdict(&decoder, cut as u64, at_byte, records);
        if cut as u64 == at_byte {
            check_invariants(replay.ledger());
        }
    }
    assert_eq!(border + 1, borders.len());
}

/// What is decided about the log if it ends here.
fn check_verdict(decoder: &Decoder, cut: u64, at_byte: u64, records: u64) {
    let mut decoder = decoder.clone();
    let Err(damage) = decoder.finish() else {
        assert!(cut == at_byte && cut > 0, "only a whole log ends without damage, not at {cut}");
        return;
    };
    let mut search = TailSearch::new(&damage);
    search.push(decoder.undecoded());
    let torn = match search.finish() {
        Verdict::TornTail(torn) if at_byte > 0 => torn,
        Verdict::TornCreation(torn) if at_byte == 0 => torn,
        verdict => panic!("cut at {cut}: {verdict:?}"),
    };
    assert_eq!((torn.cut_at_byte, torn.bytes_cut, torn.next_sequence), (at_byte, cut - at_byte, records));
}

#[test]
fn a_cut_log_recovers_whole_with_its_read_models() {
    let log = log();
    let (borders, digests) = (borders(&log), digests(&log));
    for cut in (0..log.len()).step_by(67).chain(log.len() - 200..=log.len()) {
        let recovered = recover(&log[..cut]);
        let (at_byte, records) = last_border(&borders, cut);
        assert_eq!(recovered.0, records, "cut at {cut}");
        assert_eq!(recovered.1, digests[index(records)], "cut at {cut}");
        assert_eq!(recovered.2, (at_byte != cut as u64 || cut == 0).then_some(at_byte), "cut at {cut}");
    }
}

/// The records, the digest and where the log is to be cut.
fn recover(log: &[u8]) -> (u64, Digest, Option<u64>) {
    let mut recovery = Recovery::new(2);
    recovery.push(log, |_| {}).expect("a prefix of a good log");
    let recovered = recovery.finish().expect("a torn tail is no corruption");
    check_invariants(&recovered.ledger);
    for (index, account) in (0..).zip(recovered.ledger.accounts()) {
        assert_eq!(recovered.projections.balances.row(ledger::AccountIndex(index)).posted, account.posted);
    }
    (
        recovered.projections.checkpoint(),
        recovered.ledger.digest(),
        recovered.cut.map(|torn| torn.cut_at_byte),
    )
}

#[test]
fn a_cut_file_is_opened_cut_and_goes_on() {
    let log = log();
    let (borders, digests) = (borders(&log), digests(&log));
    let files = Files::new();
    let accounts = files.write("accounts.csv", accounts_csv(20, "10.00"));
    let transfers = files.write("transfers.csv", transfers_csv(20, 1_000));
    for cut in [1, 127, 128, 129, log.len() / 3, log.len() / 2, log.len() - 77, log.len() - 1] {
        let name = format!("cut-{cut}");
        let directory = files.path(&name);
        fs::create_dir(&directory).expect("made");
        fs::write(log_path(&directory), &log[..cut]).expect("written");
        let (at_byte, records) = last_border(&borders, cut);
        {
            let opened = FileJournal::open(&directory, 0).expect("opened");
            assert_eq!(opened.recovered.ledger.digest(), digests[index(records)]);
            assert_eq!(opened.cut.is_some(), at_byte != cut as u64);
        }
        let kept = fs::read(log_path(&directory)).unwrap_or_default();
        assert_eq!(kept, log[..index(at_byte)], "cut at {cut}");
        let data = files.text(&name);
        let run = ["run", "--accounts", &accounts, "--transfers", &transfers, "--data", &data, "--json"];
        let report = walletlab(&run).exits(0).json();
        assert_eq!(report["digest"], digests[1_020].to_string());
        assert_eq!(report["this_run"]["repeats"], records);
        walletlab(&["verify", &data]).exits(0);
    }
}

fn last_border(borders: &[(u64, u64)], cut: usize) -> (u64, u64) {
    borders[borders.partition_point(|(at_byte, _)| *at_byte <= cut as u64) - 1]
}

fn index(number: u64) -> usize {
    usize::try_from(number).expect("a small log")
}
