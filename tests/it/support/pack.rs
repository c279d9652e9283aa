//! The shipped routes, for tests that relay them to devices.

use std::path::Path;

use cmp_relay::demo::packs::{self, Backend, Pack, switches};
use cmp_relay::demo::simulate::Stage;
use cmp_relay::demo::simulate::devices::{self, Devices};
use serde_json::Value;

use super::relay::{BACKEND_TOKEN, CmpRequest, TestRelay, files_below};

/// The files below `routes.d` and `templates` that are wanted, and an empty relay.yaml.
pub(crate) fn shipped(wanted: impl Fn(&str) -> bool) -> Vec<(String, String)> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let files = ["routes.d", "templates"].into_iter().flat_map(|folder| {
        let files = files_below(&root.join(folder)).into_iter();
        files.map(move |(name, text)| (format!("{folder}/{name}"), text))
    });
    let server = ("relay.yaml".to_owned(), "version: 1\n".to_owned());
    let wanted = files.filter(|(path, _)| wanted(path));
    wanted.chain([server]).collect()
}

/// Packs over these backends, with a secret that tests have.
pub(crate) fn over(packs: &[&Pack], backends: &[Backend]) -> Vec<(String, String)> {
    let own = packs.iter().flat_map(|pack| pack.files());
    let secrets: Vec<&str> = packs
        .iter()
        .flat_map(|pack| pack.secrets)
        .copied()
        .collect();
    let files = packs::shared().chain(own).map(|(path, text)| {
        let text = packs::put_into(backends, None, path, text);
        let text = secrets
            .iter()
            .fold(text, |text, secret| text.replace(secret, "BACKEND_TOKEN"));
        (path.to_owned(), text)
    });
    files.collect()
}

/// Packs over their simulated backends, which want the secret that tests have.
pub(crate) fn simulated(packs: &[&Pack], stage: &mut Stage) -> Vec<(String, String)> {
    let mut backends = Vec::new();
    for pack in packs {
        for secret in pack.secrets {
            stage.set_secret(secret, BACKEND_TOKEN);
        }
        backends.extend((pack.start)(stage).unwrap());
    }
    over(packs, &backends)
}

/// The simulated devices, which want the secret that tests have.
pub(crate) fn devices_on(stage: &mut Stage) -> Devices {
    for secret in switches::PACK.secrets {
        stage.set_secret(secret, BACKEND_TOKEN);
    }
    let options = switches::options(stage);
    devices::start(stage, options).unwrap()
}

/// The pack of switches over the simulated devices.
pub(crate) fn switches_over(devices: &Devices) -> Vec<(String, String)> {
    over(&[&switches::PACK], &switches::at(devices))
}

/// Asks for something of a switch: `sw-1/vlans`; status and body of the reply.
pub(crate) async fn ask(
    relay: &TestRelay,
    method: &str,
    path: &str,
    body: Option<Value>,
) -> (u16, Value) {
    asked(relay, method, &format!("/v1/switches/{path}"), body).await
}

/// Asks for anything: `/v1/networks?region=RegionOne`; status and body of the reply.
pub(crate) async fn asked(
    relay: &TestRelay,
    method: &str,
    path_and_query: &str,
    body: Option<Value>,
) -> (u16, Value) {
    let request = CmpRequest {
        method: method.to_owned(),
        path_and_query: path_and_query.to_owned(),
        headers: vec![("content-type".into(), "application/json".into())],
        body: body.map_or_else(String::new, |body| body.to_string()),
        ..CmpRequest::default()
    };
    let reply = relay.request(request).await;
    let body = serde_json::from_slice(&reply.body).unwrap_or(Value::Null);
    (reply.status.as_u16(), body)
}
