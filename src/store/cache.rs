//! Mappings in memory, in front of the table; never absence (SEMANTICS 24).
//!
//! Two ways in: by object, and by backend id. The rows by object are the truth; what is found by
//! backend id counts only while the row by object is the very same, so that one invalidation suffices.
//!
//! A fill (a row read from the table) may be older than a write that was committed while it was read.
//! One clock counts invalidations; each object has the time of its last one, in a fixed number of
//! slots that objects share by hash. A fill that began before that time is dropped.
//!
//! A full shard gives up a row at random: no order has to be kept on the reading side.

use std::collections::HashMap;
use std::hash::{BuildHasher, BuildHasherDefault, Hasher, RandomState};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, PoisonError, RwLock, RwLockReadGuard, RwLockWriteGuard};

use super::{Mapping, ObjectKey};

const SHARDS: usize = 32;
/// Slots for the time of the last invalidation, in each shard.
const SLOTS: usize = 128;

/// When a read of the table began, on the cache's clock.
#[derive(Clone, Copy, Debug)]
pub struct ReadStart(u64);

/// A bounded cache of mappings.
#[derive(Debug)]
pub struct Cache {
    hasher: RandomState,
    /// Counts invalidations.
    clock: AtomicU64,
    by_object: Box<[RwLock<Shard>]>,
    by_backend_id: Box<[RwLock<Shelf>]>,
}

#[derive(Debug)]
struct Shard {
    shelf: Shelf,
    invalidated: Box<[u64; SLOTS]>,
}

impl Cache {
    /// Holds about `capacity` mappings at most.
    pub fn new(capacity: usize) -> Self {
        let each = capacity.div_ceil(SHARDS).max(1);
        let by_object = || {
            RwLock::new(Shard {
                shelf: Shelf::new(each),
                invalidated: Box::new([0; SLOTS]),
            })
        };
        Self {
            hasher: RandomState::new(),
            clock: AtomicU64::new(1),
            by_object: std::iter::repeat_with(by_object).take(SHARDS).collect(),
            by_backend_id: std::iter::repeat_with(|| RwLock::new(Shelf::new(each)))
                .take(SHARDS)
                .collect(),
        }
    }

    pub fn get(&self, key: &ObjectKey) -> Option<Arc<Mapping>> {
        let hash = self.hasher.hash_one(key);
        let shard = read(&self.by_object[shard(hash)]);
        shard.shelf.get(hash).filter(|row| row.key == *key).cloned()
    }

    pub fn get_by_backend_id(
        &self,
        resource: &str,
        backend: &str,
        backend_id: &str,
    ) -> Option<Arc<Mapping>> {
        let hash = self.hasher.hash_one((resource, backend, backend_id));
        let found = read(&self.by_backend_id[shard(hash)]).get(hash).cloned()?;
        let same = found.key.resource == resource
            && found.backend == backend
            && found.backend_id.as_deref() == Some(backend_id);
        // The row by object is the truth: it may have been invalidated or replaced.
        self.get(&found.key)
            .filter(|row| same && Arc::ptr_eq(row, &found))
    }

    /// To be called before the table is read for [`Cache::fill`].
    pub fn read_start(&self) -> ReadStart {
        ReadStart(self.clock.load(Ordering::SeqCst))
    }

    /// Keeps a row that was read from the table, unless its object was invalidated since.
    pub fn fill(&self, start: ReadStart, row: &Arc<Mapping>) {
        let hash = self.hasher.hash_one(&row.key);
        let mut shard = write(&self.by_object[shard(hash)]);
        if shard.invalidated[slot(hash)] <= start.0 {
            shard.shelf.put(hash, row.clone());
            drop(shard);
            self.index(row);
        }
    }

    /// Keeps a row that was just committed; fills under way are dropped.
    pub fn committed(&self, row: &Arc<Mapping>) {
        let hash = self.hasher.hash_one(&row.key);
        let mut shard = write(&self.by_object[shard(hash)]);
        shard.invalidated[slot(hash)] = self.tick();
        shard.shelf.put(hash, row.clone());
        drop(shard);
        self.index(row);
    }

    /// Drops what is known of an object; fills under way are dropped.
    pub fn invalidate(&self, key: &ObjectKey) {
        let hash = self.hasher.hash_one(key);
        let mut shard = write(&self.by_object[shard(hash)]);
        shard.invalidated[slot(hash)] = self.tick();
        let old = shard.shelf.remove(hash);
        drop(shard);
        if let Some(hash) = old.as_deref().and_then(|row| self.backend_hash(row)) {
            write(&self.by_backend_id[self::shard(hash)]).remove(hash);
        }
    }

    /// Drops everything: at every change of role.
    pub fn clear(&self) {
        for shard in &self.by_object {
            let mut shard = write(shard);
            let now = self.tick();
            shard.invalidated.fill(now);
            shard.shelf.clear();
        }
        for shelf in &self.by_backend_id {
            write(shelf).clear();
        }
    }

    fn index(&self, row: &Arc<Mapping>) {
        if let Some(hash) = self.backend_hash(row) {
            write(&self.by_backend_id[shard(hash)]).put(hash, row.clone());
        }
    }

    fn backend_hash(&self, row: &Mapping) -> Option<u64> {
        let id = row.backend_id.as_deref()?;
        Some(
            self.hasher
                .hash_one((&*row.key.resource, &*row.backend, id)),
        )
    }

    fn tick(&self) -> u64 {
        self.clock.fetch_add(1, Ordering::SeqCst) + 1
    }
}

fn shard(hash: u64) -> usize {
    (hash >> 32) as usize % SHARDS
}

fn slot(hash: u64) -> usize {
    (hash >> 48) as usize % SLOTS
}

// No code panics while it holds one of these locks, and a row that is there is whole.
fn read<T>(lock: &RwLock<T>) -> RwLockReadGuard<'_, T> {
    lock.read().unwrap_or_else(PoisonError::into_inner)
}

fn write<T>(lock: &RwLock<T>) -> RwLockWriteGuard<'_, T> {
    lock.write().unwrap_or_else(PoisonError::into_inner)
}

/// Rows by hash, in a list from which a random one can be given up.
///
/// Two keys of equal hash share a place: the reader compares keys, so the one that lost is a miss.
#[derive(Debug)]
struct Shelf {
    places: HashMap<u64, usize, BuildHasherDefault<AsIs>>,
    rows: Vec<(u64, Arc<Mapping>)>,
    capacity: usize,
    /// State of a xorshift generator: which row to give up need not be unpredictable.
    random: u64,
}

impl Shelf {
    fn new(capacity: usize) -> Self {
        Self {
            places: HashMap::default(),
            rows: Vec::new(),
            capacity,
            random: 0x9e37_79b9_7f4a_7c15,
        }
    }

    fn get(&self, hash: u64) -> Option<&Arc<Mapping>> {
        self.places.get(&hash).map(|place| &self.rows[*place].1)
    }

    fn put(&mut self, hash: u64, row: Arc<Mapping>) {
        if let Some(place) = self.places.get(&hash) {
            self.rows[*place].1 = row;
            return;
        }
        if self.rows.len() >= self.capacity {
            self.random ^= self.random << 13;
            self.random ^= self.random >> 7;
            self.random ^= self.random << 17;
            let (victim, _) = self.rows[self.random as usize % self.rows.len()];
            self.remove(victim);
        }
        self.places.insert(hash, self.rows.len());
        self.rows.push((hash, row));
    }

    fn remove(&mut self, hash: u64) -> Option<Arc<Mapping>> {
        let place = self.places.remove(&hash)?;
        let (_, row) = self.rows.swap_remove(place);
        if let Some((moved, _)) = self.rows.get(place) {
            self.places.insert(*moved, place);
        }
        Some(row)
    }

    fn clear(&mut self) {
        self.places.clear();
        self.rows.clear();
    }
}

/// The hasher of keys that are hashes already.
#[derive(Debug, Default)]
struct AsIs(u64);

impl Hasher for AsIs {
    fn finish(&self) -> u64 {
        self.0
    }

    fn write(&mut self, _: &[u8]) {
        unreachable!("only u64 keys are hashed")
    }

    fn write_u64(&mut self, hash: u64) {
        self.0 = hash;
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::Map;

    fn key(cmp_id: &str) -> ObjectKey {
        ObjectKey {
            resource: "network".into(),
            cmp_id: cmp_id.into(),
            scope: String::new(),
        }
    }

    fn row(cmp_id: &str, backend_id: &str) -> Arc<Mapping> {
        Arc::new(Mapping {
            key: key(cmp_id),
            backend: "neutron-1".into(),
            kind: "neutron".into(),
            backend_id: Some(backend_id.into()),
            attributes: Map::new(),
            created_operation: None,
            updated_operation: None,
            created_at: 0,
            updated_at: 0,
        })
    }

    fn by_id(cache: &Cache, backend_id: &str) -> Option<Arc<Mapping>> {
        cache.get_by_backend_id("network", "neutron-1", backend_id)
    }

    #[test]
    fn a_fill_is_found_both_ways() {
        let cache = Cache::new(100);
        cache.fill(cache.read_start(), &row("a", "1"));
        assert_eq!(cache.get(&key("a")), Some(row("a", "1")));
        assert_eq!(by_id(&cache, "1"), Some(row("a", "1")));
        assert_eq!(cache.get(&key("b")), None);
        assert_eq!(by_id(&cache, "2"), None);
    }

    #[test]
    fn a_fill_whose_object_was_invalidated_since_is_dropped() {
        let cache = Cache::new(100);
        let start = cache.read_start();
        cache.invalidate(&key("a"));
        cache.fill(start, &row("a", "old"));
        assert_eq!(cache.get(&key("a")), None);
        assert_eq!(by_id(&cache, "old"), None);

        cache.fill(cache.read_start(), &row("a", "new"));
        assert_eq!(cache.get(&key("a")), Some(row("a", "new")));
    }

    #[test]
    fn a_fill_never_replaces_what_was_committed_since() {
        let cache = Cache::new(100);
        let start = cache.read_start();
        cache.committed(&row("a", "new"));
        cache.fill(start, &row("a", "old"));
        assert_eq!(cache.get(&key("a")), Some(row("a", "new")));
        assert_eq!(by_id(&cache, "old"), None);
    }

    #[test]
    fn a_fill_that_began_before_everything_was_dropped_is_dropped_too() {
        let cache = Cache::new(100);
        let start = cache.read_start();
        cache.clear();
        cache.fill(start, &row("a", "1"));
        assert_eq!(cache.get(&key("a")), None);
    }

    #[test]
    fn another_backend_id_is_not_found_by_the_old_one() {
        let cache = Cache::new(100);
        cache.committed(&row("a", "1"));
        cache.committed(&row("a", "2"));
        assert_eq!(by_id(&cache, "1"), None);
        assert_eq!(by_id(&cache, "2"), Some(row("a", "2")));
        cache.invalidate(&key("a"));
        assert_eq!(by_id(&cache, "2"), None);
    }

    #[test]
    fn it_never_grows_beyond_its_bound() {
        let cache = Cache::new(SHARDS * 4);
        for number in 0..10_000 {
            let name = number.to_string();
            cache.fill(cache.read_start(), &row(&name, &name));
        }
        let held: usize = cache
            .by_object
            .iter()
            .map(|s| read(s).shelf.rows.len())
            .sum();
        let indexed: usize = cache.by_backend_id.iter().map(|s| read(s).rows.len()).sum();
        assert_eq!((held, indexed), (SHARDS * 4, SHARDS * 4));
        for shard in &cache.by_object {
            let shard = read(shard);
            for (place, (hash, _)) in shard.shelf.rows.iter().enumerate() {
                assert_eq!(shard.shelf.places[hash], place);
            }
        }
    }
}
