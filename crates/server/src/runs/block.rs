//! Cells of 16 bytes in blocks with a checksum each.

use std::fs::File;
use std::os::unix::fs::FileExt;
use std::path::Path;
use std::sync::Arc;

use super::error::{RunDamaged, RunsError};
use super::writer::RunWriter;
use super::{to_usize, u32_at, u64_at};

/// Two numbers; what they are depends on the section.
pub(super) type Cell = (u64, u64);

const CELL_BYTES: usize = 16;
/// Bytes read at once to look at every block of a run.
pub(super) const CHECK_READ_BYTES: u32 = 1 << 20;
/// Behind the cells of a block: its number, how many cells it has, the run's tag, and the checksum of all before it.
const TAIL_BYTES: usize = 16;

/// Has such a block room for a cell and its tail, and do cells fill it?
pub(super) fn is_block_size(bytes: u32) -> bool {
    bytes.is_multiple_of(16) && (32..=65_536).contains(&bytes)
}

/// How cells are spread over blocks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct BlockShape {
    block_bytes: u32,
}

impl BlockShape {
    pub(super) fn new(block_bytes: u32) -> BlockShape {
        BlockShape { block_bytes }
    }

    pub(super) fn block_bytes(self) -> u32 {
        self.block_bytes
    }

    /// Cells in a full block; only the last block of a section has fewer.
    pub(super) fn block_cells(self) -> u64 {
        u64::from(self.block_bytes) / CELL_BYTES as u64 - 1
    }

    /// Blocks that so many cells take.
    pub(super) fn blocks(self, cells: u64) -> u64 {
        cells.div_ceil(self.block_cells())
    }

    /// Bytes that so many cells take, below 2^32 of them.
    pub(super) fn bytes(self, cells: u64) -> u64 {
        self.blocks(cells) * u64::from(self.block_bytes)
    }
}

/// The blocks of one kind in a run.
#[derive(Debug)]
pub(super) struct Section {
    pub(super) file: Arc<File>,
    pub(super) path: Arc<Path>,
    pub(super) at_byte: u64,
    pub(super) cells: u64,
    pub(super) shape: BlockShape,
    pub(super) tag: u32,
}

impl Section {
    /// Reads a number of blocks at once, at least one, all of them in the section, and checks each.
    fn read(&self, first: u64, blocks: u64, buffer: &mut Vec<u8>) -> Result<(), RunDamaged> {
        let block_bytes = self.shape.block_bytes as usize;
        let at_byte = self.at_byte + first * block_bytes as u64;
        buffer.resize(to_usize(blocks) * block_bytes, 0);
        let read = self.file.read_exact_at(buffer, at_byte);
        read.map_err(|error| RunDamaged::new(&self.path, at_byte, format!("cannot read a block: {error}")))?;
        for (number, block) in (first..).zip(buffer.chunks_exact(block_bytes)) {
            self.check(number, block)?;
        }
        Ok(())
    }

    fn check(&self, number: u64, block: &[u8]) -> Result<(), RunDamaged> {
        let bad = |what| {
            Err(RunDamaged::new(
                &self.path,
                self.at_byte + number * block.len() as u64,
                format!("block {number} {what}"),
            ))
        };
        let tail = block.len() - TAIL_BYTES;
        if crc32c::crc32c(&block[..tail + 12]) != u32_at(block, tail + 12) {
            return bad("has a wrong checksum");
        }
        let is_here = u64::from(u32_at(block, tail)) == number
            && u64::from(u32_at(block, tail + 4)) == self.cells_of(number)
            && u32_at(block, tail + 8) == self.tag;
        if is_here { Ok(()) } else { bad("is of another place or another run") }
    }

    fn cells_of(&self, block: u64) -> u64 {
        (self.cells - block * self.shape.block_cells()).min(self.shape.block_cells())
    }
}

/// Reads cells of a section by their number, and keeps the block it read last.
#[derive(Debug)]
pub(super) struct CellReader<'a> {
    section: &'a Section,
    buffer: Vec<u8>,
    loaded: Option<u64>,
    /// Blocks that were read.
    pub(super) reads: u64,
}

impl<'a> CellReader<'a> {
    pub(super) fn new(section: &'a Section) -> CellReader<'a> {
        CellReader { section, buffer: Vec::new(), loaded: None, reads: 0 }
    }

    /// The cell with this number, which is in the section.
    pub(super) fn cell(&mut self, number: u64) -> Result<Cell, RunDamaged> {
        let block_cells = self.section.shape.block_cells();
        let block = number / block_cells;
        if self.loaded != Some(block) {
            self.loaded = None;
            self.reads += 1;
            self.section.read(block, 1, &mut self.buffer)?;
            self.loaded = Some(block);
        }
        Ok(cell_at(&self.buffer, to_usize(number % block_cells)))
    }

    /// How many cells from `first` up to `end` come before the one that `is_before` is false for; it is true for the cells
    /// in front of that one and for none behind it.
    pub(super) fn count_before(
        &mut self,
        first: u64,
        end: u64,
        is_before: impl Fn(&Cell) -> bool,
    ) -> Result<u64, RunDamaged> {
        let (mut low, mut high) = (first, end);
        while low < high {
            let middle = low.midpoint(high);
            if is_before(&self.cell(middle)?) {
                low = middle + 1;
            } else {
                high = middle;
            }
        }
        Ok(low - first)
    }
}

/// All cells of a section in order, some blocks at a time.
#[derive(Debug)]
pub(super) struct CellStream<'a> {
    section: &'a Section,
    /// Blocks read at once.
    stride: u64,
    buffer: Vec<u8>,
    /// Where in the buffer the next cell is.
    at: usize,
    /// Where in the buffer the cells of this block end.
    block_end: usize,
    next_block: u64,
    /// Cells in blocks that were not come to.
    left: u64,
}

impl<'a> CellStream<'a> {
    pub(super) fn new(section: &'a Section, read_bytes: u32) -> CellStream<'a> {
        let stride = u64::from((read_bytes / section.shape.block_bytes).max(1));
        CellStream {
            section,
            stride,
            buffer: Vec::new(),
            at: 0,
            block_end: 0,
            next_block: 0,
            left: section.cells,
        }
    }

    /// The next cell; `None` behind the last one.
    pub(super) fn next(&mut self) -> Result<Option<Cell>, RunDamaged> {
        if self.at == self.block_end && !self.begin_block()? {
            return Ok(None);
        }
        let cell = cell_at(&self.buffer[self.at..], 0);
        self.at += CELL_BYTES;
        Ok(Some(cell))
    }

    /// Goes to the next block, if there is one.
    fn begin_block(&mut self) -> Result<bool, RunDamaged> {
        if self.left == 0 {
            return Ok(false);
        }
        let shape = self.section.shape;
        let in_buffer = self.next_block % self.stride;
        if in_buffer == 0 {
            let blocks = self.stride.min(shape.blocks(self.left));
            self.section.read(self.next_block, blocks, &mut self.buffer)?;
        }
        let cells = self.left.min(shape.block_cells());
        self.at = to_usize(in_buffer) * shape.block_bytes as usize;
        self.block_end = self.at + to_usize(cells) * CELL_BYTES;
        self.next_block += 1;
        self.left -= cells;
        Ok(true)
    }
}

/// Fills the blocks of a section.
#[derive(Debug)]
pub(super) struct BlockWriter {
    shape: BlockShape,
    tag: u32,
    block: Vec<u8>,
    /// Cells in the block.
    cells: u32,
    /// Blocks in front of it.
    blocks: u32,
}

impl BlockWriter {
    pub(super) fn new(shape: BlockShape, tag: u32) -> BlockWriter {
        BlockWriter { shape, tag, block: Vec::with_capacity(shape.block_bytes as usize), cells: 0, blocks: 0 }
    }

    /// Will the next cell be the first one of a block?
    pub(super) fn is_at_border(&self) -> bool {
        self.cells == 0
    }

    pub(super) fn push(&mut self, (one, two): Cell, out: &mut RunWriter) -> Result<(), RunsError> {
        self.block.extend(one.to_le_bytes());
        self.block.extend(two.to_le_bytes());
        self.cells += 1;
        if u64::from(self.cells) == self.shape.block_cells() { self.flush(out) } else { Ok(()) }
    }

    /// Ends the section: what is begun is filled up with zeros.
    pub(super) fn finish(mut self, out: &mut RunWriter) -> Result<(), RunsError> {
        if self.cells == 0 { Ok(()) } else { self.flush(out) }
    }

    fn flush(&mut self, out: &mut RunWriter) -> Result<(), RunsError> {
        self.block.resize(self.shape.block_bytes as usize - TAIL_BYTES, 0);
        for number in [self.blocks, self.cells, self.tag] {
            self.block.extend(number.to_le_bytes());
        }
        self.block.extend(crc32c::crc32c(&self.block).to_le_bytes());
        self.blocks += 1;
        self.cells = 0;
        out.write(&self.block)?;
        self.block.clear();
        Ok(())
    }
}

fn cell_at(block: &[u8], number: usize) -> Cell {
    (u64_at(block, number * CELL_BYTES), u64_at(block, number * CELL_BYTES + 8))
}
