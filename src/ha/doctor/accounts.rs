//! Accounts that a fence does not stop.

use super::facts::{Server, WITHIN};
use super::report::{Fault, wrong};
use crate::ha::control::text;
use crate::plan::MariaDb;

/// Accounts of the system that MariaDB and Debian make, for local sockets alone.
const SYSTEM: [&str; 3] = [
    "'root'@'localhost'",
    "'mysql'@'localhost'",
    "'mariadb.sys'@'localhost'",
];

/// Accounts and roles that may write to a fenced server, `'USER'@'HOST'`, beside those that must.
pub async fn accounts(server: &mut Server, account: &MariaDb) -> Vec<Fault> {
    let place = &server.facts.place;
    let sql = "SELECT DISTINCT grantee AS grantee FROM information_schema.user_privileges \
               WHERE privilege_type IN ('SUPER', 'READ_ONLY ADMIN') ORDER BY 1";
    let found = match server.control.rows(sql, WITHIN).await {
        Ok(found) => found,
        Err(error) => {
            return vec![wrong(
                place,
                format!("the accounts cannot be read: {error:#}"),
                format!("GRANT SELECT ON mysql.* TO {}@'127.0.0.1'", account.user),
            )];
        }
    };
    let found = found.iter().filter_map(|row| text(row, "grantee"));
    let own = ["127.0.0.1", "localhost", "::1"].map(|host| format!("'{}'@'{host}'", account.user));
    let expected = |name: &String| SYSTEM.contains(&name.as_str()) || own.contains(name);
    let others = found.filter(|name| !expected(name));
    others
        .map(|name| {
            let what = format!("{name} has SUPER or READ_ONLY ADMIN, as part of ALL perhaps: it writes to a fenced server");
            wrong(place, what, "REVOKE it and grant what the account needs, or DROP USER")
        })
        .collect()
}
