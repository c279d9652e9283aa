//! The scripted device: modes, pages, a password, questions, refusals, and a log of what it heard.

use std::sync::{Arc, Mutex};

use tokio::io::{AsyncReadExt, AsyncWriteExt, DuplexStream, duplex};

/// What it does besides the usual.
#[derive(Clone, Debug, Default)]
pub struct Quirks {
    /// Shown before the first prompt.
    pub banner: String,
    /// Shows nothing before a first empty line.
    pub waits_for_enter: bool,
    /// Shows nothing, ever.
    pub mute: bool,
    /// A login ends in `enable`.
    pub privileged: bool,
    /// Log messages come in between.
    pub logs: bool,
    /// It echoes passwords.
    pub echoes_secret: bool,
    /// Nothing can be saved.
    pub full: bool,
}

type Hook = Box<dyn FnOnce() + Send>;

#[derive(Default)]
struct Log {
    heard: Vec<String>,
    hook: Option<(String, Hook)>,
}

pub struct Device {
    log: Arc<Mutex<Log>>,
}

impl Device {
    pub fn start(quirks: Quirks) -> (DuplexStream, Self) {
        let (ours, theirs) = duplex(4096);
        let log = Arc::new(Mutex::new(Log::default()));
        let session = Session {
            stream: theirs,
            mode: if quirks.privileged { 1 } else { 0 },
            host: "sw1".into(),
            log: Arc::clone(&log),
            quirks,
        };
        tokio::spawn(session.run());
        (ours, Self { log })
    }

    /// The lines that it was sent, one by one.
    pub fn heard(&self) -> Vec<String> {
        self.log.lock().unwrap().heard.clone()
    }

    /// Does something once, when it hears a line.
    pub fn on_line(&self, line: &str, hook: impl FnOnce() + Send + 'static) {
        self.log.lock().unwrap().hook = Some((line.into(), Box::new(hook)));
    }
}

struct Session {
    stream: DuplexStream,
    /// 0 exec, 1 enable, 2 config, 3 a mode inside it.
    mode: usize,
    host: String,
    log: Arc<Mutex<Log>>,
    quirks: Quirks,
}

impl Session {
    async fn run(mut self) -> Option<()> {
        if self.quirks.mute {
            return std::future::pending().await;
        }
        let banner = self.quirks.banner.clone();
        self.say(&banner).await?;
        if self.quirks.waits_for_enter {
            self.hear(true).await?;
        }
        loop {
            let prompt = match self.mode {
                0 => format!("\r\n{}> ", self.host),
                1 => format!("\r\n{}# ", self.host),
                2 => format!("\r\n{}(config)# ", self.host),
                _ => format!("\r\n{}(config-if)# ", self.host),
            };
            self.say(&prompt).await?;
            if self.quirks.logs && self.mode == 0 {
                self.say("\r\n%LINK-3-UPDOWN: Interface eth0, changed state to up\r\n")
                    .await?;
            }
            let line = self.hear(true).await?;
            if self.quirks.logs {
                self.say("%SYS-5-CONFIG_I: Configured from console\r\n")
                    .await?;
            }
            self.obey(line.trim()).await?;
        }
    }

    /// Answers end without a line end: the next prompt begins with one.
    async fn obey(&mut self, line: &str) -> Option<()> {
        match (line, self.mode) {
            ("enable", 0) => {
                for _ in 0..3 {
                    self.say("Password: ").await?;
                    let echoes = self.quirks.echoes_secret;
                    let given = self.hear(echoes).await?;
                    self.say("\r\n").await?;
                    if given == "hunter2" {
                        self.mode = 1;
                        return Some(());
                    }
                }
                self.say("% Bad secrets").await
            }
            ("disable", 1) => self.goes(0),
            ("configure terminal", 1) => self.goes(2),
            ("end", 2 | 3) => self.goes(1),
            ("interface eth0", 2 | 3) => self.goes(3),
            ("show vlan", _) => self.say("1 default\r\n\r\n10 office").await,
            ("show flood", _) => {
                let flood = "flood ".repeat(10) + "\r\n";
                self.say(&flood.repeat(100)).await
            }
            ("show pages", _) => {
                for page in 1..3 {
                    self.say(&format!("page {page}\r\n\x1b[7m --More-- \x1b[27m"))
                        .await?;
                    let key = self.stream.read_u8().await.ok()?;
                    assert_eq!(key, b' ');
                    self.say("\x08\x08\x08\x08\x08\x08\x08\x08\x08\x08          \x08\x08\x08\x08\x08\x08\x08\x08\x08\x08").await?;
                }
                self.say("page 3").await
            }
            ("clear all", 1) => {
                self.say("Really? [confirm]").await?;
                self.hear(true).await?;
                self.say("cleared").await
            }
            ("clear forever", 1) => loop {
                self.say("Really? [confirm]").await?;
                self.hear(true).await?;
            },
            ("hang", _) => std::future::pending().await,
            ("bye", _) => None,
            ("write memory", 1) if self.quirks.full => self.say("% No space left").await,
            ("write memory", 1) => self.say("[OK]").await,
            _ => {
                if let Some(host) = line.strip_prefix("hostname ") {
                    self.host = host.into();
                    return Some(());
                }
                if let Some(text) = line.strip_prefix("repeat ") {
                    return self.say(&format!("% {text}")).await;
                }
                let fine = ["", "terminal length 0", "commit", "rollback", "note"];
                let fine = fine.contains(&line)
                    || line.starts_with("description ")
                    || line.starts_with("note ");
                match fine {
                    true => Some(()),
                    false => self.say("        ^\r\n% Unknown command").await,
                }
            }
        }
    }

    fn goes(&mut self, mode: usize) -> Option<()> {
        self.mode = mode;
        Some(())
    }

    /// One line, echoed as a terminal does.
    async fn hear(&mut self, echo: bool) -> Option<String> {
        let mut line = Vec::new();
        loop {
            let byte = self.stream.read_u8().await.ok()?;
            if byte == b'\n' {
                break;
            }
            line.push(byte);
        }
        let line = String::from_utf8(line).unwrap();
        if echo {
            self.say(&format!("{line}\r\n")).await?;
        }
        let hook = {
            let mut log = self.log.lock().unwrap();
            log.heard.push(line.clone());
            log.hook.take_if(|(awaited, _)| *awaited == line)
        };
        if let Some((_, hook)) = hook {
            hook();
        }
        Some(line)
    }

    async fn say(&mut self, text: &str) -> Option<()> {
        self.stream.write_all(text.as_bytes()).await.ok()
    }
}
