//! What a terminal would show: bytes in, lines of text out. Escape sequences (ECMA-48) are taken out, and
//! what moves the cursor within a line (`\r`, backspace, a few sequences of pagers) is carried out, so that a
//! pager's prompt that the device has wiped away is gone here too.
//!
//! Each byte costs a bounded amount of work, however long its line is, and a line is kept up to a limit.

/// Bytes of an escape sequence; a longer one is none.
const LONGEST_SEQUENCE: usize = 64;
/// Bytes of a string within a sequence, such as the title of a window.
const LONGEST_STRING: usize = 4096;
/// On a line longer than this, sequences that would touch each of its cells are ignored.
const EDITABLE: usize = 4096;

/// A terminal of one line.
#[derive(Clone, Debug)]
pub struct Screen {
    cells: Vec<char>,
    /// Where the next character goes; it may stand behind the last cell.
    cursor: usize,
    /// The end of what was written since the cursor last moved back: blanks behind it wiped something away.
    fresh: usize,
    /// The cursor has moved back, and nothing was written since.
    moved: bool,
    /// Cells that are kept of a line.
    limit: usize,
    cut: bool,
    /// As far as a pager's prompt reached on this line: blanks in its place are none of the output.
    wiped: usize,
    /// How often the cursor moved back or something was erased: what looks the same may be another text.
    redrawn: u64,
    escape: Escape,
    /// The beginning of a character of several bytes.
    partial: Vec<u8>,
}

/// A line that is complete.
#[derive(Debug, PartialEq, Eq)]
pub struct Line {
    pub text: String,
    /// It was longer than the limit.
    pub cut: bool,
}

/// Where in an escape sequence the stream is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Escape {
    None,
    /// Behind `ESC`.
    Begun,
    /// Behind `ESC (` and its like: one more byte.
    OneMore,
    /// Behind `ESC [`: the first number so far, and whether it is complete.
    Control {
        number: usize,
        whole: bool,
        length: usize,
    },
    /// Behind `ESC ]` and its like, up to `BEL` or `ESC \`.
    Text {
        length: usize,
    },
}

impl Screen {
    /// A screen that keeps `limit` characters of a line.
    pub fn new(limit: usize) -> Self {
        Self {
            cells: Vec::new(),
            cursor: 0,
            fresh: 0,
            moved: false,
            limit,
            cut: false,
            wiped: 0,
            redrawn: 0,
            escape: Escape::None,
            partial: Vec::new(),
        }
    }

    /// Takes a byte; gives a line when it ends one.
    pub fn push(&mut self, byte: u8) -> Option<Line> {
        if byte == b'\n' {
            self.escape = Escape::None;
            self.end_partial();
            return Some(self.end_line());
        }
        match self.escape {
            Escape::None => self.plain(byte),
            escape => self.sequence(escape, byte),
        }
        None
    }

    /// The line that is not complete, where it has at most `longest` characters.
    pub fn last(&self, longest: usize) -> Option<String> {
        (self.cells.len() <= longest && !self.cut).then(|| self.shown().iter().collect())
    }

    /// Forgets the line that is not complete: it was a pager's, and the device wipes it away.
    pub fn wipe(&mut self) {
        let wiped = self.cells.len();
        self.begin_line();
        self.wiped = wiped;
    }

    /// How often the cursor moved back or something was erased.
    pub fn redrawn(&self) -> u64 {
        self.redrawn
    }

    fn shown(&self) -> &[char] {
        let fresh = self.fresh.min(self.cells.len());
        let blank = self.cells[fresh..].iter().all(|cell| *cell == ' ');
        let end = if blank { fresh } else { self.cells.len() };
        let shown = &self.cells[..end];
        match shown.iter().rposition(|cell| *cell != ' ') {
            last if end <= self.wiped => &shown[..last.map_or(0, |last| last + 1)],
            _ => shown,
        }
    }

    fn begin_line(&mut self) {
        self.cells.clear();
        self.cut = false;
        self.fresh = 0;
        self.wiped = 0;
        self.go_back_to(0);
    }

    fn end_line(&mut self) -> Line {
        let line = Line {
            text: self.shown().iter().collect(),
            cut: self.cut,
        };
        self.begin_line();
        line
    }

    fn plain(&mut self, byte: u8) {
        if byte >= 0x80 {
            self.partial.push(byte);
            return self.decode();
        }
        self.end_partial();
        match byte {
            b'\r' => self.go_back_to(0),
            0x08 => self.go_back_to(self.cursor.saturating_sub(1)),
            0x1b => self.escape = Escape::Begun,
            b'\t' => self.put('\t'),
            0..=0x1f | 0x7f => {}
            _ => self.put(char::from(byte)),
        }
    }

    /// Puts the character once its bytes are complete; what is no UTF-8 becomes U+FFFD.
    fn decode(&mut self) {
        let complete = match std::str::from_utf8(&self.partial) {
            Ok(text) => text.chars().next(),
            Err(error) if error.error_len().is_none() => return,
            Err(_) => None,
        };
        match (complete, self.partial.len()) {
            (Some(character), _) => {
                self.partial.clear();
                self.put(character);
            }
            (None, 1) => self.end_partial(),
            (None, _) => {
                // The last byte does not go on with what came before; it may begin another character.
                let again = self.partial.pop();
                self.end_partial();
                self.partial.extend(again);
                self.decode();
            }
        }
    }

    fn end_partial(&mut self) {
        if !self.partial.is_empty() {
            self.partial.clear();
            self.put(char::REPLACEMENT_CHARACTER);
        }
    }

    fn put(&mut self, character: char) {
        if self.cursor >= self.limit {
            self.cut = true;
            return;
        }
        if self.cursor > self.cells.len() {
            self.cells.resize(self.cursor, ' ');
        }
        match self.cells.get_mut(self.cursor) {
            Some(cell) => *cell = character,
            None => self.cells.push(character),
        }
        self.cursor += 1;
        self.fresh = match std::mem::take(&mut self.moved) {
            true => self.cursor,
            false => self.fresh.max(self.cursor),
        };
    }

    fn go_back_to(&mut self, cursor: usize) {
        self.cursor = cursor;
        self.moved = true;
        self.redrawn = self.redrawn.wrapping_add(1);
    }

    fn sequence(&mut self, escape: Escape, byte: u8) {
        // ESC begins anew; CAN and SUB end a sequence (ECMA-48, 8.3).
        match (byte, escape) {
            (0x1b, _) => return self.escape = Escape::Begun,
            (0x18 | 0x1a, _) => return self.escape = Escape::None,
            (b'\r', Escape::Begun | Escape::OneMore | Escape::Control { .. }) => {
                self.escape = Escape::None;
                return self.go_back_to(0);
            }
            _ => {}
        }
        self.escape = match escape {
            Escape::None | Escape::OneMore => Escape::None,
            Escape::Begun => match byte {
                b'[' => Escape::Control {
                    number: 0,
                    whole: false,
                    length: 0,
                },
                b']' | b'P' | b'X' | b'^' | b'_' => Escape::Text { length: 0 },
                0x20..=0x2f => Escape::OneMore,
                _ => Escape::None,
            },
            Escape::Text { length } => match byte {
                0x07 => Escape::None,
                _ if length >= LONGEST_STRING => Escape::None,
                _ => Escape::Text { length: length + 1 },
            },
            Escape::Control {
                number,
                whole,
                length,
            } => match byte {
                0x40..=0x7e => {
                    self.control(byte, number);
                    Escape::None
                }
                _ if length >= LONGEST_SEQUENCE => Escape::None,
                b'0'..=b'9' if !whole => Escape::Control {
                    number: (number * 10 + usize::from(byte - b'0')).min(9999),
                    whole,
                    length: length + 1,
                },
                0x20..=0x3f => Escape::Control {
                    number,
                    whole: true,
                    length: length + 1,
                },
                0..=0x1f => escape,
                _ => Escape::None,
            },
        };
    }

    /// The control functions that change a line: CUF, CUB, CHA, CUP, EL, ED, DCH (ECMA-48, 8.3).
    fn control(&mut self, function: u8, number: usize) {
        let times = number.max(1);
        self.redrawn = self
            .redrawn
            .wrapping_add(u64::from(matches!(function, b'J' | b'K' | b'P')));
        match function {
            b'C' => self.cursor = (self.cursor + times).min(self.limit),
            b'D' => self.go_back_to(self.cursor.saturating_sub(times)),
            b'G' => match times - 1 {
                column if column < self.cursor => self.go_back_to(column),
                column => self.cursor = column.min(self.limit),
            },
            b'H' | b'f' => self.go_back_to(0),
            b'K' | b'J' => match number {
                0 => self.cells.truncate(self.cursor),
                1 if self.cells.len() <= EDITABLE => {
                    let wiped = (self.cursor + 1).min(self.cells.len());
                    self.cells[..wiped].fill(' ');
                }
                2 => self.cells.clear(),
                _ => {}
            },
            b'P' if self.cells.len() <= EDITABLE => {
                let end = (self.cursor + times).min(self.cells.len());
                self.cells.drain(self.cursor.min(end)..end);
            }
            _ => {}
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shown(bytes: &str) -> Vec<String> {
        let mut screen = Screen::new(1000);
        let mut lines: Vec<_> = bytes
            .bytes()
            .filter_map(|byte| screen.push(byte))
            .map(|line| line.text)
            .collect();
        lines.push(screen.last(1000).unwrap());
        lines
    }

    #[test]
    fn escape_sequences_are_taken_out() {
        assert_eq!(shown("\x1b[1;32mgreen\x1b[0m\x1b(B"), ["green"]);
        assert_eq!(shown("\x1b]0;user@host: ~\x07$ \x1b[?2004h"), ["$ "]);
        assert_eq!(shown("\x1b]0;title\x1b\\x"), ["x"]);
        assert_eq!(shown("\x1bc\x1b=a\x07b\0c"), ["abc"]);
    }

    #[test]
    fn every_line_end_is_one() {
        assert_eq!(shown("a\r\nb\r\r\nc\n\rd"), ["a", "b", "c", "d"]);
    }

    #[test]
    fn what_is_wiped_away_is_gone() {
        // IOS, by backspaces; FRR's more, by a sequence; VRP, by columns; NX-OS, by blanks.
        assert_eq!(
            shown(
                "--More--\x08\x08\x08\x08\x08\x08\x08\x08        \x08\x08\x08\x08\x08\x08\x08\x08vlan"
            ),
            ["vlan"]
        );
        assert_eq!(shown("\x1b[7m--More--\x1b[27m\r\x1b[Kvlan"), ["vlan"]);
        assert_eq!(
            shown("  ---- More ----\x1b[42D                  \x1b[42Dvlan\n"),
            ["vlan", ""]
        );
        assert_eq!(shown("--More--\r          \rvlan 1\r\n"), ["vlan 1", ""]);
        assert_eq!(shown("sw1# shw\x08ow run"), ["sw1# show run"]);
    }

    #[test]
    fn what_overwrites_a_pagers_prompt_has_no_blanks_of_it() {
        // more(1) on a terminal that cannot erase.
        let mut screen = Screen::new(100);
        let feed = |screen: &mut Screen, bytes: &[u8]| {
            bytes.iter().filter_map(|byte| screen.push(*byte)).last()
        };
        feed(&mut screen, b"--More--");
        screen.wipe();
        assert_eq!(feed(&mut screen, b"\r!       \r\n").unwrap().text, "!");
        assert_eq!(feed(&mut screen, b"a  \n").unwrap().text, "a  ");
    }

    #[test]
    fn blanks_of_the_output_itself_stay() {
        assert_eq!(shown("a  \r\nb"), ["a  ", "b"]);
        assert_eq!(shown("sw1# "), ["sw1# "]);
    }

    #[test]
    fn characters_may_be_cut_anywhere_and_need_not_be_right() {
        assert_eq!(shown("über"), ["über"]);
        let mut screen = Screen::new(100);
        for byte in [b'a', 0xff, 0xc3, b'b', 0xe2, 0x82, 0xc3, 0xbc] {
            assert_eq!(screen.push(byte), None);
        }
        assert_eq!(screen.last(100).unwrap(), "a\u{fffd}\u{fffd}b\u{fffd}ü");
    }

    #[test]
    fn a_line_is_kept_up_to_the_limit() {
        let mut screen = Screen::new(10);
        for byte in b"0123456789abc" {
            screen.push(*byte);
        }
        assert_eq!(screen.last(100), None, "what is cut is no prompt");
        let line = screen.push(b'\n').unwrap();
        assert_eq!((&*line.text, line.cut), ("0123456789", true));
        screen.push(b'x');
        assert_eq!(screen.last(100).unwrap(), "x");
    }
}
