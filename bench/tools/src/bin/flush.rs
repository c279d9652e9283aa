//! What a disk can do one after the other: `flush --folder DIR --ms 1000` writes 4 KiB and calls fdatasync, for half of the
//! time at the end of a growing file and for the other half over what is there, and prints how often a second it did each.

use std::fs::File;
use std::os::unix::fs::FileExt;
use std::path::PathBuf;
use std::time::{Duration, Instant};

use bench_tools::option;

/// A log that is written over has some length, as SQLite's has after its first checkpoint.
const PAGES: u64 = 1000;
const PAGE: u64 = 4096;

fn main() {
    let folder: PathBuf = option("--folder", PathBuf::from("."));
    let path = folder.join("flush.tmp");
    let span = Duration::from_millis(option("--ms", 1000)) / 2;
    let file = File::create(&path).expect("the folder can be written to");
    let appended = rate(&file, span, |count| count * PAGE);
    for page in 0..PAGES {
        file.write_all_at(&[0xa5; PAGE as usize], page * PAGE)
            .expect("there is room");
    }
    file.sync_all().expect("it can be flushed");
    let over = rate(&file, span, |count| count % PAGES * PAGE);
    println!("{appended:.0} {over:.0}");
    let _ = std::fs::remove_file(path);
}

fn rate(file: &File, span: Duration, place: impl Fn(u64) -> u64) -> f64 {
    let begin = Instant::now();
    let mut count = 0;
    while begin.elapsed() < span {
        file.write_all_at(&[0x5a; PAGE as usize], place(count))
            .expect("there is room");
        file.sync_data().expect("it can be flushed");
        count += 1;
    }
    count as f64 / begin.elapsed().as_secs_f64()
}
