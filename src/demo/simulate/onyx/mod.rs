//! A simulated switch with a command line in the manner of Onyx.
//!
//! Written beside NVIDIA's Onyx User Manual: prompts and modes, `%` errors, paging, and those commands
//! that the pack's routes need and what an operator types around them. What it holds is [`config`], what
//! it understands is [`commands`], what it shows is [`show`], how it types is [`terminal`], and its other door, JSON over
//! HTTP, is [`web`].

mod commands;
mod config;
mod show;
mod terminal;
mod web;

use std::io;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, MutexGuard};

use axum::Router;
use tokio::io::{AsyncRead, AsyncWrite};

use self::commands::{Ended, Session};
use self::config::Config;
use self::terminal::{Line, Terminal};
use super::kept;

/// The one switch, whose sessions share its configuration.
#[derive(Debug)]
pub(super) struct Switch {
    name: String,
    /// What `enable` asks for, and a login over HTTP.
    secret: String,
    sessions: web::Sessions,
    state: Mutex<State>,
    file: Option<PathBuf>,
}

#[derive(Debug, Default)]
struct State {
    config: Config,
    heard: Vec<String>,
}

impl Switch {
    /// Opens a switch with what its file holds; without one, as it leaves the factory.
    pub(super) fn open(name: &str, secret: &str, file: Option<PathBuf>) -> io::Result<Self> {
        let config = kept::read(file.as_ref())?.unwrap_or_default();
        Ok(Self {
            name: name.to_owned(),
            secret: secret.to_owned(),
            sessions: web::Sessions::default(),
            state: Mutex::new(State {
                config,
                heard: Vec::new(),
            }),
            file,
        })
    }

    /// The lines that came so far, of all sessions; no passwords.
    pub(super) fn heard(&self) -> Vec<String> {
        self.state().heard.clone()
    }

    /// Runs a line in configuration mode, as somebody does behind everybody's back; it is not among what was heard.
    pub(super) fn enter(&self, line: &str) {
        commands::run(&mut Session::configuring(), &mut self.state().config, line);
    }

    /// Its JSON API.
    pub(super) fn router(self: &Arc<Self>) -> Router {
        web::router(Arc::clone(self))
    }

    /// Ends every session over HTTP. From now on who has none is told so, or is shown the way to the login page.
    pub(super) fn end_sessions(&self, shows_the_way: bool) {
        self.sessions.end(shows_the_way);
    }

    /// Sessions over HTTP: given out so far, and open now.
    pub(super) fn logins(&self) -> (u64, usize) {
        (self.sessions.logins(), self.sessions.count())
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().expect("no command panics")
    }

    /// Runs a line of a session: what it prints, and whether the session goes on.
    fn run(&self, session: &mut Session, line: &str) -> io::Result<(String, Option<Ended>)> {
        let mut state = self.state();
        state.heard.push(line.to_owned());
        let before = state.config.clone();
        let said = commands::run(session, &mut state.config, line);
        // Running is kept at once, so that the demo goes on where it ended; a real one forgets what
        // `configuration write` did not save.
        if let Some(file) = &self.file
            && state.config != before
        {
            kept::write(file, &state.config)?;
        }
        Ok(said)
    }
}

/// Serves one session on a channel, to its `exit` or its end.
pub(super) async fn converse<S>(stream: S, switch: &Switch) -> io::Result<()>
where
    S: AsyncRead + AsyncWrite + Unpin,
{
    let mut terminal = Terminal::new(stream);
    let mut session = Session::new();
    terminal
        .write("\nNVIDIA Onyx Switch Management (simulated)\n\n")
        .await?;
    loop {
        terminal.write(&session.prompt(&switch.name)).await?;
        let line = match terminal.read_line().await? {
            Line::Typed(line) => line,
            Line::Interrupted => continue,
            Line::Help(typed) => {
                terminal.write(&commands::help(&session, &typed)).await?;
                continue;
            }
            Line::Ended => return Ok(()),
        };
        let (said, ended) = switch.run(&mut session, &line)?;
        match ended {
            None => terminal.show(&said, session.pages).await?,
            Some(Ended::LoggedOut) => return Ok(()),
            Some(Ended::AsksSecret) => {
                terminal.write("Password: ").await?;
                match terminal.read_secret().await? {
                    Line::Typed(secret) if secret == switch.secret => session.privilege(),
                    Line::Ended => return Ok(()),
                    _ => terminal.write("% Invalid password.\n").await?,
                }
            }
        }
    }
}

#[cfg(test)]
mod tests;
