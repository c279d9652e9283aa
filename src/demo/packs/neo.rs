//! Networks of a fabric: a NEO, whose writes are jobs.

use std::io;
use std::sync::Arc;

use serde_json::json;

use super::{Backend, Pack};
use crate::demo::simulate::Stage;
use crate::demo::simulate::neo::Neo;
use crate::demo::story::{Scene, Step};

/// Networks of a fabric, behind a Mellanox NEO.
pub const PACK: Pack = Pack {
    title: "A network over the fabric, which is a job",
    paths: &[
        "backends.d/neo-1.yaml",
        "routes.d/fabric_jobs.yaml",
        "routes.d/fabric_networks.yaml",
        "routes.d/fabric_ports.yaml",
        "routes.d/shared/neo-job.yaml",
        "routes.d/shared/neo-response.yaml",
    ],
    secrets: &[PASSWORD],
    start,
    steps,
};

/// The environment variable that the backend takes its password from.
pub const PASSWORD: &str = "NEO_PASSWORD";

const NEO: &str = "NEO";

/// The pack's backend at this URL, which is without `/neo`.
pub fn at(url: &str) -> Vec<Backend> {
    vec![Backend::instead_of("https://neo-1.example.net", NEO, url)]
}

fn start(stage: &mut Stage) -> io::Result<Vec<Backend>> {
    let neo = Neo::open(stage.secret(PASSWORD), stage.file("neo-1.json"))?;
    let url = stage.serve(Arc::new(neo).router())?;
    Ok(at(&url))
}

fn steps(scene: &Scene<'_>) -> Vec<Step> {
    let to = |path: &str| scene.to(path);
    let job = to("/v1/fabric-jobs/network:fab-1:create");
    // With a key each read keeps its reply, and a second run sees the same.
    let read = |title: &str, key| Step::bare(title, "GET", &job, Some(key), 200);
    vec![
        Step::post(
            "Begin a network over the whole fabric: 202, and the id of a job. The network is pending",
            &to("/v1/fabric-networks"),
            Some("demo-fab-1"),
            &json!({ "id": "fab-1", "name": "storage", "vlan_id": 300 }),
            202,
        ),
        read(
            "Nobody asks NEO how the job goes but the CMP, by reading it: `pending`",
            "demo-fab-1-job-1",
        ),
        read(
            "`running`: nothing has changed in the table",
            "demo-fab-1-job-2",
        ),
        read(
            "`completed`: this read has given the network its id, and the job is over",
            "demo-fab-1-job-3",
        ),
        Step::get(
            "The network is there",
            &to("/v1/fabric-networks/fab-1"),
            200,
        ),
        Step::bare(
            "End every session at the simulated NEO",
            "POST",
            &format!("{}/demo/end-sessions", scene.backend(NEO)),
            None,
            204,
        )
        .trusting(scene.ca_file),
        Step::get(
            "and read on: the relay fills the login form in again",
            &to("/v1/fabric-networks"),
            200,
        ),
        Step::get(
            "What has ended is nobody's job any more: `not_mapped`",
            &job,
            404,
        ),
    ]
}
