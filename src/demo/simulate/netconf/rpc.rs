//! The operations of a NETCONF server (RFC 6241, sections 7 and 8), each over both datastores at once.

use roxmltree::Node;

use super::data::{Interfaces, Operation, text_of};
use super::error::RpcError;
use super::{BASE, Store, Stores, filter};

/// What an operation came to.
#[derive(Debug)]
pub(super) enum Done {
    Ok,
    /// What stands inside `<data>`.
    Data(String),
    /// `<ok/>`, and the end.
    Close,
}

/// Runs the operation of an `<rpc>` for a session.
pub(super) fn run(
    stores: &mut Stores,
    session: u32,
    request: Node<'_, '_>,
) -> Result<Done, RpcError> {
    if !request.has_tag_name((BASE, "rpc")) {
        return Err(RpcError::malformed());
    }
    if request.attribute("message-id").is_none() {
        return Err(RpcError::missing_attribute("message-id", "rpc"));
    }
    let operation = request
        .children()
        .find(Node::is_element)
        .ok_or_else(|| RpcError::missing_element("rpc-operation"))?;
    let name = operation.tag_name().name();
    if operation.tag_name().namespace() != Some(BASE) {
        return Err(RpcError::unsupported(name));
    }
    match name {
        "get" => Ok(Done::Data(select(&stores.running.held, operation, true)?)),
        "get-config" => {
            let source = stores.named(operation, "source")?;
            Ok(Done::Data(select(&source.held, operation, false)?))
        }
        "lock" => stores.lock(session, operation),
        "unlock" => {
            let store = stores.named(operation, "target")?;
            match store.lock {
                Some(holder) if holder == session => store.lock = None,
                _ => return Err(RpcError::failed("this session has not locked it")),
            }
            Ok(Done::Ok)
        }
        "edit-config" => {
            let edited = edited(stores, session, operation)?;
            if let Some(edited) = edited {
                stores.named(operation, "target")?.held = edited;
            }
            Ok(Done::Ok)
        }
        "validate" => {
            stores.named(operation, "source")?.held.check()?;
            Ok(Done::Ok)
        }
        "commit" => {
            stores.running.free_for(session)?;
            stores.candidate.free_for(session)?;
            stores.candidate.held.check()?;
            stores.running.held = stores.candidate.held.clone();
            Ok(Done::Ok)
        }
        "discard-changes" => {
            stores.candidate.free_for(session)?;
            stores.candidate.held = stores.running.held.clone();
            Ok(Done::Ok)
        }
        "close-session" => Ok(Done::Close),
        other => Err(RpcError::unsupported(other)),
    }
}

impl Stores {
    /// The datastore that `<target>` or `<source>` names.
    fn named(&mut self, operation: Node<'_, '_>, role: &str) -> Result<&mut Store, RpcError> {
        let named = child(operation, role)
            .and_then(|role| role.children().find(Node::is_element))
            .ok_or_else(|| RpcError::missing_element(role))?;
        match named.tag_name().name() {
            "running" => Ok(&mut self.running),
            "candidate" => Ok(&mut self.candidate),
            other => Err(RpcError::unknown_element(other)),
        }
    }

    fn lock(&mut self, session: u32, operation: Node<'_, '_>) -> Result<Done, RpcError> {
        let dirty = self.candidate.held != self.running.held;
        let candidate =
            child(operation, "target").is_some_and(|target| child(target, "candidate").is_some());
        let store = self.named(operation, "target")?;
        if let Some(holder) = store.lock {
            return Err(RpcError::lock_denied(holder, "it is locked"));
        }
        if dirty && candidate {
            // Section 7.5: of nobody, and not yet discarded.
            return Err(RpcError::lock_denied(0, "the candidate has changes"));
        }
        store.lock = Some(session);
        Ok(Done::Ok)
    }
}

impl Store {
    /// Refuses while another session holds the lock.
    fn free_for(&self, session: u32) -> Result<(), RpcError> {
        match self.lock {
            Some(holder) if holder != session => Err(RpcError::in_use(holder)),
            _ => Ok(()),
        }
    }
}

/// What an `edit-config` makes of its target; `None` where it only tests. Whole or not at all: this
/// server does `rollback-on-error`, whatever is asked for.
fn edited(
    stores: &mut Stores,
    session: u32,
    operation: Node<'_, '_>,
) -> Result<Option<Interfaces>, RpcError> {
    let target = stores.named(operation, "target")?;
    target.free_for(session)?;
    let mut held = target.held.clone();
    let word = |name| child(operation, name).map(text_of);
    let default = word("default-operation").unwrap_or_else(|| "merge".to_owned());
    let default = Operation::default_of(&default)
        .ok_or_else(|| RpcError::unknown_element("default-operation"))?;
    let config = child(operation, "config").ok_or_else(|| RpcError::missing_element("config"))?;
    held.edit(config, default)?;
    let running =
        child(operation, "target").is_some_and(|target| child(target, "running").is_some());
    let option = word("test-option");
    // Tested before it is set, unless that is declined; what is in force must be valid in any case.
    if running || option.as_deref() != Some("set") {
        held.check()?;
    }
    Ok((option.as_deref() != Some("test-only")).then_some(held))
}

/// What the `<filter>` of an operation selects.
fn select(held: &Interfaces, operation: Node<'_, '_>, state: bool) -> Result<String, RpcError> {
    let filter = child(operation, "filter");
    if let Some(sort) = filter.and_then(|filter| filter.attribute("type"))
        && sort != "subtree"
    {
        return Err(RpcError::bad_attribute("type", sort));
    }
    Ok(filter::select(held, filter, state))
}

fn child<'a, 'i>(node: Node<'a, 'i>, name: &str) -> Option<Node<'a, 'i>> {
    node.children()
        .find(|child| child.has_tag_name((BASE, name)))
}
