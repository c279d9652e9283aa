//! The text files of the repository that the program carries: the shipped packs and the pages of each code.
//!
//! They are compressed (DEFLATE, RFC 1951), a quarter of their length, and inflated together when the first is asked
//! for. `build.rs` says which they are.

use std::io::Read;
use std::sync::LazyLock;

use flate2::read::DeflateDecoder;

/// A path from the repository's root, and the text.
pub type File = (&'static str, &'static str);

/// Paths and lengths in bytes, in the order of the paths.
const INDEX: &[(&str, usize)] = include!(concat!(env!("OUT_DIR"), "/embedded.rs"));

static FILES: LazyLock<Vec<File>> = LazyLock::new(|| {
    let packed: &[u8] = include_bytes!(concat!(env!("OUT_DIR"), "/embedded.deflate"));
    let mut texts = String::with_capacity(INDEX.iter().map(|(_, length)| length).sum());
    let inflated = DeflateDecoder::new(packed).read_to_string(&mut texts);
    inflated.expect("what the build compressed");
    let mut rest: &'static str = texts.leak();
    let split = |&(path, length): &(&'static str, usize)| {
        let (text, after) = rest.split_at(length);
        rest = after;
        (path, text)
    };
    INDEX.iter().map(split).collect()
});

/// Every file whose path begins so, in the order of the paths.
pub fn below(folder: &str) -> impl Iterator<Item = File> {
    FILES
        .iter()
        .filter(move |(path, _)| path.starts_with(folder))
        .copied()
}

/// The text of a file; it must be one that `build.rs` embeds.
pub fn text(path: &str) -> &'static str {
    find(path).unwrap_or_else(|| panic!("{path} is not embedded"))
}

/// The text of a file that may be embedded.
pub fn find(path: &str) -> Option<&'static str> {
    let at = FILES.binary_search_by_key(&path, |(path, _)| path).ok()?;
    Some(FILES[at].1)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_file_is_there_as_it_is_in_the_repository() {
        let root = std::path::Path::new(env!("CARGO_MANIFEST_DIR"));
        assert!(below("docs/codes/").count() > 100);
        for (path, embedded) in below("") {
            let written = std::fs::read_to_string(root.join(path)).unwrap();
            assert_eq!(embedded, written, "{path}");
            assert_eq!(text(path), written);
        }
        assert_eq!(find("routes.d/nonsense.yaml"), None);
    }
}
