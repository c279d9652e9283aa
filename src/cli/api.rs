//! The admin API as the command line uses it: `--admin URL`, or the environment, and a token from the environment.

use std::path::PathBuf;
use std::time::Duration;

use anyhow::{Context, Result};
use reqwest::{Certificate, Client, Identity, Method, Url};
use serde_json::Value;

use super::Vars;

/// Under every command that uses the admin API.
pub const HELP: &str = "The relay is asked at --admin URL, or CMP_RELAY_ADMIN; where it has clients, set CMP_RELAY_TOKEN \
    to the token of one with the role reader (to look) or operator (to change).";

/// The variable that holds the token.
const TOKEN: &str = "CMP_RELAY_TOKEN";

/// Where the admin API is.
#[derive(Clone, Debug, clap::Args)]
pub struct AdminArgs {
    /// The admin listener of a running relay; where it has clients, CMP_RELAY_TOKEN is the token of one
    #[arg(
        long,
        value_name = "URL",
        default_value = "http://127.0.0.1:8081",
        env = "CMP_RELAY_ADMIN",
        hide_env_values = true
    )]
    pub admin: Url,
    /// The CA of the listener's certificate (PEM); without it, the system's
    #[arg(
        long,
        value_name = "FILE",
        env = "CMP_RELAY_CA_FILE",
        hide_env_values = true
    )]
    pub ca_file: Option<PathBuf>,
    /// A client certificate and its key (PEM), where the listener wants one
    #[arg(long, value_name = "FILE")]
    pub client_cert: Option<PathBuf>,
    /// For people, or as the API gave it
    #[arg(long, value_enum, default_value_t = Format::Text)]
    pub format: Format,
}

/// How an answer is printed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub enum Format {
    /// Aligned columns
    Text,
    /// JSON
    Json,
}

/// A client of one relay's admin API.
pub struct Api {
    client: Client,
    base: Url,
    token: Option<String>,
    /// Answers are printed as they came.
    pub as_json: bool,
}

impl Api {
    pub fn new(args: &AdminArgs, vars: &Vars) -> Result<Self> {
        let mut builder = Client::builder()
            .redirect(reqwest::redirect::Policy::none())
            .no_proxy()
            .timeout(Duration::from_secs(60));
        if let Some(file) = &args.ca_file {
            let pem = read(file)?;
            let roots = Certificate::from_pem_bundle(&pem)
                .with_context(|| format!("{} is not PEM", file.display()))?;
            builder = builder.tls_certs_only(roots);
        }
        if let Some(file) = &args.client_cert {
            let identity = Identity::from_pem(&read(file)?).with_context(|| {
                format!("{} does not hold a certificate and its key", file.display())
            })?;
            builder = builder.identity(identity);
        }
        Ok(Self {
            client: builder.build().context("no HTTP client can be made")?,
            base: args.admin.clone(),
            token: vars.get(TOKEN).cloned(),
            as_json: args.format == Format::Json,
        })
    }

    pub async fn get(&self, path: &[&str], query: &[(&str, String)]) -> Result<Value> {
        self.send(Method::GET, path, query, None).await
    }

    pub async fn post(&self, path: &[&str], body: &Value) -> Result<Value> {
        self.send(Method::POST, path, &[], Some(body)).await
    }

    pub async fn delete(&self, path: &[&str], query: &[(&str, String)]) -> Result<Value> {
        self.send(Method::DELETE, path, query, None).await
    }

    /// Every item of a list, page by page; `cursor` is the parameter that continues it.
    pub async fn all(
        &self,
        path: &[&str],
        query: &[(&str, String)],
        cursor: &'static str,
        mut each: impl FnMut(&Value),
    ) -> Result<()> {
        let mut query = query.to_vec();
        loop {
            let page = self.get(path, &query).await?;
            page["items"]
                .as_array()
                .into_iter()
                .flatten()
                .for_each(&mut each);
            let Some(next) = page["next"].as_str() else {
                return Ok(());
            };
            query.retain(|(name, _)| *name != cursor);
            query.push((cursor, next.to_owned()));
        }
    }

    async fn send(
        &self,
        method: Method,
        path: &[&str],
        query: &[(&str, String)],
        body: Option<&Value>,
    ) -> Result<Value> {
        let mut url = self.base.clone();
        url.path_segments_mut()
            .map_err(|()| anyhow::anyhow!("{} is no address of a listener", self.base))?
            .pop_if_empty()
            .extend(["relay", "v1"])
            .extend(path);
        if !query.is_empty() {
            url.query_pairs_mut().extend_pairs(query);
        }
        let mut request = self.client.request(method.clone(), url);
        if method != Method::GET {
            request = request.header("content-type", "application/json");
            // What a pair is ordered to do may copy every row.
            if path.first() == Some(&"ha") {
                request = request.timeout(Duration::from_secs(3600));
            }
        }
        if let Some(token) = &self.token {
            request = request.bearer_auth(token);
        }
        if let Some(body) = body {
            request = request.body(body.to_string());
        }
        let answer = request
            .send()
            .await
            .with_context(|| format!("no answer from {}; does the relay run?", self.base))?;
        let status = answer.status();
        let replicated = answer.headers().get("relay-replicated");
        let is_here_alone = replicated.is_some_and(|told| told == "no");
        let bytes = answer.bytes().await.context("the answer broke off")?;
        let value: Value = match bytes.is_empty() {
            true => Value::Null,
            false => serde_json::from_slice(&bytes).with_context(|| {
                format!(
                    "{} answered {status}, and not in JSON; is it an admin listener?",
                    self.base
                )
            })?,
        };
        if status.is_success() {
            if is_here_alone && method != Method::GET {
                eprintln!(
                    "it is done, and not known to be on the standby: the loss of that node now could undo it"
                );
            }
            return Ok(value);
        }
        let status = status.as_u16();
        Err(Refusal {
            words: problem_words(status, &value),
            problem: value,
        }
        .into())
    }
}

/// An answer that is a problem.
#[derive(Debug, thiserror::Error)]
#[error("{words}")]
pub struct Refusal {
    words: String,
    /// As it came (RFC 9457).
    pub problem: Value,
}

/// A problem as a line: its code, its words, and what to do about a missing token.
fn problem_words(status: u16, problem: &Value) -> String {
    let code = problem["code"].as_str().unwrap_or("unexpected");
    let detail = problem["detail"].as_str().unwrap_or("no detail");
    let hint = match status {
        401 => format!(" (the token is taken from {TOKEN})"),
        _ => String::new(),
    };
    format!("{status} {code}: {detail}{hint}")
}

fn read(file: &PathBuf) -> Result<Vec<u8>> {
    std::fs::read(file).with_context(|| format!("cannot read {}", file.display()))
}

/// Runs one command against the API.
pub fn run<F>(
    args: &AdminArgs,
    vars: &Vars,
    command: impl FnOnce(Api) -> F,
) -> Result<std::process::ExitCode>
where
    F: Future<Output = Result<()>>,
{
    let api = Api::new(args, vars)?;
    super::serve::runtime()?.block_on(command(api))?;
    Ok(std::process::ExitCode::SUCCESS)
}

/// Optional filters as a query.
pub fn query<const N: usize>(
    filters: [(&'static str, &Option<String>); N],
) -> Vec<(&'static str, String)> {
    filters
        .into_iter()
        .filter_map(|(name, value)| Some((name, value.clone()?)))
        .collect()
}

/// Pretty JSON on standard output.
pub fn print_json(value: &Value) {
    println!("{value:#}");
}
