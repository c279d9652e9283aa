//! From byte offsets to what people and editors count: lines, and characters in a line, from 1.

use crate::document::Span;

/// A point in a text.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Point {
    pub line: usize,
    pub column: usize,
}

/// The point of a byte offset; an offset behind the end is the end.
pub fn point(text: &str, offset: usize) -> Point {
    let mut offset = offset.min(text.len());
    while !text.is_char_boundary(offset) {
        offset -= 1;
    }
    let before = &text[..offset];
    let line_start = before.rfind('\n').map_or(0, |newline| newline + 1);
    Point {
        line: before.matches('\n').count() + 1,
        column: before[line_start..].chars().count() + 1,
    }
}

/// The byte range of a span within `text`, cut to its first line: a caret underlines no block.
pub fn first_line(text: &str, span: Span) -> std::ops::Range<usize> {
    let start = (span.start as usize).min(text.len());
    let end = (span.end as usize).clamp(start, text.len());
    let line = text[start..end].lines().next().unwrap_or("");
    start..start + line.trim_end().len()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::document::FileId;

    #[test]
    fn columns_count_characters() {
        let text = "a: é\nbö: x";
        assert_eq!(point(text, 0), Point { line: 1, column: 1 });
        let x = text.find('x').unwrap();
        assert_eq!(point(text, x), Point { line: 2, column: 5 });
        assert_eq!(point(text, 99), Point { line: 2, column: 6 });
    }

    #[test]
    fn a_block_is_pointed_at_by_its_first_line() {
        let text = "a:\n  b: 1\n  c: 2\n";
        let span = Span::new(FileId(0), 5, 16);
        assert_eq!(&text[first_line(text, span)], "b: 1");
    }
}
