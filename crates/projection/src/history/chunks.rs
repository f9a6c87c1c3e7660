//! A vector that only grows and whose clones share all full chunks.

use alloc::{sync::Arc, vec::Vec};

/// How many nodes or chunks hang below one node.
const FAN_OUT: u32 = 32;

/// An append-only vector: a tail of at most `CHUNK` elements, and full chunks in a tree of shared nodes.
///
/// A clone copies the tail and one pointer. A push is O(1) amortised, a look-up O(log n) with base 32. Clones diverge: a
/// push copies at most one node on each level of the tree if a clone still shares them, and never a full chunk. There is
/// no way to change or to remove an element.
#[derive(Clone, Debug)]
pub struct Chunks<T, const CHUNK: usize = 1024> {
    tail: Vec<T>,
    /// Holds chunks `0..full_count`; `None` while there are none.
    root: Option<Arc<Node<T>>>,
    /// Levels of inner nodes below the root: 0 if the root holds chunks.
    height: u32,
    full_count: u32,
}

#[derive(Debug)]
enum Node<T> {
    Inner(Vec<Arc<Node<T>>>),
    Leaf(Vec<Arc<Vec<T>>>),
}

impl<T> Clone for Node<T> {
    /// Copies pointers, never elements.
    fn clone(&self) -> Node<T> {
        match self {
            Node::Inner(nodes) => Node::Inner(nodes.clone()),
            Node::Leaf(chunks) => Node::Leaf(chunks.clone()),
        }
    }
}

impl<T: Clone, const CHUNK: usize> Chunks<T, CHUNK> {
    /// No elements.
    pub const fn new() -> Self {
        const { assert!(CHUNK > 0 && CHUNK <= 1 << 20, "a chunk has a sensible number of elements") };
        Chunks { tail: Vec::new(), root: None, height: 0, full_count: 0 }
    }

    /// How many elements there are.
    pub fn len(&self) -> u32 {
        self.full_count * Self::chunk() + small(self.tail.len())
    }

    /// Are there none?
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Appends an element and returns its number.
    ///
    /// # Panics
    /// If there are `u32::MAX` elements.
    pub fn push(&mut self, element: T) -> u32 {
        let number = self.len();
        assert!(number < u32::MAX, "history holds at most {} rows", u32::MAX);
        if self.tail.capacity() == self.tail.len() {
            // Grown by hand, because a full tail becomes a chunk as it is and must not carry spare room.
            let more = self.tail.len().max(4).min(CHUNK - self.tail.len());
            self.tail.reserve_exact(more);
        }
        self.tail.push(element);
        if self.tail.len() == CHUNK {
            let full = core::mem::take(&mut self.tail);
            self.push_chunk(Arc::new(full));
        }
        number
    }

    /// The element with this number, if there is one.
    pub fn at(&self, number: u32) -> Option<&T> {
        let (chunk, within) = (number / Self::chunk(), (number % Self::chunk()) as usize);
        if chunk >= self.full_count {
            return if chunk == self.full_count { self.tail.get(within) } else { None };
        }
        let mut node = self.root.as_deref()?;
        let mut level = self.height;
        loop {
            let slot = slot(chunk, level);
            match node {
                Node::Inner(nodes) => node = &nodes[slot],
                Node::Leaf(chunks) => return chunks[slot].get(within),
            }
            level = level.saturating_sub(1);
        }
    }

    /// All elements, in order.
    pub fn iter(&self) -> impl DoubleEndedIterator<Item = &T> + ExactSizeIterator {
        (0..self.len()).map(|number| self.at(number).expect("every number below the length has an element"))
    }

    /// How many elements a clone copies: those of the tail, less than `CHUNK`, however many there are in all.
    pub fn clone_cost(&self) -> u64 {
        self.tail.len() as u64
    }

    fn chunk() -> u32 {
        small(CHUNK)
    }

    fn push_chunk(&mut self, chunk: Arc<Vec<T>>) {
        let number = self.full_count;
        self.full_count += 1;
        let Some(root) = &mut self.root else {
            self.root = Some(Arc::new(Node::Leaf(alloc::vec![chunk])));
            return;
        };
        // A tree of this height is full: the old root becomes the first child of a new one.
        if u64::from(number) == u64::from(FAN_OUT).pow(self.height + 1) {
            let old = root.clone();
            *root = Arc::new(Node::Inner(alloc::vec![old]));
            self.height += 1;
        }
        let mut node = Arc::make_mut(root);
        let mut level = self.height;
        loop {
            match node {
                Node::Leaf(chunks) => return chunks.push(chunk),
                Node::Inner(nodes) => {
                    if slot(number, level) == nodes.len() {
                        nodes.push(Arc::new(if level == 1 {
                            Node::Leaf(Vec::new())
                        } else {
                            Node::Inner(Vec::new())
                        }));
                    }
                    node = Arc::make_mut(nodes.last_mut().expect("a node was there or was just pushed"));
                }
            }
            level -= 1;
        }
    }
}

impl<T: Clone, const CHUNK: usize> Default for Chunks<T, CHUNK> {
    fn default() -> Self {
        Chunks::new()
    }
}

/// Which child leads to a chunk, at a level counted from the leaves.
fn slot(chunk: u32, level: u32) -> usize {
    ((chunk / FAN_OUT.pow(level)) % FAN_OUT) as usize
}

fn small(count: usize) -> u32 {
    u32::try_from(count).expect("a chunk has at most 2^20 elements")
}

#[cfg(test)]
mod tests {
    use std::vec;

    use proptest::prelude::*;

    use super::*;

    #[derive(Clone, Debug)]
    enum Step {
        Push { which: usize, count: u32 },
        Clone { which: usize },
        Drop { which: usize },
    }

    fn some_step() -> impl Strategy<Value = Step> {
        let which = 0..8_usize;
        prop_oneof![
            6 => (which.clone(), 1..40_u32).prop_map(|(which, count)| Step::Push { which, count }),
            2 => which.clone().prop_map(|which| Step::Clone { which }),
            1 => which.prop_map(|which| Step::Drop { which }),
        ]
    }

    proptest! {
        #[test]
        fn clones_diverge_like_vectors(steps in prop::collection::vec(some_step(), 1..80)) {
            // Chunks of 2 make a tree of three levels within the test.
            let mut pairs: Vec<(Chunks<u32, 2>, Vec<u32>)> = vec![(Chunks::new(), Vec::new())];
            let mut next = 0;
            for step in steps {
                match step {
                    Step::Push { which, count } => {
                        let which = which % pairs.len();
                        let (chunks, model) = &mut pairs[which];
                        for _ in 0..count {
                            next += 1;
                            prop_assert_eq!(chunks.push(next) as usize, model.len());
                            model.push(next);
                        }
                    }
                    Step::Clone { which } => pairs.push(pairs[which % pairs.len()].clone()),
                    Step::Drop { which } => {
                        if pairs.len() > 1 {
                            pairs.swap_remove(which % pairs.len());
                        }
                    }
                }
                for (chunks, model) in &pairs {
                    prop_assert_eq!(chunks.len() as usize, model.len());
                    prop_assert!(chunks.iter().eq(model.iter()));
                    prop_assert_eq!(chunks.at(chunks.len()), None);
                    prop_assert!(chunks.clone_cost() < 2);
                }
            }
        }
    }

    #[test]
    fn a_deep_tree_finds_every_element() {
        let mut chunks: Chunks<u32, 1> = Chunks::new();
        for number in 0..40_000 {
            assert_eq!(chunks.push(number), number);
        }
        assert!(chunks.iter().copied().eq(0..40_000));
        assert_eq!((chunks.at(40_000), chunks.at(u32::MAX)), (None, None));
    }

    #[test]
    fn a_clone_copies_less_than_a_chunk() {
        let mut chunks: Chunks<u32> = Chunks::new();
        for number in 0..100_000 {
            chunks.push(number);
            assert!(chunks.clone_cost() < 1024);
        }
    }
}
