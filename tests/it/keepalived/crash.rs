//! What a server holds that was killed and starts again with the files of `ha init`.

use super::{Written, ask, root, sql};

#[tokio::test]
async fn what_a_killed_server_has_told_is_there_when_it_starts() {
    let written = Written::new(&[]);
    let Some(mut server) = written.server("a") else {
        return;
    };
    let mut connection = root(server.port).await;
    let table = "CREATE TABLE relay.t (id INT PRIMARY KEY)";
    sql(&mut connection, table).await.unwrap();
    for id in 0..20 {
        let insert = format!("INSERT INTO relay.t VALUES ({id})");
        sql(&mut connection, &insert).await.unwrap();
    }
    server.order("kill");
    server.order("start");
    let mut connection = root(server.port).await;
    assert_eq!(
        ask(&mut connection, "SELECT COUNT(*) FROM relay.t").await,
        "20"
    );
    assert_eq!(ask(&mut connection, "SELECT @@read_only").await, "1");
}
