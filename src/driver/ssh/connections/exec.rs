//! One program, from its start to its exit status (RFC 4254, sections 6.5 and 6.10).
//!
//! A program's end is the end of its output, its exit status and the close of its channel, and
//! servers send these in any order: what stops at the first of them loses output or status.

use std::convert::Infallible;

use bytes::{Bytes, BytesMut};
use russh::client::Msg;
use russh::{ChannelMsg, ChannelReadHalf, ChannelWriteHalf};
use tokio::time::{Instant, timeout_at};

use super::refused;
use super::session::{Lease, Session};
use crate::driver::{Answer, Clearance, DriverError, ExecCommand, Phase, Protocol, Ruling};
use crate::plan::BackendLimits;

/// The type of extended data that is standard error (RFC 4254, section 5.2).
const STDERR: u32 = 1;

/// Runs `command` on a channel of its own. A program that is not waited for any longer takes its
/// connection with it, as soon as nobody else uses that: nobody knows what it still does.
pub(super) async fn run(
    session: Session,
    command: &ExecCommand,
    clearance: &Clearance,
    limits: &BackendLimits,
) -> Result<Answer, DriverError> {
    let (channel, lease) = session.split();
    let (read, write) = channel.split();
    let mut ending = Ending {
        write: Some(write),
        lease,
        known: false,
    };
    let left = clearance
        .check()
        .map_err(|refusal| refused(refusal, Phase::Send))?;
    let deadline = Instant::now() + left;
    let first = deadline.min(Instant::now() + limits.first_byte_timeout);
    // From here on the server may have begun it.
    let sent = ending.write().exec(true, command.command.as_str());
    match timeout_at(deadline, sent).await {
        Ok(Ok(())) => {}
        Ok(Err(_)) => return Err(lost(Phase::Send)),
        Err(_) => return Err(late(Phase::Send, "it was not sent before the deadline")),
    }
    let mut run = Run::new(read, limits.response_body);
    let reading = async {
        let began = timeout_at(first, run.until(Step::Began)).await;
        if began.is_err() && first < deadline {
            return Err(late(
                Phase::Wait,
                "no answer began within `first_byte_timeout`",
            ));
        }
        began.map_err(|_| late(Phase::Wait, "no answer came before the deadline"))??;
        let ended = timeout_at(deadline, run.until(Step::Ended)).await;
        ended.map_err(|_| late(Phase::Read, "the program did not end before the deadline"))?
    };
    let write = ending.write();
    let writing = async {
        if let Some(stdin) = &command.stdin {
            // A program that reads no more has its own way to say so.
            let _ = write.data_bytes(stdin.clone()).await;
        }
        let _ = write.eof().await;
        std::future::pending::<Infallible>().await
    };
    let ended = tokio::select! {
        ended = reading => ended,
        never = writing => match never {},
    };
    ending.known = run.closed || run.refused;
    ended?;
    run.answer()
}

/// Closes the channel on the server, whatever becomes of the call.
struct Ending {
    /// `None` only while it is dropped.
    write: Option<ChannelWriteHalf<Msg>>,
    lease: Lease,
    /// The program has ended, or it never began.
    known: bool,
}

impl Ending {
    fn write(&self) -> &ChannelWriteHalf<Msg> {
        self.write.as_ref().expect("only drop takes it")
    }
}

impl Drop for Ending {
    fn drop(&mut self) {
        if !self.known {
            self.lease.retire();
        }
        if let (Some(write), Ok(runtime)) =
            (self.write.take(), tokio::runtime::Handle::try_current())
        {
            runtime.spawn(async move {
                // An error means that the connection has ended, and the channel with it.
                let _ = write.close().await;
            });
        }
    }
}

/// How far a program came.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Step {
    /// Something of it was heard.
    Began,
    Ended,
}

/// What is heard of a program.
struct Run {
    read: ChannelReadHalf,
    most: usize,
    stdout: BytesMut,
    stderr: BytesMut,
    cut: bool,
    granted: bool,
    refused: bool,
    /// Its output has ended.
    ended: bool,
    closed: bool,
    status: Option<u32>,
    signal: Option<String>,
}

impl Run {
    fn new(read: ChannelReadHalf, most: usize) -> Self {
        Self {
            read,
            most,
            stdout: BytesMut::new(),
            stderr: BytesMut::new(),
            cut: false,
            granted: false,
            refused: false,
            ended: false,
            closed: false,
            status: None,
            signal: None,
        }
    }

    /// Listens until the program came so far.
    async fn until(&mut self, step: Step) -> Result<(), DriverError> {
        while self.hear().await?.is_none_or(|came| came < step) {}
        Ok(())
    }

    /// Takes the next message; how far the program came with it, where it tells.
    async fn hear(&mut self) -> Result<Option<Step>, DriverError> {
        match self.read.wait().await {
            Some(ChannelMsg::Success) => {
                self.granted = true;
                return Ok(None);
            }
            Some(ChannelMsg::Failure) if !self.granted => {
                self.refused = true;
                return Err(DriverError::not_sent(
                    Phase::Open,
                    "the server runs no programs for this user (it refused `exec`)",
                ));
            }
            Some(ChannelMsg::Data { data }) => self.cut |= keep(&mut self.stdout, &data, self.most),
            Some(ChannelMsg::ExtendedData { data, ext: STDERR }) => {
                self.cut |= keep(&mut self.stderr, &data, self.most);
            }
            Some(ChannelMsg::ExitStatus { exit_status }) => self.status = Some(exit_status),
            Some(ChannelMsg::ExitSignal { signal_name, .. }) => {
                self.signal = Some(format!("{signal_name:?}"));
            }
            Some(ChannelMsg::Eof) => self.ended = true,
            Some(ChannelMsg::Close) => {
                self.ended = true;
                self.closed = true;
                return Ok(Some(Step::Ended));
            }
            // The connection is lost; what came before may be all there is.
            None => return Ok(Some(Step::Ended)),
            Some(_) => return Ok(None),
        }
        Ok(Some(Step::Began))
    }

    fn answer(self) -> Result<Answer, DriverError> {
        let ruling = match &self.signal {
            Some(signal) => Ruling::Unclear {
                detail: format!("the program was ended by the signal {signal}"),
            },
            None => Ruling::ByStatus,
        };
        let status = match (self.status, &self.signal) {
            (Some(status), _) => u16::try_from(status).unwrap_or(u16::MAX),
            (None, Some(_)) => u16::MAX,
            (None, None) => return Err(lost(Phase::Read)),
        };
        let body_error = if self.cut {
            Some(format!("it is larger than {} bytes", self.most))
        } else if !self.ended {
            Some("the connection was lost before its end".to_owned())
        } else {
            None
        };
        Ok(Answer {
            status,
            body: self.stdout.freeze(),
            stderr: self.stderr.freeze(),
            body_error,
            sends: 1,
            protocol: Protocol::Exec,
            ruling,
            ..Answer::default()
        })
    }
}

/// Keeps what fits; whether something did not.
fn keep(kept: &mut BytesMut, data: &Bytes, most: usize) -> bool {
    let room = most.saturating_sub(kept.len()).min(data.len());
    kept.extend_from_slice(&data[..room]);
    room < data.len()
}

fn lost(phase: Phase) -> DriverError {
    DriverError::unknown(
        phase,
        "the connection or the channel was lost before the program's exit status came",
    )
}

fn late(phase: Phase, detail: &str) -> DriverError {
    DriverError::unknown(phase, detail)
}
