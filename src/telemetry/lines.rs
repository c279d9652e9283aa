//! How a log line looks: as text for people, as JSON for machines.
//!
//! The looks are `tracing-subscriber`'s own (`Full`, and `Json` with its fields beside the message), written here
//! because each request has a line: its general formatters were an eighth of a read's instructions.

use std::cell::RefCell;
use std::fmt::{self, Write};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use time::OffsetDateTime;
use tracing::field::{Field, Visit};
use tracing::{Event, Subscriber};
use tracing_subscriber::fmt::format::Writer;
use tracing_subscriber::fmt::{FmtContext, FormatEvent, FormatFields};
use tracing_subscriber::registry::LookupSpan;

/// How a line looks.
pub(super) enum Look {
    /// `2026-11-23T10:00:00.123456Z  INFO cmp_relay::http: request status=200 path="/v1/x"`.
    Text,
    /// `{"timestamp":"..","level":"INFO","message":"request","status":200,"path":"/v1/x","target":".."}`.
    Json,
}

impl<S, N> FormatEvent<S, N> for Look
where
    S: Subscriber + for<'a> LookupSpan<'a>,
    N: for<'a> FormatFields<'a> + 'static,
{
    fn format_event(
        &self,
        _: &FmtContext<'_, S, N>,
        mut out: Writer<'_>,
        event: &Event<'_>,
    ) -> fmt::Result {
        let mut line = String::with_capacity(512);
        match self {
            Self::Text => write_text(&mut line, event),
            Self::Json => write_object(&mut line, event),
        }
        line.push('\n');
        out.write_str(&line)
    }
}

fn write_text(line: &mut String, event: &Event<'_>) {
    write_time(line, SystemTime::now());
    let level = event.metadata().level().as_str();
    for part in [
        &"      "[level.len()..],
        level,
        " ",
        event.metadata().target(),
        ": ",
    ] {
        line.push_str(part);
    }
    let head = line.len();
    event.record(&mut TextFields { line, head });
}

fn write_object(line: &mut String, event: &Event<'_>) {
    line.push_str("{\"timestamp\":\"");
    write_time(line, SystemTime::now());
    line.push_str("\",\"level\":\"");
    line.push_str(event.metadata().level().as_str());
    line.push('"');
    event.record(&mut JsonFields(line));
    line.push_str(",\"target\":");
    write_json(line, event.metadata().target());
    line.push('}');
}

/// RFC 3339, in UTC, with microseconds. All but these is written once a second.
fn write_time(line: &mut String, at: SystemTime) {
    thread_local! {
        static SECOND: RefCell<(u64, String)> = const { RefCell::new((u64::MAX, String::new())) };
    }
    let since = at.duration_since(UNIX_EPOCH).unwrap_or_default();
    SECOND.with_borrow_mut(|(second, text)| {
        if *second != since.as_secs() {
            *second = since.as_secs();
            let at = OffsetDateTime::UNIX_EPOCH + Duration::from_secs(*second);
            text.clear();
            let (date, (hour, minute, second)) = (at.date(), at.to_hms());
            let _ = write!(text, "{date}T{hour:02}:{minute:02}:{second:02}.");
        }
        line.push_str(text);
    });
    let micros = since.subsec_micros();
    for place in [100_000, 10_000, 1_000, 100, 10, 1] {
        let digit = u8::try_from(micros / place % 10).unwrap_or_default();
        line.push(char::from(b'0' + digit));
    }
    line.push('Z');
}

/// A string in JSON's quotes.
fn write_json(line: &mut String, text: &str) {
    // By far the most need no escape.
    let plain = |byte: u8| byte >= b' ' && !matches!(byte, b'"' | b'\\');
    if text.bytes().all(plain) {
        line.push('"');
        line.push_str(text);
        line.push('"');
    } else {
        let quoted = serde_json::to_string(text).expect("a string is JSON");
        line.push_str(&quoted);
    }
}

/// ` name=value`; the message stands first, without its name.
struct TextFields<'l> {
    line: &'l mut String,
    /// Where the fields begin.
    head: usize,
}

impl TextFields<'_> {
    fn name(&mut self, field: &Field) {
        if self.line.len() > self.head {
            self.line.push(' ');
        }
        self.line.push_str(field.name());
        self.line.push('=');
    }
}

impl Visit for TextFields<'_> {
    fn record_str(&mut self, field: &Field, value: &str) {
        self.name(field);
        // Debug's quotes, without its way through each character.
        let plain = |byte: u8| (b' '..0x7f).contains(&byte) && !matches!(byte, b'"' | b'\\');
        if value.bytes().all(plain) {
            self.line.push('"');
            self.line.push_str(value);
            self.line.push('"');
        } else {
            let _ = write!(self.line, "{value:?}");
        }
    }

    fn record_f64(&mut self, field: &Field, value: f64) {
        // Debug looks for the shortest digits that mean this number; with three decimals they are known.
        let thousandths = (value * 1e3).round();
        if !(0.0..1e12).contains(&thousandths) || thousandths / 1e3 != value {
            return self.record_debug(field, &value);
        }
        self.name(field);
        // In range, and whole.
        let thousandths = thousandths as u64;
        let _ = write!(
            self.line,
            "{}.{:03}",
            thousandths / 1000,
            thousandths % 1000
        );
        let zeros = self.line.len() - self.line.trim_end_matches('0').len();
        self.line.truncate(self.line.len() - zeros.min(2));
    }

    fn record_debug(&mut self, field: &Field, value: &dyn fmt::Debug) {
        if field.name() == "message" {
            let fields = self.line.split_off(self.head);
            let _ = write!(self.line, "{value:?}");
            if !fields.is_empty() {
                self.line.push(' ');
                self.line.push_str(&fields);
            }
        } else {
            self.name(field);
            let _ = write!(self.line, "{value:?}");
        }
    }
}

/// `,"name":value`; what is no number and no boolean is a string.
struct JsonFields<'l>(&'l mut String);

impl JsonFields<'_> {
    fn name(&mut self, field: &Field) {
        self.0.push(',');
        write_json(self.0, field.name());
        self.0.push(':');
    }

    fn plain(&mut self, field: &Field, value: impl fmt::Display) {
        self.name(field);
        let _ = write!(self.0, "{value}");
    }
}

impl Visit for JsonFields<'_> {
    fn record_str(&mut self, field: &Field, value: &str) {
        self.name(field);
        write_json(self.0, value);
    }

    fn record_bool(&mut self, field: &Field, value: bool) {
        self.plain(field, value);
    }

    fn record_i64(&mut self, field: &Field, value: i64) {
        self.plain(field, value);
    }

    fn record_u64(&mut self, field: &Field, value: u64) {
        self.plain(field, value);
    }

    fn record_f64(&mut self, field: &Field, value: f64) {
        self.name(field);
        // Not finite, it is no number of JSON.
        match serde_json::Number::from_f64(value) {
            Some(number) => drop(write!(self.0, "{number}")),
            None => self.0.push_str("null"),
        }
    }

    fn record_debug(&mut self, field: &Field, value: &dyn fmt::Debug) {
        self.name(field);
        let mut text = String::new();
        let _ = write!(text, "{value:?}");
        write_json(self.0, &text);
    }
}

#[cfg(test)]
mod tests {
    use std::sync::{Arc, Mutex};

    use serde_json::Value;
    use tracing_subscriber::fmt::{MakeWriter, SubscriberBuilder};

    use super::*;

    #[derive(Clone, Default)]
    struct Lines(Arc<Mutex<Vec<u8>>>);

    impl std::io::Write for Lines {
        fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
            self.0.lock().unwrap().extend_from_slice(bytes);
            Ok(bytes.len())
        }

        fn flush(&mut self) -> std::io::Result<()> {
            Ok(())
        }
    }

    impl MakeWriter<'_> for Lines {
        type Writer = Self;

        fn make_writer(&self) -> Self {
            self.clone()
        }
    }

    fn said(
        by: impl FnOnce(SubscriberBuilder, Lines) -> Box<dyn Subscriber + Send + Sync>,
    ) -> String {
        let lines = Lines::default();
        let subscriber = by(tracing_subscriber::fmt(), lines.clone());
        tracing::subscriber::with_default(subscriber, || {
            let (absent, odd) = (None::<&str>, "a \"quoted\"\nname \u{e9}");
            tracing::info!(
                first = "plain",
                odd,
                absent,
                path = ?"/v1/x",
                peer = %"127.0.0.1:1",
                status = 200_u16,
                below = -1_i64,
                ms = 1.25,
                none = 0.0,
                whole = 30.0,
                least = 0.001,
                finer = 0.000_25,
                third = 1.0 / 3.0,
                minus = -1.5,
                odd_one = f64::NAN,
                well = true,
                "request {}", 1
            );
            tracing::warn!("alone");
        });
        let text = String::from_utf8(lines.0.lock().unwrap().clone()).unwrap();
        // The time differs from one subscriber to the next.
        let cut = |line: &str| {
            let at = line.find("Z").unwrap() - 26;
            format!("{}{}", &line[..at], &line[at + 26..])
        };
        text.lines().map(cut).collect::<Vec<_>>().join("\n")
    }

    #[test]
    fn a_line_of_text_is_what_the_general_formatter_writes() {
        let own = said(|builder, lines| {
            Box::new(
                builder
                    .with_ansi(false)
                    .event_format(Look::Text)
                    .with_writer(lines)
                    .finish(),
            )
        });
        let general =
            said(|builder, lines| Box::new(builder.with_ansi(false).with_writer(lines).finish()));
        assert_eq!(own, general);
    }

    #[test]
    fn a_line_of_json_holds_what_the_general_formatter_writes() {
        let read = |text: &str| -> Vec<Value> {
            text.lines()
                .map(|line| serde_json::from_str(line).unwrap())
                .collect()
        };
        let own = said(|builder, lines| {
            Box::new(builder.event_format(Look::Json).with_writer(lines).finish())
        });
        let general = said(|builder, lines| {
            Box::new(
                builder
                    .json()
                    .flatten_event(true)
                    .with_writer(lines)
                    .finish(),
            )
        });
        assert_eq!(read(&own), read(&general));
        assert!(
            own.starts_with(r#"{"timestamp":"Z","level":"INFO","message":"request 1","#),
            "{own}"
        );
    }

    #[test]
    fn a_time_has_all_its_digits() {
        let mut line = String::new();
        write_time(
            &mut line,
            UNIX_EPOCH + Duration::from_micros(1_700_000_000_000_250),
        );
        assert_eq!(line, "2023-11-14T22:13:20.000250Z");
    }
}
