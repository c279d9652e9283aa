//! `demo --script`: sends every step of the story itself, in order, with a line of progress each.
//!
//! What is sent is the step that is printed otherwise; the first that is answered differently ends the script.

use std::io::{IsTerminal, Write, stderr};
use std::time::Duration;

use anyhow::{Context, bail};
use regex::Regex;
use reqwest::{Certificate, Client, Method};

use super::story::{Part, Step};

/// A simulated switch types its answers; a machine under load is slow.
const TIMEOUT: Duration = Duration::from_secs(120);

/// Sends the steps of the story; `ca_pem` is trusted, and no other CA.
///
/// # Errors
///
/// The first step whose status is not the expected one, with its line and what came instead.
pub async fn run(story: &[Part], ca_pem: &[u8], out: &mut impl Write) -> anyhow::Result<()> {
    let client = Client::builder()
        .redirect(reqwest::redirect::Policy::none())
        .no_proxy()
        .timeout(TIMEOUT)
        .tls_certs_only(Certificate::from_pem_bundle(ca_pem)?)
        .build()
        .context("no HTTP client can be made")?;
    let all = story.iter().map(|part| part.steps.len()).sum();
    let mut number = 0;
    for part in story {
        writeln!(out, "\n--- {} ---", part.title)?;
        for step in &part.steps {
            number += 1;
            let title = &step.title;
            let sent = waiting(number, all, title, send(&client, step)).await;
            let (status, body) = sent.with_context(|| format!("step {number}, {title}"))?;
            let expected = step.expect_status;
            writeln!(out, "{number:>3}/{all}  {status}  {title}")?;
            if status != expected {
                let command = step.command();
                bail!(
                    "step {number} is to be answered with {expected}:\n{command}\n{status}\n{body}"
                );
            }
        }
    }
    writeln!(out, "\nAll {all} steps were answered as they are to be.")?;
    Ok(())
}

/// Sends one step; gives the status and the body of its answer.
async fn send(client: &Client, step: &Step) -> anyhow::Result<(u16, String)> {
    let mut url = step.url.clone();
    if let Some(find) = &step.find {
        let answer = client.get(&find.url).send().await?.text().await?;
        let pattern = Regex::new(find.pattern)?;
        let found = pattern.find(&answer).with_context(|| {
            format!(
                "{} has nothing like `{}`:\n{answer}",
                find.url, find.pattern
            )
        })?;
        url = url.replace("{found}", found.as_str());
    }
    let method = Method::from_bytes(step.method.as_bytes())?;
    let mut request = client.request(method, url);
    for (name, value) in &step.headers {
        request = request.header(*name, value);
    }
    if let Some(body) = &step.body {
        request = request.body(body.to_string());
    }
    let answer = request.send().await?;
    let status = answer.status().as_u16();
    Ok((status, answer.text().await?))
}

/// Waits for a step; where stderr is a terminal, with a bar that moves.
async fn waiting<T>(number: usize, all: usize, title: &str, step: impl Future<Output = T>) -> T {
    if !stderr().is_terminal() {
        return step.await;
    }
    let mut step = std::pin::pin!(step);
    let mut tick = tokio::time::interval(Duration::from_millis(100));
    let mut turn = ['|', '/', '-', '\\'].into_iter().cycle();
    let done = loop {
        tokio::select! {
            done = &mut step => break done,
            _ = tick.tick() => {
                let sign = turn.next().unwrap_or('|');
                // A terminal that is gone is no reason to stop.
                let _ = write!(stderr(), "\r\x1b[2K{}", bar(sign, number, all, title));
            }
        }
    };
    let _ = write!(stderr(), "\r\x1b[2K");
    done
}

/// `| [#####...............] 9/36 Create`, within a narrow terminal's line.
fn bar(sign: char, number: usize, all: usize, title: &str) -> String {
    const WIDTH: usize = 20;
    let full = (number - 1) * WIDTH / all;
    let line = format!(
        "{sign} [{}{}] {number}/{all} {title}",
        "#".repeat(full),
        ".".repeat(WIDTH - full)
    );
    line.chars().take(78).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_bar_fills_with_what_is_done_and_stays_in_its_line() {
        assert_eq!(bar('|', 1, 4, "a"), "| [....................] 1/4 a");
        assert_eq!(bar('/', 3, 4, "a"), "/ [##########..........] 3/4 a");
        assert_eq!(bar('-', 36, 36, &"long ".repeat(40)).chars().count(), 78);
    }
}
