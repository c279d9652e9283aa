//! Where keepalived's scripts ask and tell: a Unix socket that only the service's user may open.
//!
//! One line in, one line out: `check` is answered `ok` or `no: REASON`; `notify STATE` only makes the machine look
//! at once, and is answered `ok`.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Context, Result};
use tokio::io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader};
use tokio::net::{UnixListener, UnixStream};
use tokio::time::timeout;

use super::Ha;
use crate::shutdown::Shutdown;

/// keepalived kills a script after its own timeout; this is below any sensible one.
const ANSWER: Duration = Duration::from_millis(400);
/// Longer lines are nobody's.
const LINE: u64 = 200;

/// Below the folder `ha.state`.
pub fn path(state: &Path) -> PathBuf {
    state.join("ha.sock")
}

/// Serves until told to stop.
pub fn serve(state: &Path, ha: Ha, mut stop: Shutdown) -> Result<()> {
    fs::create_dir_all(state)
        .with_context(|| format!("the folder {} cannot be made (`ha.state`)", state.display()))?;
    let path = path(state);
    // Left by a process that was killed; one that runs holds the lock on the database.
    let _ = fs::remove_file(&path);
    let listener =
        UnixListener::bind(&path).with_context(|| format!("{} cannot be bound", path.display()))?;
    fs::set_permissions(&path, fs::Permissions::from_mode(0o600))?;
    tokio::spawn(async move {
        loop {
            tokio::select! {
                () = stop.stopping() => break,
                Ok((stream, _)) = listener.accept() => {
                    let ha = ha.clone();
                    tokio::spawn(async move {
                        // A script that goes away is asked by keepalived again.
                        let _ = timeout(ANSWER, converse(stream, &ha)).await;
                    });
                }
            }
        }
        let _ = fs::remove_file(&path);
    });
    Ok(())
}

async fn converse(stream: UnixStream, ha: &Ha) -> std::io::Result<()> {
    let (read, mut write) = stream.into_split();
    let mut line = String::new();
    BufReader::new(read.take(LINE)).read_line(&mut line).await?;
    let answer = match line.trim() {
        "check" => match ha.status().may_have_the_address() {
            Ok(()) => "ok\n".to_owned(),
            Err(reason) => format!("no: {reason}\n"),
        },
        words if words.starts_with("notify") => {
            tracing::info!(keepalived = words, "told");
            ha.wake();
            "ok\n".to_owned()
        }
        other => format!("no: `{other}` is neither `check` nor `notify STATE`\n"),
    };
    write.write_all(answer.as_bytes()).await
}

/// Asks the relay of this host; the answer without its line feed.
pub async fn ask(state: &Path, line: &str) -> Result<String> {
    let path = path(state);
    let asked = async {
        let mut stream = UnixStream::connect(&path).await?;
        stream.write_all(format!("{line}\n").as_bytes()).await?;
        let mut answer = String::new();
        stream.read_to_string(&mut answer).await?;
        Ok::<_, std::io::Error>(answer)
    };
    let answer = timeout(ANSWER, asked)
        .await
        .context("the relay does not answer")?
        .with_context(|| format!("the relay cannot be asked at {}", path.display()))?;
    Ok(answer.trim_end().to_owned())
}
