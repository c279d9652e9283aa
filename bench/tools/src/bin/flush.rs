//! What a disk can do one after the other: `flush --folder DIR --seconds 2` appends 4 KiB and calls fdatasync, and prints
//! how often a second.

use std::fs::File;
use std::io::Write;
use std::path::PathBuf;
use std::time::{Duration, Instant};

use bench_tools::option;

fn main() {
    let folder: PathBuf = option("--folder", PathBuf::from("."));
    let path = folder.join("flush.tmp");
    let span = Duration::from_secs(option("--seconds", 2));
    let mut file = File::create(&path).expect("the folder can be written to");
    let begin = Instant::now();
    let mut count = 0_u32;
    while begin.elapsed() < span {
        file.write_all(&[0x5a; 4096]).expect("there is room");
        file.sync_data().expect("it can be flushed");
        count += 1;
    }
    println!("{:.0}", f64::from(count) / begin.elapsed().as_secs_f64());
    let _ = std::fs::remove_file(path);
}
