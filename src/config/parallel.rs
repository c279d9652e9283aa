//! Work that falls into equal parts, on as many threads as there are cores.
//!
//! A thread of its own is also a heap of its own (mimalloc): what was made here and is dropped later leaves no holes
//! between what stays.

use std::panic::resume_unwind;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread::{self, Builder, available_parallelism};

/// More do not help: reading memory is what costs.
const MOST: usize = 8;
/// Below this many parts, another thread costs more than it saves.
const FEW: usize = 8;
/// As much as the main thread has: files may be deep.
pub const STACK: usize = 8 << 20;

/// What `act` makes of each of so many parts, in their order.
pub fn map<T: Send>(parts: usize, act: impl Fn(usize) -> T + Sync) -> Vec<T> {
    if parts < FEW {
        return (0..parts).map(act).collect();
    }
    let next = AtomicUsize::new(0);
    let work = || {
        let mut made = Vec::new();
        loop {
            let part = next.fetch_add(1, Ordering::Relaxed);
            if part >= parts {
                return made;
            }
            made.push((part, act(part)));
        }
    };
    let cores = available_parallelism().map_or(1, usize::from);
    let mut made = thread::scope(|scope| {
        let threads: Vec<_> = (0..parts.min(cores).min(MOST))
            .map_while(|_| {
                let thread = Builder::new().name("relay-compile".into());
                thread.stack_size(STACK).spawn_scoped(scope, work).ok()
            })
            .collect();
        // All of it, where there is no other thread.
        let mut made = match threads.is_empty() {
            true => work(),
            false => Vec::new(),
        };
        for thread in threads {
            made.extend(thread.join().unwrap_or_else(|panic| resume_unwind(panic)));
        }
        made
    });
    made.sort_unstable_by_key(|(part, _)| *part);
    made.into_iter().map(|(_, made)| made).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_part_is_made_once_and_in_order() {
        assert_eq!(
            map(1000, |part| part * 2),
            (0..1000).map(|part| part * 2).collect::<Vec<_>>()
        );
        assert!(map(0, |part| part).is_empty());
    }

    #[test]
    #[should_panic(expected = "the seventh")]
    fn a_panic_is_passed_on() {
        map(10, |part| assert_ne!(part, 7, "the seventh"));
    }
}
