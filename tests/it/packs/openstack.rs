//! OpenStack networking over a simulated Keystone and two simulated Neutrons.

use cmp_relay::demo::packs::openstack;
use cmp_relay::demo::simulate::Stage;
use serde_json::{Value, json};

use crate::support::pack::{asked, simulated};
use crate::support::relay::TestRelay;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_mapping_is_found_again_after_a_restart_and_a_second_delete_calls_nobody() {
    let mut stage = Stage::new(None, None);
    let files = simulated(&[&openstack::PACK], &mut stage);
    let folder = tempfile::tempdir().unwrap();
    let relay = TestRelay::start_in(folder.path(), &files).await;
    let network = json!({ "id": "net-1", "region": "RegionTwo", "name": "front" });
    let (status, made) = asked(&relay, "POST", "/v1/networks", Some(network)).await;
    assert_eq!((status, &made["id"]), (201, &json!("net-1")));
    drop(relay);

    let relay = TestRelay::start_in(folder.path(), &files).await;
    let one = "/v1/networks/net-1";
    let (status, read) = asked(&relay, "GET", one, None).await;
    assert_eq!((status, &read["name"]), (200, &json!("front")));
    let (_, list) = asked(&relay, "GET", "/v1/networks?region=RegionTwo", None).await;
    assert_eq!(list["networks"][0]["id"], "net-1", "{list}");
    let renamed = Some(json!({ "name": "front-end" }));
    let (status, read) = asked(&relay, "PUT", one, renamed).await;
    assert_eq!((status, &read["name"]), (200, &json!("front-end")));
    let (status, _) = asked(&relay, "DELETE", one, None).await;
    assert_eq!(status, 204);

    let calls = stage.calls();
    let (status, said) = asked(&relay, "DELETE", one, None).await;
    assert_eq!((status, &said["code"]), (404, &json!("not_mapped")));
    assert_eq!((stage.calls(), calls > 5), (calls, true));
    let (_, list) = asked(&relay, "GET", "/v1/networks?region=RegionTwo", None).await;
    assert_eq!(list["networks"], Value::Array(Vec::new()));
    stage.stop().await;
}
