//! One program, from its start to its exit status (RFC 4254, sections 6.5 and 6.10).
//!
//! A program's end is the end of its output, its exit status and the close of its channel, and
//! servers send these in any order: what stops at the first of them loses output or status.

use bytes::{Bytes, BytesMut};
use russh::client::Msg;
use russh::{Channel, ChannelMsg, ChannelReadHalf, ChannelWriteHalf};
use tokio::time::{Instant, timeout_at};

use super::refused;
use crate::driver::{Answer, Clearance, DriverError, ExecCommand, Phase, Protocol, Ruling};
use crate::plan::BackendLimits;

/// The type of extended data that is standard error (RFC 4254, section 5.2).
const STDERR: u32 = 1;

/// Runs `command` on a channel of its own.
pub(super) async fn run(
    channel: Channel<Msg>,
    command: &ExecCommand,
    clearance: &Clearance,
    limits: &BackendLimits,
) -> Result<Answer, DriverError> {
    let (read, write) = channel.split();
    let closing = Closing(Some(write));
    let write = closing.0.as_ref().expect("it is taken in drop alone");
    let left = clearance
        .check()
        .map_err(|refusal| refused(refusal, Phase::Send))?;
    let deadline = Instant::now() + left;
    let first = deadline.min(Instant::now() + limits.first_byte_timeout);
    // From here on the server may have begun it.
    if write.exec(true, command.command.as_str()).await.is_err() {
        return Err(lost(Phase::Send));
    }
    let mut run = Run::new(read, limits.response_body);
    let reading = async {
        let began = timeout_at(first, run.step()).await;
        let mut going =
            began.map_err(|_| late("nothing was heard of it within `first_byte_timeout`"))??;
        while going {
            let stepped = timeout_at(deadline, run.step()).await;
            going = stepped.map_err(|_| late("it did not end before the deadline"))??;
        }
        Ok(())
    };
    let writing = async {
        if let Some(stdin) = &command.stdin {
            // A program that reads no more has its own way to say so.
            let _ = write.data_bytes(stdin.clone()).await;
        }
        let _ = write.eof().await;
        std::future::pending::<()>().await
    };
    tokio::select! {
        ended = reading => ended?,
        () = writing => {}
    }
    run.answer()
}

/// Closes the channel on the server, whatever becomes of the call.
struct Closing(Option<ChannelWriteHalf<Msg>>);

impl Drop for Closing {
    fn drop(&mut self) {
        if let Some(write) = self.0.take() {
            tokio::spawn(async move {
                // An error means that the connection has ended, and the channel with it.
                let _ = write.close().await;
            });
        }
    }
}

struct Run {
    read: ChannelReadHalf,
    most: usize,
    granted: bool,
    stdout: BytesMut,
    stderr: BytesMut,
    cut: bool,
    ended: bool,
    status: Option<u32>,
    signal: Option<String>,
}

impl Run {
    fn new(read: ChannelReadHalf, most: usize) -> Self {
        Self {
            read,
            most,
            granted: false,
            stdout: BytesMut::new(),
            stderr: BytesMut::new(),
            cut: false,
            ended: false,
            status: None,
            signal: None,
        }
    }

    /// Takes the next message; whether there may be another.
    async fn step(&mut self) -> Result<bool, DriverError> {
        match self.read.wait().await {
            Some(ChannelMsg::Success) => self.granted = true,
            Some(ChannelMsg::Failure) if !self.granted => {
                return Err(DriverError::not_sent(
                    Phase::Open,
                    "the server runs no programs over SSH for this user (it refused `exec`)",
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
                return Ok(false);
            }
            None => return Ok(false),
            Some(_) => {}
        }
        Ok(true)
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

fn late(detail: &str) -> DriverError {
    DriverError::unknown(Phase::Wait, detail)
}
