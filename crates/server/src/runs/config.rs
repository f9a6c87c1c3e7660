//! The limits of runs.

/// How runs are laid out and merged. The layout is written into each file, so runs of other settings stay readable.
#[derive(Clone, Debug)]
pub struct RunsConfig {
    /// Bytes of a block, which is what is read and checked at once: a multiple of 16 from 32 to 65,536.
    pub block_bytes: u32,
    /// Neighbours of one level that become one run of the next level; 2 or more.
    pub merge_fan_out: u32,
    /// Ids or entries that a merged run holds at most, at most 2^32 - 1; larger ones are not made. Merging one needs its
    /// size on disk again (18.4 bytes an id, 16.1 an entry) until the runs that went into it are removed.
    pub merged_cells_max: u64,
    /// Ids in one part of a filter, about; a part is built at once, with 30 bytes an id of temporary memory.
    pub filter_part_ids_max: u32,
    /// Bytes written between syncs, so that no sync of a large run keeps the disk from the log for long.
    pub sync_every_bytes: u64,
    /// Bytes that merging reads at once from each run.
    pub merge_read_bytes: u32,
    /// Which bits of a hash count. All of them, but in tests that want ids to collide.
    pub(super) hash_mask: u64,
}

impl Default for RunsConfig {
    fn default() -> RunsConfig {
        RunsConfig {
            block_bytes: 4_096,
            merge_fan_out: 4,
            merged_cells_max: 1 << 28,
            filter_part_ids_max: 1 << 18,
            sync_every_bytes: 8 << 20,
            merge_read_bytes: 128 << 10,
            hash_mask: u64::MAX,
        }
    }
}

impl RunsConfig {
    /// Panics on settings that cannot work: they come from code, not from outside.
    pub(super) fn check(&self) {
        assert!(super::block::is_block_size(self.block_bytes), "{} bytes are no block", self.block_bytes);
        assert!(self.merge_fan_out >= 2, "merging takes two runs or more");
        assert!(self.merged_cells_max <= u64::from(u32::MAX), "a run's cells are counted by 32 bits");
        assert!(self.filter_part_ids_max > 0 && self.sync_every_bytes > 0, "limits of 0 allow nothing");
    }
}
