//! Places inside a template: Handlebars' syntax tree knows where a tag begins, and nothing finer, so
//! the words of a tag are cut again and handed out in the order in which the tree names them.

use std::ops::Range;

use crate::document::{Snippet, Span};

/// How far the translation of one source has come.
pub(super) struct Walk<'s> {
    pub(super) source: Snippet<'s>,
    pub(super) field: &'s str,
    pub(super) blocks: bool,
    pub(super) at: usize,
}

impl Walk<'_> {
    /// The tag `{{ ... }}` at or behind the current place.
    pub(super) fn tag(&self) -> Range<usize> {
        let text = self.source.text;
        let start = text[self.at..]
            .find("{{")
            .map_or(text.len(), |found| self.at + found);
        start..tag_end(text, start)
    }

    pub(super) fn span(&self, tag: &Range<usize>) -> Span {
        self.source.part_span(tag.start, tag.end)
    }
}

/// Where the tag that begins at `start` ends: braces inside quotes do not count.
fn tag_end(text: &str, start: usize) -> usize {
    let bytes = text.as_bytes();
    if text[start..].starts_with("{{!--") {
        return text[start..]
            .find("--}}")
            .map_or(text.len(), |end| start + end + 4);
    }
    let comment = text[start..].starts_with("{{!");
    let mut quote = None;
    let mut at = start;
    while at < bytes.len() {
        match (quote, bytes[at]) {
            (Some(_), b'\\') => at += 1,
            (Some(open), byte) if open == byte => quote = None,
            (None, byte @ (b'"' | b'\'')) if !comment => quote = Some(byte),
            (None, b'}') if bytes[at..].starts_with(b"}}") => {
                let braces = bytes[at..].iter().take_while(|byte| **byte == b'}').count();
                return at + braces.min(4);
            }
            _ => {}
        }
        at += 1;
    }
    text.len()
}

/// The byte offset of a line and column, both counted from 1, the column in characters.
pub(super) fn offset(text: &str, line: usize, column: usize) -> usize {
    let start = match line {
        0 | 1 => 0,
        line => text
            .match_indices('\n')
            .nth(line - 2)
            .map_or(text.len(), |(at, _)| at + 1),
    };
    text[start..]
        .char_indices()
        .nth(column.saturating_sub(1))
        .map_or(text.len(), |(at, _)| start + at)
}

/// The words of an expression in the order of the source, so that each part of the syntax tree, which
/// does not know its place, finds it.
pub(super) struct Tokens<'s> {
    source: Snippet<'s>,
    whole: Range<usize>,
    words: Vec<Range<usize>>,
    next: usize,
}

impl<'s> Tokens<'s> {
    /// Cuts `whole` into words; a `tag` still has its braces and marks around it.
    pub(super) fn of(source: Snippet<'s>, whole: Range<usize>, tag: bool) -> Self {
        let text = &source.text[..whole.end];
        let bytes = text.as_bytes();
        let mut at = whole.start;
        let mut words = Vec::new();
        if tag {
            while at < whole.end && matches!(bytes[at], b'{' | b'~' | b'#' | b'&' | b' ') {
                at += 1;
            }
        }
        while at < whole.end {
            let end = match bytes[at] {
                b' ' | b'\t' | b'\n' | b'\r' | b'(' | b')' | b'~' => {
                    at += 1;
                    continue;
                }
                b'}' | b'|' => break,
                b'"' | b'\'' => string_end(bytes, at),
                b'[' | b'{' => bracket_end(bytes, at),
                _ => word_end(bytes, at),
            };
            words.push(at..end.min(whole.end));
            at = end;
        }
        // In `{{else if x}}` the block's own words come after the `else`.
        if tag
            && words
                .first()
                .is_some_and(|word| &text[word.clone()] == "else")
        {
            words.remove(0);
        }
        Self {
            source,
            whole,
            words,
            next: 0,
        }
    }

    /// The place of the next word.
    pub(super) fn take(&mut self) -> Span {
        let word = self.words.get(self.next).unwrap_or(&self.whole);
        self.next += 1;
        self.source.part_span(word.start, word.end)
    }

    pub(super) fn next_start(&self) -> usize {
        self.words
            .get(self.next)
            .map_or(self.whole.start, |word| word.start)
    }

    /// The source from `start` to the last word taken.
    pub(super) fn since(&self, start: usize) -> &'s str {
        let end = self
            .next
            .checked_sub(1)
            .and_then(|last| self.words.get(last))
            .map_or(self.whole.end, |word| word.end);
        self.source.text.get(start..end).unwrap_or(self.source.text)
    }

    pub(super) fn whole(&self) -> Span {
        self.source.part_span(self.whole.start, self.whole.end)
    }
}

fn string_end(bytes: &[u8], start: usize) -> usize {
    let mut at = start + 1;
    while at < bytes.len() {
        match bytes[at] {
            b'\\' => at += 1,
            byte if byte == bytes[start] => return at + 1,
            _ => {}
        }
        at += 1;
    }
    bytes.len()
}

fn bracket_end(bytes: &[u8], start: usize) -> usize {
    let mut depth = 0;
    let mut at = start;
    while at < bytes.len() {
        match bytes[at] {
            b'"' | b'\'' => {
                at = string_end(bytes, at);
                continue;
            }
            b'[' | b'{' => depth += 1,
            b']' | b'}' => {
                depth -= 1;
                if depth == 0 {
                    return at + 1;
                }
            }
            _ => {}
        }
        at += 1;
    }
    bytes.len()
}

fn word_end(bytes: &[u8], start: usize) -> usize {
    let mut at = start;
    while at < bytes.len() {
        match bytes[at] {
            b' ' | b'\t' | b'\n' | b'\r' | b'(' | b')' | b'}' | b'|' | b'~' => break,
            b'[' => at = bracket_end(bytes, at),
            _ => at += 1,
        }
    }
    at
}
