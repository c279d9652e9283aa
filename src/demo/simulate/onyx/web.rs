//! The other door of a simulated switch: its JSON API, at the same configuration as its command line.
//!
//! Written from the chapter "JSON API" of NVIDIA's manuals for Onyx and MLNX-GW and from the switch clients of NVIDIA's
//! UFM plug-ins: `/admin/launch` with `script`, `template` and `action`, `cmd` or `commands` in, and for each command
//! `status`, `executed_command`, `status_message` and `data` out, all with HTTP 200. A request begins in configuration
//! mode, and the first command that is refused ends it. A login is answered with the way to a page that says what came
//! of it, and gives the session that counts.

use std::collections::HashSet;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use axum::Router;
use axum::body::Bytes;
use axum::extract::{Query, State};
use axum::http::{HeaderMap, Method, StatusCode, Uri, header};
use axum::response::{Html, IntoResponse, Response};
use serde_json::{Value, json};
use uuid::Uuid;

use super::Switch;
use super::commands::Session;
use super::config::Config;
use crate::demo::simulate::devices::USER;

const LOGIN: &str = "json-login";
const LOGOUT: &str = "json-logout";
/// The page that a login leads to.
const LOGGED_IN: &str = "/admin/launch?script=rh&template=json-request&action=json-status";
const LOGIN_PAGE: &str = "/admin/launch?script=rh&template=login";

/// Who is logged in over HTTP.
#[derive(Debug, Default)]
pub(super) struct Sessions {
    /// Those that count, and those that only lead from the login to its page.
    open: Mutex<HashSet<String>>,
    arriving: Mutex<HashSet<String>>,
    shows_the_way: AtomicBool,
    logins: AtomicU64,
}

impl Sessions {
    /// Ends every session. Who has none is told so in JSON, or is shown the way to the login page.
    pub(super) fn end(&self, shows_the_way: bool) {
        self.shows_the_way.store(shows_the_way, Ordering::Relaxed);
        locked(&self.open).clear();
    }

    /// Sessions given out.
    pub(super) fn logins(&self) -> u64 {
        self.logins.load(Ordering::Relaxed)
    }

    /// Sessions that are open now.
    pub(super) fn count(&self) -> usize {
        locked(&self.open).len()
    }

    fn log_in(&self, body: &[u8], password: &str) -> Response {
        let who: Value = serde_json::from_slice(body).unwrap_or_default();
        let location = (header::LOCATION, LOGGED_IN.to_owned());
        if who["username"] != USER || who["password"] != *password {
            return (StatusCode::FOUND, [location], Html("")).into_response();
        }
        let cookie = (header::SET_COOKIE, given(&self.arriving));
        (StatusCode::FOUND, [location, cookie], Html("")).into_response()
    }

    fn arrive(&self, headers: &HeaderMap) -> Response {
        let arrived = locked(&self.arriving).remove(session_of(headers));
        if !arrived {
            return says("ERROR", "Invalid username or password");
        }
        self.logins.fetch_add(1, Ordering::Relaxed);
        let cookie = (header::SET_COOKIE, given(&self.open));
        ([cookie], says("OK", "Successfully logged-in")).into_response()
    }

    fn refusal(&self) -> Response {
        match self.shows_the_way.load(Ordering::Relaxed) {
            true => {
                let location = (header::LOCATION, LOGIN_PAGE);
                (StatusCode::FOUND, [location], Html("")).into_response()
            }
            false => {
                axum::Json(result("ERROR", "", "Authentication failure", "".into())).into_response()
            }
        }
    }
}

/// Everything that is answered over HTTP.
pub(super) fn router(switch: Arc<Switch>) -> Router {
    Router::new().fallback(handle).with_state(switch)
}

async fn handle(
    State(switch): State<Arc<Switch>>,
    method: Method,
    uri: Uri,
    Query(query): Query<Vec<(String, String)>>,
    headers: HeaderMap,
    body: Bytes,
) -> Response {
    let asked = |name: &str| {
        let found = query.iter().find(|(known, _)| known == name);
        found.map_or("", |(_, value)| value.as_str())
    };
    if uri.path() != "/admin/launch" {
        return StatusCode::NOT_FOUND.into_response();
    }
    let sessions = &switch.sessions;
    match (&method, asked("script"), asked("action")) {
        (&Method::POST, "rh", LOGIN) => sessions.log_in(&body, &switch.secret),
        (&Method::GET, "rh", "json-status") => sessions.arrive(&headers),
        (&Method::POST, "rh", LOGOUT) => {
            locked(&sessions.open).remove(session_of(&headers));
            says("OK", "Successfully logged-out")
        }
        (&Method::POST, "json", _) => {
            let known = locked(&sessions.open).contains(session_of(&headers));
            match known {
                true => execute(&switch, &body),
                false => sessions.refusal(),
            }
        }
        (&Method::GET, "rh", _) => Html("<html><body>Login</body></html>").into_response(),
        _ => StatusCode::NOT_FOUND.into_response(),
    }
}

/// `cmd` is answered with its result, `commands` with theirs as `results`.
fn execute(switch: &Switch, body: &[u8]) -> Response {
    let asked: Value = serde_json::from_slice(body).unwrap_or_default();
    let mut session = Session::configuring();
    let mut results = Vec::new();
    let single = asked["cmd"].as_str();
    let several = asked["commands"].as_array().into_iter().flatten();
    let commands = single.into_iter().chain(several.filter_map(Value::as_str));
    for command in commands {
        let Ok((said, _)) = switch.run(&mut session, command) else {
            return StatusCode::INTERNAL_SERVER_ERROR.into_response();
        };
        if said.starts_with("% ") {
            results.push(result("ERROR", command, said.trim_end(), "".into()));
            break;
        }
        let shown = shown(&switch.state().config, command);
        let data = shown.unwrap_or_else(|| said.trim_end().into());
        results.push(result("OK", command, "", data));
    }
    let answer = match (single, results.as_slice()) {
        (_, []) => result("ERROR", "", "No command found", "".into()),
        (Some(_), [only, ..]) => only.clone(),
        _ => json!({ "results": results }),
    };
    axum::Json(answer).into_response()
}

/// What the switch shows as an object, where it does: VLANs by their numbers.
fn shown(config: &Config, command: &str) -> Option<Value> {
    let only = match command.split_whitespace().collect::<Vec<_>>().as_slice() {
        ["show", "vlan"] => None,
        ["show", "vlan", "id", number] => Some(Config::vlan_number(number).ok()?),
        _ => return None,
    };
    let vlans = config.vlans.iter();
    let vlans = vlans.filter(|(number, _)| only.is_none_or(|only| only == **number));
    let shown = vlans.map(|(number, name)| {
        let ports: Vec<_> = config
            .members(*number)
            .map(|port| format!("Eth{port}"))
            .collect();
        let row = json!({ "Name": name, "Ports": ports.join(", ") });
        (number.to_string(), json!([row]))
    });
    Some(Value::Object(shown.collect()))
}

fn result(status: &str, command: &str, message: &str, data: Value) -> Value {
    json!({ "status": status, "executed_command": command, "status_message": message, "data": data })
}

fn says(status: &str, message: &str) -> Response {
    axum::Json(json!({ "status": status, "status_message": message })).into_response()
}

/// A new session of these, as the cookie that is set.
fn given(sessions: &Mutex<HashSet<String>>) -> String {
    let id = Uuid::new_v4().simple().to_string();
    let cookie = format!("session={id}; Path=/; HttpOnly; Secure");
    locked(sessions).insert(id);
    cookie
}

fn session_of(headers: &HeaderMap) -> &str {
    let cookies = headers.get(header::COOKIE);
    let cookies = cookies.and_then(|all| all.to_str().ok()).unwrap_or("");
    let mut pairs = cookies.split(';');
    pairs
        .find_map(|pair| pair.trim().strip_prefix("session="))
        .unwrap_or("")
}

fn locked<T>(held: &Mutex<T>) -> MutexGuard<'_, T> {
    held.lock().unwrap_or_else(PoisonError::into_inner)
}
