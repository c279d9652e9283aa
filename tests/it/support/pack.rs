//! The shipped routes, for tests that relay them to devices.

use std::path::Path;

use cmp_relay::demo::pack;
use cmp_relay::demo::simulate::devices::{Devices, SimulatedDevice};
use serde_json::Value;

use super::relay::{CmpRequest, TestRelay, files_below};

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

/// The pack of switches over the simulated devices, with a secret that tests have.
pub(crate) fn switches_over(devices: &Devices) -> Vec<(String, String)> {
    let endpoint = |device: &SimulatedDevice| pack::SshEndpoint {
        address: device.address,
        host_key: device.host_key.clone(),
    };
    let at = pack::Switches {
        switch: endpoint(&devices.switch),
        netconf: endpoint(&devices.netconf),
    };
    let shared = pack::OPENSTACK.iter();
    let shared = shared.filter(|(path, _)| path.ends_with("/schemas/cmp-id.yaml"));
    pack::SWITCHES
        .iter()
        .chain(shared)
        .map(|(path, text)| {
            let text = at.put_into(path, text);
            let text = text.replace(pack::SWITCH_PASSWORD_ENV, "BACKEND_TOKEN");
            ((*path).to_owned(), text)
        })
        .collect()
}

/// Asks for something of a switch: `sw-1/vlans`; status and body of the reply.
pub(crate) async fn ask(
    relay: &TestRelay,
    method: &str,
    path: &str,
    body: Option<Value>,
) -> (u16, Value) {
    let request = CmpRequest {
        method: method.to_owned(),
        path_and_query: format!("/v1/switches/{path}"),
        headers: vec![("content-type".into(), "application/json".into())],
        body: body.map_or_else(String::new, |body| body.to_string()),
        ..CmpRequest::default()
    };
    let reply = relay.request(request).await;
    let body = serde_json::from_slice(&reply.body).unwrap_or(Value::Null);
    (reply.status.as_u16(), body)
}
