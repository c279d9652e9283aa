//! The other node: its relay's admin listener, and the last commit of its server.

use std::time::Duration;

use anyhow::{Context, Result, bail};
use reqwest::{Certificate, Client, StatusCode};
use serde::{Deserialize, Serialize};

use super::status::Status;
use crate::plan::{MariaDb, Peer};
use crate::store::Position;

/// How long a look may take.
const LOOK: Duration = Duration::from_millis(400);
/// How long the peer's server may take to say anything at all, a new connection included.
const FIRST_WORD: Duration = Duration::from_millis(600);

/// Asked of the peer before every take-over.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Ask {
    pub node: String,
    /// The newest epoch that the asker knows.
    pub epoch: i64,
    /// A person ordered it: an active node yields, too.
    pub ordered: bool,
}

/// The peer's word that it is not active, and will not be without asking.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Granted {
    /// It was active until now.
    pub was_active: bool,
    /// It will follow by itself: what it had is all known.
    pub follows: bool,
    /// The newest epoch that it knows.
    pub epoch: i64,
    /// The newest commit that its server has; `None` where its server does not answer.
    pub position: Option<Position>,
}

/// What came of asking.
#[derive(Clone, Debug)]
pub enum Answer {
    Granted(Granted),
    /// In the peer's words.
    Refused(String),
    Silent(String),
}

/// A client of the peer's admin listener.
#[derive(Clone, Debug)]
pub struct PeerClient {
    /// Keeps its connection, so that looking is cheap.
    looker: Client,
    /// Connects anew: what is asked must not be sent into a connection whose other end is gone.
    asker: Client,
    base: String,
    peer: Peer,
}

impl PeerClient {
    pub fn new(peer: &Peer) -> Result<Self> {
        let roots = match &peer.ca_file {
            Some(file) => {
                let pem = std::fs::read(file)
                    .with_context(|| format!("{} (`ha.peer.ca_file`)", file.display()))?;
                let roots = Certificate::from_pem_bundle(&pem);
                Some(roots.with_context(|| format!("{} is not PEM", file.display()))?)
            }
            None => None,
        };
        let client = |kept| {
            let builder = Client::builder()
                .redirect(reqwest::redirect::Policy::none())
                .no_proxy()
                .connect_timeout(LOOK)
                .pool_max_idle_per_host(kept);
            let builder = match &roots {
                Some(roots) => builder.tls_certs_only(roots.clone()),
                None => builder,
            };
            builder.build().context("no HTTP client can be made")
        };
        Ok(Self {
            looker: client(1)?,
            asker: client(0)?,
            base: peer.url.to_string().trim_end_matches('/').to_owned(),
            peer: peer.clone(),
        })
    }

    /// What it says of itself.
    pub async fn look(&self) -> Result<Status> {
        let answer = self
            .looker
            .get(format!("{}/relay/v1/ha", self.base))
            .bearer_auth(self.peer.token.expose())
            .timeout(LOOK)
            .send()
            .await?;
        match answer.status() {
            StatusCode::OK => Ok(answer.json().await?),
            status => bail!("it answered {status}"),
        }
    }

    /// Asks it to yield.
    pub async fn ask(&self, ask: &Ask, within: Duration) -> Answer {
        let sent = self.post("yield", &serde_json::json!(ask), within).await;
        let answer = match sent {
            Ok(answer) => answer,
            Err(error) => return Answer::Silent(words(&error)),
        };
        let status = answer.status();
        match status {
            StatusCode::OK => match answer.json().await {
                Ok(granted) => Answer::Granted(granted),
                Err(error) => Answer::Silent(words(&error)),
            },
            status if status.is_server_error() => Answer::Silent(format!("it answered {status}")),
            _ => Answer::Refused(detail(answer).await),
        }
    }

    /// Tells it to take over, and waits until it has or says why not.
    pub async fn take_over(&self, within: Duration) -> Result<String> {
        let order = serde_json::json!({});
        let answer = self
            .post("take-over", &order, within)
            .await
            .context("the peer does not answer")?;
        match answer.status() {
            StatusCode::OK => Ok(detail(answer).await),
            _ => bail!("{}", detail(answer).await),
        }
    }

    async fn post(
        &self,
        verb: &str,
        body: &serde_json::Value,
        within: Duration,
    ) -> Result<reqwest::Response, reqwest::Error> {
        self.asker
            .post(format!("{}/relay/v1/ha/{verb}", self.base))
            .bearer_auth(self.peer.token.expose())
            .json(body)
            .timeout(within)
            .send()
            .await
    }
}

/// The `detail` of a problem or of an order's answer.
async fn detail(answer: reqwest::Response) -> String {
    let status = answer.status();
    let body: serde_json::Value = answer.json().await.unwrap_or_default();
    match body["detail"].as_str() {
        Some(detail) => detail.to_owned(),
        None => format!("it answered {status}"),
    }
}

/// The innermost cause says what happened; the outer ones name the URL.
fn words(error: &reqwest::Error) -> String {
    let mut cause: &dyn std::error::Error = error;
    while let Some(inner) = cause.source() {
        cause = inner;
    }
    cause.to_string()
}

/// The last commit of the peer's server, read until it stands still; `None`: it does not answer, or writes on.
pub async fn settled_position(server: &MariaDb) -> Option<Position> {
    let read = async {
        let mut control = super::control::Control::new(server);
        let first = tokio::time::timeout(FIRST_WORD, control.binlog_position());
        let mut last = first.await.ok()?.ok()?;
        for _ in 0..10 {
            tokio::time::sleep(Duration::from_millis(100)).await;
            let now = control.binlog_position().await.ok()?;
            if now == last {
                return now;
            }
            last = now;
        }
        None
    };
    tokio::time::timeout(Duration::from_secs(3), read)
        .await
        .ok()?
}
