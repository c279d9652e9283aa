//! The whole program from outside: the built binary, a configuration folder, real sockets, signals.

mod commands;
mod database;
mod diff;
mod host_keys;
mod reload;
mod soak;
mod stopping;

use serde_json::{Value, json};

/// The body of a create.
fn thing(id: &str, name: &str) -> Value {
    json!({ "id": id, "name": name })
}

/// A backend that logs in and out.
fn with_login(folder: &crate::support::program::Folder, timeout: &str) {
    let login = "\
driver:
  https:
    auth:
      login:
        http: POST /login
        body: { user: relay }
        tokens: { access: $.token }
        send:
          - { header: Authorization, value: \"Bearer {{ tokens.access }}\" }
        logout: POST /logout
";
    folder.edit("backends.d/one.yaml", "driver:\n  https:\n", login);
    folder.edit(
        "backends.d/one.yaml",
        "timeout: 1s",
        &format!("timeout: {timeout}"),
    );
}
