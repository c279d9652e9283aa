//! The typing of a command line: echo, line ends, pages, and the keys that are no text.

use std::collections::VecDeque;
use std::io;

use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};

/// Lines of a page.
const PAGE: usize = 23;

/// Characters of a line, above which it takes no more.
const LONGEST_LINE: usize = 4096;

/// What somebody typed.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Line {
    Typed(String),
    /// `?` asks at once, and what was typed before it is thrown away.
    Help(String),
    /// Ctrl-C.
    Interrupted,
    /// Ctrl-D, or nobody is there any more.
    Ended,
}

/// A terminal over a channel.
#[derive(Debug)]
pub(super) struct Terminal<S> {
    stream: S,
    typed: VecDeque<u8>,
    /// A line ended in a carriage return; a line feed right behind it belongs to it.
    after_return: bool,
}

impl<S: AsyncRead + AsyncWrite + Unpin> Terminal<S> {
    pub(super) fn new(stream: S) -> Self {
        Self {
            stream,
            typed: VecDeque::new(),
            after_return: false,
        }
    }

    /// Writes, each line feed as a terminal needs it.
    pub(super) async fn write(&mut self, text: &str) -> io::Result<()> {
        let text = text.replace('\n', "\r\n");
        self.stream.write_all(text.as_bytes()).await?;
        self.stream.flush().await
    }

    /// The next line, echoed as it is typed.
    pub(super) async fn read_line(&mut self) -> io::Result<Line> {
        self.read(true).await
    }

    /// The next line, unseen; `?` is a character of it.
    pub(super) async fn read_secret(&mut self) -> io::Result<Line> {
        self.read(false).await
    }

    async fn read(&mut self, echo: bool) -> io::Result<Line> {
        let mut line = Vec::new();
        loop {
            let Some(key) = self.key().await? else {
                return Ok(Line::Ended);
            };
            let after_return = std::mem::replace(&mut self.after_return, key == b'\r');
            match key {
                b'\n' if after_return => {}
                b'\r' | b'\n' => {
                    self.write("\n").await?;
                    return Ok(Line::Typed(String::from_utf8_lossy(&line).into_owned()));
                }
                0x03 => {
                    self.write("^C\n").await?;
                    return Ok(Line::Interrupted);
                }
                0x04 if line.is_empty() => return Ok(Line::Ended),
                0x08 | 0x7f => {
                    let erased = line.pop().is_some();
                    if erased && echo {
                        self.write("\x08 \x08").await?;
                    }
                }
                b'?' if echo => {
                    self.write("?\n").await?;
                    return Ok(Line::Help(String::from_utf8_lossy(&line).into_owned()));
                }
                0x20.. if line.len() < LONGEST_LINE => {
                    line.push(key);
                    if echo {
                        self.stream.write_all(&[key]).await?;
                        if self.typed.is_empty() {
                            self.stream.flush().await?;
                        }
                    }
                }
                // The other control characters do nothing; a real one completes at a tab.
                _ => {}
            }
        }
    }

    /// Writes what a command printed, page by page where it is asked to.
    pub(super) async fn show(&mut self, text: &str, pages: bool) -> io::Result<()> {
        let lines: Vec<&str> = text.lines().collect();
        let mut shown = 0;
        let mut room = if pages { PAGE } else { usize::MAX };
        while shown < lines.len() {
            let until = lines.len().min(shown.saturating_add(room));
            for line in &lines[shown..until] {
                self.write(&format!("{line}\n")).await?;
            }
            shown = until;
            if shown == lines.len() {
                break;
            }
            let question = format!("lines {}-{shown} ", (shown + 1).saturating_sub(PAGE).max(1));
            self.write(&question).await?;
            let key = self.key().await?;
            let blank = " ".repeat(question.len());
            self.write(&format!("\r{blank}\r")).await?;
            room = match key {
                Some(b'\r' | b'\n') => 1,
                Some(b'q' | b'Q' | 0x03) | None => break,
                Some(_) => PAGE,
            };
        }
        Ok(())
    }

    /// The next key; `None` at the end.
    async fn key(&mut self) -> io::Result<Option<u8>> {
        if self.typed.is_empty() {
            let mut some = [0; 1024];
            let length = self.stream.read(&mut some).await?;
            self.typed.extend(&some[..length]);
        }
        Ok(self.typed.pop_front())
    }
}
