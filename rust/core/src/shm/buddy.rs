//! Where in an arena a slab goes: a buddy allocator in the owner's private memory.
//!
//! Blocks are powers of two of one unit. Rounding up costs address space only: the file is sparse
//! and pages beyond a slab's length are never touched. The lowest free block is taken, so that
//! memory which has been touched is used again before fresh memory is: a first touch costs ten
//! times a copy.
//!
//! Source: the binary buddy system (Knowlton 1965; Knuth, TAOCP vol. 1, 2.5).

use std::collections::BTreeSet;

/// Hands out blocks of `2^order` units out of `units`.
#[derive(Debug)]
pub(super) struct Buddy {
    /// Free blocks by order, each by its first unit.
    free: Vec<BTreeSet<u32>>,
}

impl Buddy {
    pub(super) fn new(units: u32) -> Self {
        let orders = 32 - units.leading_zeros();
        let mut buddy = Self {
            free: vec![BTreeSet::new(); orders as usize],
        };
        // The largest aligned blocks that fit, from the left: largest first, as the bits of the
        // number of units say.
        let mut start = 0;
        for order in (0..orders).rev() {
            if units & (1 << order) != 0 {
                buddy.free[order as usize].insert(start);
                start += 1 << order;
            }
        }
        buddy
    }

    /// The smallest order whose block holds `units`.
    pub(super) fn order_for(units: u32) -> u32 {
        units.max(1).next_power_of_two().trailing_zeros()
    }

    /// The first unit of a block of that order.
    pub(super) fn allocate(&mut self, order: u32) -> Option<u32> {
        let candidates = self.free.iter().enumerate().skip(order as usize);
        // The lowest address of all that fit, the smallest block among equals.
        let (found, start) = candidates
            .filter_map(|(order, blocks)| blocks.first().map(|start| (order as u32, *start)))
            .min_by_key(|&(order, start)| (start, order))?;
        self.free[found as usize].remove(&start);
        for split in (order..found).rev() {
            self.free[split as usize].insert(start + (1 << split));
        }
        Some(start)
    }

    /// Takes a block back and joins it with its free neighbours.
    pub(super) fn free(&mut self, mut start: u32, mut order: u32) {
        while (order as usize) + 1 < self.free.len() {
            let neighbour = start ^ (1 << order);
            if !self.free[order as usize].remove(&neighbour) {
                break;
            }
            start = start.min(neighbour);
            order += 1;
        }
        let fresh = self.free[order as usize].insert(start);
        debug_assert!(fresh, "block {start} of order {order} was free already");
    }

    /// The largest order of which a block is free now.
    pub(super) fn largest(&self) -> Option<u32> {
        (0..self.free.len())
            .rev()
            .find(|order| !self.free[*order].is_empty())
            .map(|o| o as u32)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn all_is_joined_again_after_all_is_freed() {
        for units in [1, 2, 3, 7, 8, 100, 1023] {
            let mut buddy = Buddy::new(units);
            let before = format!("{buddy:?}");
            let mut blocks = Vec::new();
            while let Some(start) = buddy.allocate(0) {
                blocks.push(start);
            }
            assert_eq!(blocks, (0..units).collect::<Vec<_>>());
            for start in blocks.into_iter().rev() {
                buddy.free(start, 0);
            }
            assert_eq!(format!("{buddy:?}"), before);
        }
    }

    proptest! {
        #[test]
        fn blocks_never_overlap(
            units in 1_u32..300,
            steps in prop::collection::vec((0_u32..6, any::<prop::sample::Index>(), any::<bool>()), 1..200),
        ) {
            let mut buddy = Buddy::new(units);
            let mut held: Vec<(u32, u32)> = Vec::new();
            for (order, pick, give_back) in steps {
                if give_back && !held.is_empty() {
                    let (start, order) = held.swap_remove(pick.index(held.len()));
                    buddy.free(start, order);
                } else if let Some(start) = buddy.allocate(order) {
                    let end = start + (1 << order);
                    prop_assert!(end <= units);
                    prop_assert_eq!(start % (1 << order), 0);
                    for &(other, size) in &held {
                        prop_assert!(end <= other || other + (1 << size) <= start);
                    }
                    held.push((start, order));
                }
            }
        }
    }
}
