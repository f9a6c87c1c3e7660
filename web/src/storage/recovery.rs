//! Which of the two copies is believed after a crash. Pure: the states of both copies and the marker go in, one
//! decision comes out.
//!
//! What makes the decision safe: a commit is acknowledged only after it is complete in *both* copies, and a new one
//! begins only after the one before was acknowledged. So of two undamaged copies the one that is ahead is ahead by
//! at most the one commit that was being made, and that commit is complete, its run included, because a copy counts
//! a commit only as a whole. Taking the copy that is ahead therefore loses no acknowledged commit and never shows
//! half of one. A copy that is further behind, empty or damaged has lost something, and is built anew from the other.

use super::format::Head;

/// One of the two copies of a log.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Copied {
    /// The blocks in IndexedDB.
    IndexedDb,
    /// The file of frames in the origin private file system.
    Opfs,
}

impl Copied {
    /// The name people know it by.
    pub fn name(self) -> &'static str {
        match self {
            Copied::IndexedDb => "IndexedDB",
            Copied::Opfs => "the private file system (OPFS)",
        }
    }
}

/// The commits that a copy can vouch for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Chain {
    /// After the newest commit.
    pub head: Head,
    /// Links of the newest commits, the newest last and equal to `head.link`. Never empty.
    pub links: Vec<u64>,
}

impl Chain {
    /// The chain of a copy that knows its newest two commits only.
    pub fn of_head(head: Head) -> Chain {
        Chain { head, links: vec![head.previous_link, head.link] }
    }

    /// The link after `commit`, if it is known here.
    pub fn link_after(&self, commit: u64) -> Option<u64> {
        let back = usize::try_from(self.head.commit.checked_sub(commit)?).ok()?;
        let at = self.links.len().checked_sub(back + 1)?;
        Some(self.links[at])
    }
}

/// What was found in a copy.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum CopyState {
    /// Nothing, or nothing complete.
    Empty,
    /// Commits that were checked in full.
    Valid {
        /// What the copy vouches for.
        chain: Chain,
        /// The newest commit of which there is any trace, complete or not.
        commit_seen: u64,
    },
    /// Something that cannot be what was saved.
    Damaged {
        /// Where, and what does not fit.
        what: String,
    },
}

/// What the markers remember of a log, apart from both copies.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Marker {
    /// Counts up with each change, so that of two markers the newer is known.
    pub generation: u64,
    /// What is remembered.
    pub kind: MarkerKind,
    /// The log it is about; all zero: whichever there is.
    pub epoch: [u8; 16],
    /// A commit that was saved.
    pub commit: u64,
    /// Bytes of the log after that commit.
    pub log_bytes: u64,
}

/// What a marker says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum MarkerKind {
    /// There is a log.
    Live,
    /// The log is being removed because the user asked for it.
    Resetting,
    /// The log was removed because the user asked for it.
    Reset,
}

/// What to do with the two copies.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Decision {
    /// There never was a log, or it was reset.
    Fresh,
    /// A reset was interrupted: empty both copies and finish it.
    FinishReset,
    /// Both copies are empty, although a log was saved.
    Lost {
        /// The saved commit that the marker remembers.
        commit: u64,
        /// The log's bytes then; it may have been longer at the end.
        log_bytes: u64,
    },
    /// Both copies are equal.
    Keep,
    /// One copy has the commit that was being made, the other does not: make it there too.
    Complete {
        /// The copy that is ahead.
        from: Copied,
    },
    /// One copy lost something: build it anew.
    Rebuild {
        /// The copy that is whole.
        from: Copied,
    },
    /// Acknowledged commits are missing in both copies, or the copies contradict each other: touch nothing.
    Refuse {
        /// What does not fit.
        what: String,
    },
}

/// Decides what to believe.
pub fn decide(indexed_db: &CopyState, opfs: &CopyState, marker: Option<&Marker>) -> Decision {
    if let Some(marker) = marker.filter(|marker| marker.kind == MarkerKind::Resetting)
        && [indexed_db, opfs].into_iter().all(|copy| belongs_to(copy, &marker.epoch))
    {
        return Decision::FinishReset;
    }
    let live = marker.filter(|marker| marker.kind == MarkerKind::Live);
    let decision = match (indexed_db, opfs) {
        (CopyState::Empty, CopyState::Empty) => match live {
            Some(marker) => Decision::Lost { commit: marker.commit, log_bytes: marker.log_bytes },
            None => Decision::Fresh,
        },
        (CopyState::Valid { .. }, CopyState::Empty | CopyState::Damaged { .. }) => {
            Decision::Rebuild { from: Copied::IndexedDb }
        }
        (CopyState::Empty | CopyState::Damaged { .. }, CopyState::Valid { .. }) => {
            Decision::Rebuild { from: Copied::Opfs }
        }
        (CopyState::Valid { chain: in_idb, .. }, CopyState::Valid { chain: in_opfs, .. }) => {
            compare(in_idb, in_opfs)
        }
        (CopyState::Damaged { what }, CopyState::Empty) => only_damaged(Copied::IndexedDb, what),
        (CopyState::Empty, CopyState::Damaged { what }) => only_damaged(Copied::Opfs, what),
        (CopyState::Damaged { what: in_idb }, CopyState::Damaged { what: in_opfs }) => Decision::Refuse {
            what: format!(
                "neither copy can be read: in {} {in_idb}; in {} {in_opfs}",
                Copied::IndexedDb.name(),
                Copied::Opfs.name()
            ),
        },
    };
    refuse_if_behind(decision, indexed_db, opfs, live)
}

fn compare(in_idb: &Chain, in_opfs: &Chain) -> Decision {
    if in_idb.head.epoch != in_opfs.head.epoch {
        return Decision::Refuse { what: "the two copies belong to different logs".to_owned() };
    }
    let common = in_idb.head.commit.min(in_opfs.head.commit);
    if let (Some(one), Some(other)) = (in_idb.link_after(common), in_opfs.link_after(common))
        && one != other
    {
        return Decision::Refuse { what: format!("the two copies differ at commit {common}") };
    }
    let (from, ahead) = if in_idb.head.commit >= in_opfs.head.commit {
        (Copied::IndexedDb, in_idb.head.commit - common)
    } else {
        (Copied::Opfs, in_opfs.head.commit - common)
    };
    match ahead {
        0 => Decision::Keep,
        1 => Decision::Complete { from },
        _ => Decision::Rebuild { from },
    }
}

/// The safety net below every other rule: never go on from commits fewer than were acknowledged.
fn refuse_if_behind(
    decision: Decision,
    indexed_db: &CopyState,
    opfs: &CopyState,
    live: Option<&Marker>,
) -> Decision {
    let mut best: Option<&Head> = None;
    let mut seen = 0;
    let mut why = String::new();
    for (copied, copy) in [(Copied::IndexedDb, indexed_db), (Copied::Opfs, opfs)] {
        match copy {
            CopyState::Valid { chain, commit_seen } => {
                seen = seen.max(*commit_seen);
                if best.is_none_or(|head| head.commit < chain.head.commit) {
                    best = Some(&chain.head);
                }
            }
            CopyState::Damaged { what } => why = format!("; in {} {what}", copied.name()),
            CopyState::Empty => {}
        }
    }
    let Some(best) = best else { return decision };
    // A trace of commit n proves that n - 1 was acknowledged.
    let mut acknowledged = seen.saturating_sub(1);
    if let Some(marker) = live.filter(|marker| marker.epoch == best.epoch) {
        acknowledged = acknowledged.max(marker.commit);
    }
    if best.commit >= acknowledged {
        return decision;
    }
    Decision::Refuse {
        what: format!(
            "commit {acknowledged} was saved, but the copies end after commit {} ({} bytes){why}",
            best.commit, best.log_bytes
        ),
    }
}

fn only_damaged(copy: Copied, what: &str) -> Decision {
    Decision::Refuse { what: format!("in {} {what}, and there is no other copy", copy.name()) }
}

fn belongs_to(copy: &CopyState, epoch: &[u8; 16]) -> bool {
    match copy {
        CopyState::Valid { chain, .. } => *epoch == [0; 16] || chain.head.epoch == *epoch,
        CopyState::Empty | CopyState::Damaged { .. } => true,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// `-` empty, `!` damaged, else the log's letter and its commits, each one letter; `+n` traces up to commit n;
    /// `*n` vouches for the newest n commits only. A commit's link is made of its letter and those before it.
    fn copy(text: &str) -> CopyState {
        match text {
            "-" => return CopyState::Empty,
            "!" => return CopyState::Damaged { what: "a bad byte".to_owned() },
            _ => {}
        }
        let (text, seen) = text.split_once('+').unwrap_or((text, "0"));
        let (text, known) = text.split_once('*').unwrap_or((text, "99"));
        let (log, commits) = text.split_once(':').expect("log:commits");
        let mut links = vec![0];
        for letter in commits.bytes() {
            links.push(links.last().unwrap() * 31 + u64::from(letter));
        }
        let commit = commits.len() as u64;
        let head = Head {
            epoch: [log.as_bytes()[0]; 16],
            commit,
            cuts: 0,
            cut_to: (commit - 1) * 10,
            log_bytes: commit * 10,
            link: links[commits.len()],
            previous_link: links[commits.len() - 1],
        };
        let known: usize = known.parse().unwrap();
        let skip = links.len().saturating_sub(known);
        let chain = Chain { head, links: links[skip..].to_vec() };
        CopyState::Valid { chain, commit_seen: commit.max(seen.parse().unwrap()) }
    }

    /// `-` none, else kind (live, resetting, reset), log letter (`?` any) and commit, as `live:a2`.
    fn marker(text: &str) -> Option<Marker> {
        let (kind, rest) = text.split_once(':')?;
        let kind = match kind {
            "live" => MarkerKind::Live,
            "resetting" => MarkerKind::Resetting,
            "reset" => MarkerKind::Reset,
            other => panic!("no marker kind {other}"),
        };
        let commit = rest[1..].parse().unwrap();
        let epoch = if rest.starts_with('?') { [0; 16] } else { [rest.as_bytes()[0]; 16] };
        Some(Marker { generation: 1, kind, epoch, commit, log_bytes: commit * 10 })
    }

    fn word(decision: Decision) -> String {
        match decision {
            Decision::Fresh => "fresh".to_owned(),
            Decision::FinishReset => "finish reset".to_owned(),
            Decision::Lost { commit, log_bytes } => format!("lost {commit} {log_bytes}"),
            Decision::Keep => "keep".to_owned(),
            Decision::Complete { from: Copied::IndexedDb } => "complete from idb".to_owned(),
            Decision::Complete { from: Copied::Opfs } => "complete from opfs".to_owned(),
            Decision::Rebuild { from: Copied::IndexedDb } => "rebuild from idb".to_owned(),
            Decision::Rebuild { from: Copied::Opfs } => "rebuild from opfs".to_owned(),
            Decision::Refuse { what } => format!("refuse: {what}"),
        }
    }

    #[test]
    fn every_pair_of_copies_has_one_answer() {
        // IndexedDB | OPFS | marker | decision
        let table = "
            -      | -      | -            | fresh
            -      | -      | reset:a3     | fresh
            -      | -      | live:a3      | lost 3 30
            a:x    | a:x    | -            | keep
            a:xyz  | a:xyz  | live:a2      | keep
            a:xyz  | a:xyz  | live:b9      | keep
            a:xyz  | a:xy   | live:a2      | complete from idb
            a:xy   | a:xyz  | live:a2      | complete from opfs
            a:x    | -      | -            | rebuild from idb
            -      | a:x    | -            | rebuild from opfs
            a:xyz  | a:xyz+4| live:a3      | keep
            a:xyz  | a:x    | live:a2      | rebuild from idb
            a:x    | a:xyz  | live:a2      | rebuild from opfs
            a:x    | a:xyzw*2 | -          | rebuild from opfs
            a:xyz  | -      | live:a3      | rebuild from idb
            -      | a:xyz  | live:a3      | rebuild from opfs
            -      | a:xyz+4| live:a3      | rebuild from opfs
            a:xyz  | !      | live:a3      | rebuild from idb
            !      | a:xyz  | live:a3      | rebuild from opfs
            a:xyzwv| a:xy+5 | live:a3      | rebuild from idb
            a:xyzw | a:xy+5 | live:a3      | rebuild from idb
            a:xyz  | a:xy+5 | -            | refuse: commit 4 was saved, but the copies end after commit 3 (30 bytes)
            -      | a:xy+4 | -            | refuse: commit 3 was saved, but the copies end after commit 2 (20 bytes)
            -      | a:xy   | live:a3      | refuse: commit 3 was saved, but the copies end after commit 2 (20 bytes)
            a:xy   | a:xy   | live:a3      | refuse: commit 3 was saved, but the copies end after commit 2 (20 bytes)
            !      | a:xy+4 | -            | refuse: commit 3 was saved, but the copies end after commit 2 (20 bytes); in IndexedDB a bad byte
            a:xyz  | a:xyw  | -            | refuse: the two copies differ at commit 3
            a:xyzv | a:xyw  | -            | refuse: the two copies differ at commit 3
            a:xyz  | a:xwvu | -            | refuse: the two copies differ at commit 3
            a:xyz  | b:xyz  | -            | refuse: the two copies belong to different logs
            !      | -      | -            | refuse: in IndexedDB a bad byte, and there is no other copy
            -      | !      | live:a3      | refuse: in the private file system (OPFS) a bad byte, and there is no other copy
            !      | !      | -            | refuse: neither copy can be read: in IndexedDB a bad byte; in the private file system (OPFS) a bad byte
            a:xyz  | a:xyz  | resetting:a3 | finish reset
            a:xyz  | -      | resetting:a3 | finish reset
            -      | a:xyz  | resetting:a3 | finish reset
            -      | -      | resetting:a3 | finish reset
            !      | a:xyz  | resetting:a3 | finish reset
            a:xyz  | b:x    | resetting:?0 | finish reset
            b:x    | b:x    | resetting:a3 | keep
            b:x    | -      | resetting:a3 | rebuild from idb
        ";
        for line in table.lines().map(str::trim).filter(|line| !line.is_empty()) {
            let parts: Vec<&str> = line.split('|').map(str::trim).collect();
            let decision = decide(&copy(parts[0]), &copy(parts[1]), marker(parts[2]).as_ref());
            assert_eq!(word(decision), parts[3], "{line}");
        }
    }
}
