//! How much an answer promises.

/// What an append must have come to before its commands are answered.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Durability {
    /// It is on the disk: `fdatasync` returned. What was answered survives the loss of power.
    #[default]
    Synced,
    /// The system has it. What was answered survives the end of the process, but the loss of power takes the last
    /// seconds away, and perhaps leaves a hole; the log is synced when it is opened and when it is closed. Seals do not
    /// call durable what was not synced.
    Written,
    /// The log is kept in memory alone: no directory, no file, no lock. Nothing survives the process.
    Memory,
}

impl Durability {
    /// As it is called in settings, `/stats` and `/health`.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Durability::Synced => "synced",
            Durability::Written => "written",
            Durability::Memory => "memory",
        }
    }

    /// What is lost if the worst happens, for people; `None` if nothing that was answered is.
    #[must_use]
    pub fn warning(self) -> Option<&'static str> {
        match self {
            Durability::Synced => None,
            Durability::Written => {
                Some("durability is `written`: what was answered last is lost if the machine loses power")
            }
            Durability::Memory => Some(
                "durability is `memory`: nothing is kept on a disk, and everything is lost when the process ends",
            ),
        }
    }
}
