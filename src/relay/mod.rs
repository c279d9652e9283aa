//! The life of a request, from a parsed CMP request to its reply.
//!
//! [`Relay::handle`] is the path on one screen. `route` matches and parses, `idempotency` and `replay`
//! make retries safe, `resource` settles the target, `call` renders, `intent` is written down,
//! `operation` sends and settles, `outcome` judges, `record` and `reply` take from the answer what is
//! kept and what is told. Statuses of errors are not known here.

pub(crate) mod answer;
mod call;
pub mod confirm;
pub mod error;
mod gate;
mod host_keys;
mod idempotency;
mod intent;
mod json;
mod keeper;
mod operation;
pub mod orphans;
pub(crate) mod outcome;
mod owned;
mod record;
mod replay;
mod reply;
mod resource;
mod route;
mod rows;
pub mod settle;
mod snapshot;
pub mod witness;

use std::fmt;
use std::future::Future;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, OnceLock, PoisonError};
use std::time::Duration;

use arc_swap::ArcSwap;
use bytes::Bytes;
use http::{HeaderMap, HeaderValue, Method, StatusCode};
use ring::hmac;
use tokio::task::{JoinHandle, JoinSet};

use crate::backend::{BackendManager, Turn};
use crate::clock::Boottime;
use crate::driver::{Clearance, RenderedCall};
use crate::plan::{BackendId, Client, Plan, Role, SideEffect};
use crate::store::{Journal, Operation, OperationId};

pub use confirm::{Confirm, Replicated};
pub use error::{Failure, RelayError};
pub use gate::Gate;
use operation::{Ended, Ready};
pub use outcome::{Met, met};
use owned::{InHand, Owned};
use replay::Earlier;
pub use replay::acknowledge;
use route::Request;
pub use route::percent::decode;
pub use snapshot::{Changed, ReloadReport, Snapshot, longest_call};
use witness::{Made, Seen, Step, Witness};

/// How long a stop waits for the database to take what is left.
const LAST_WORDS: Duration = Duration::from_secs(3);

/// RFC 9457.
pub const PROBLEM_TYPE: HeaderValue = HeaderValue::from_static("application/problem+json");

/// Who calls, once the token has been checked; cheap to clone.
#[derive(Clone, Debug)]
pub struct Caller {
    /// The client's name; `anonymous` when no client is configured.
    pub name: Arc<str>,
    pub roles: Arc<[Role]>,
}

impl From<&Client> for Caller {
    fn from(client: &Client) -> Self {
        Self {
            name: (*client.name).into(),
            roles: client.roles.as_slice().into(),
        }
    }
}

/// A CMP request as it came in: bounded, its caller known, nothing else decided.
#[derive(Clone, Debug)]
pub struct Inbound {
    /// Of `X-Request-Id`, or made by the listener.
    pub request_id: Box<str>,
    pub caller: Caller,
    pub method: Method,
    /// Raw, still percent-encoded, without the query.
    pub path: String,
    /// Raw, without the `?`.
    pub query: Option<String>,
    pub headers: HeaderMap,
    pub body: Bytes,
}

/// What the CMP is told when there is no failure (or a stored one is replayed).
#[derive(Clone, Debug)]
pub struct Reply {
    pub status: StatusCode,
    /// `Content-Type`, the route's own, and the `Relay-*` ones.
    pub headers: HeaderMap,
    pub body: Bytes,
}

/// Writes a failure as the CMP will see it: given to the relay by `http::problem`, which alone knows
/// error statuses, so that a failed operation can be journalled with the reply that it was given.
pub type RenderProblem = fn(&Failure) -> (StatusCode, Vec<u8>);

/// The relay. Shared by every listener and task.
pub struct Relay {
    snapshot: ArcSwap<Snapshot>,
    journal: Journal,
    gate: Gate,
    owned: Owned,
    keeper: keeper::Keeper,
    fingerprint_key: hmac::Key,
    render_problem: RenderProblem,
    node: Box<str>,
    /// The process ends: no operation begins any more.
    draining: AtomicBool,
    /// Backends that a reload took away, being closed.
    retiring: Mutex<Vec<JoinHandle<()>>>,
    witness: OnceLock<Arc<Witness>>,
    standby: OnceLock<Arc<dyn Confirm>>,
}

impl fmt::Debug for Relay {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Relay")
            .field("node", &self.node)
            .finish_non_exhaustive()
    }
}

impl Relay {
    /// Starts the relay over an open, migrated store whose pending rows have been recovered.
    pub async fn start(
        plan: Plan,
        journal: Journal,
        gate: Gate,
        render_problem: RenderProblem,
    ) -> anyhow::Result<Arc<Self>> {
        let keys = host_keys::StoredHostKeys::of(&journal);
        let backends = BackendManager::recording(&plan, None, Some(&keys))?;
        Self::start_with(Arc::new(plan), backends, journal, gate, render_problem).await
    }

    /// As [`Relay::start`], over backends that are there already.
    pub async fn start_with(
        plan: Arc<Plan>,
        backends: BackendManager,
        journal: Journal,
        gate: Gate,
        render_problem: RenderProblem,
    ) -> anyhow::Result<Arc<Self>> {
        let key = journal.store().fingerprint_key().await?;
        let node = plan.server.node.clone();
        let (owned, orphans) = Owned::new();
        let relay = Arc::new(Self {
            snapshot: ArcSwap::from_pointee(Snapshot::new(plan, Arc::new(backends), None)),
            journal,
            gate,
            owned,
            keeper: keeper::Keeper::default(),
            fingerprint_key: hmac::Key::new(hmac::HMAC_SHA256, &key),
            render_problem,
            node,
            draining: AtomicBool::new(false),
            retiring: Mutex::default(),
            witness: OnceLock::new(),
            standby: OnceLock::new(),
        });
        keeper::spawn_janitor(&relay.journal, orphans);
        Ok(relay)
    }

    /// One CMP request, answered.
    pub async fn handle(self: &Arc<Self>, inbound: Inbound) -> Result<Reply, Failure> {
        let snapshot = self.snapshot.load_full();
        self.note(|seen| *seen = Seen::default());
        self.reaches(Step::Matched);
        let (route, params) = route::find(&snapshot, &inbound)
            .map_err(|error| Failure::of_method(&inbound.method, error))?;
        self.note(|seen| (seen.route, seen.params) = (Some(route), params.clone()));
        let inbound = Arc::new(inbound);
        let refused = |error| Failure::of_route(snapshot.plan.route(route), error);
        if !self.gate.is_open() {
            return Err(refused(RelayError::Standby));
        }
        if self.is_draining() {
            return Err(refused(RelayError::ShuttingDown));
        }
        // A race with another request or an operator can make a target stale: nothing was written
        // then, and it is settled anew. The bound keeps a mistake finite.
        const ROUNDS: usize = 4;
        for round in 0..ROUNDS {
            let key = &self.fingerprint_key;
            self.reaches(Step::Allowed);
            route::authorize(snapshot.plan.route(route), &inbound.caller).map_err(refused)?;
            self.reaches(Step::Parsed);
            let parsed = route::parse(snapshot.clone(), route, &params, &inbound, key);
            let request = parsed.map_err(refused)?;
            self.note(|seen| {
                seen.idempotency_key = request.idempotency_key.clone();
                seen.masks = request.masks.clone();
                seen.rows.clear();
            });
            if let Some(reply) = self.round(&snapshot, request, round > 0).await? {
                return Ok(reply);
            }
        }
        Err(refused(RelayError::RelayBusy))
    }

    /// Perhaps replayed; else validated, resolved, rendered, and sent once. `None`: stale. The snapshot is the
    /// request's own, lent: each hold on it is counted where all threads count.
    ///
    /// A create's intent finds out whether its object is mapped. The table is asked for it (`ask`)
    /// after a stale round only, and before a create is refused for any other reason.
    async fn round(
        self: &Arc<Self>,
        snapshot: &Snapshot,
        mut request: Box<Request>,
        ask: bool,
    ) -> Result<Option<Reply>, Failure> {
        let route = snapshot.plan.route(request.route);
        let refused = |error| Failure::of_route(route, error);
        if route.mutating {
            // Boxed, so that a read's future does not have its size.
            return Box::pin(self.change(request, ask)).await;
        }
        let prepared = self.prepare(&mut request, None, None, false).await;
        let read = match prepared {
            Ok((prepared, turn)) => self.read(snapshot, request, prepared, turn).await,
            Err(error) => Err(refused(error)),
        };
        self.marked(read).map(Some)
    }

    /// As [`Self::round`], of what may change something.
    async fn change(
        self: &Arc<Self>,
        mut request: Box<Request>,
        ask: bool,
    ) -> Result<Option<Reply>, Failure> {
        let snapshot = request.snapshot.clone();
        let route = snapshot.plan.route(request.route);
        let refused = |error| Failure::of_route(route, error);
        self.reaches(Step::Replayed);
        // The intent finds out whether a key is new, which it nearly always is. It is looked up first after a stale round
        // and where keys have come again lately, and before anything is refused.
        let look_up = ask || self.journal.keys_come_again();
        let previous = match look_up {
            false => None,
            true => match self.earlier(&request).await? {
                Earlier::None => None,
                Earlier::Replay(reply) => return Ok(Some(reply)),
                Earlier::RunAgain(operation) => Some(*operation),
            },
        };
        let id = previous
            .as_ref()
            .map_or_else(OperationId::now_v7, |row| row.id);
        let prepared = self
            .prepare(&mut request, Some(id), previous.as_ref(), ask)
            .await;
        if prepared.is_err() && !look_up {
            match self.earlier(&request).await? {
                Earlier::None => {}
                Earlier::Replay(reply) => return Ok(Some(reply)),
                Earlier::RunAgain(_) => return Ok(None),
            }
        }
        let (prepared, turn) = match prepared {
            Ok(prepared) => prepared,
            Err(RelayError::AlreadyMapped { resource, cmp_id }) => {
                return self
                    .natural_replay(&request, resource, cmp_id)
                    .await
                    .map(Some);
            }
            Err(error) => return Err(refused(error)),
        };
        let ready = Ready {
            request,
            prepared,
            previous,
            id,
            asked: ask,
        };
        // Boxed: a task's future is moved three times.
        match tokio::spawn(Box::pin(operation::run(self.clone(), ready, turn))).await {
            Ok(Ended::Reply(reply)) => Ok(Some(reply)),
            Ok(Ended::Failure(failure)) => Err(*failure),
            Ok(Ended::Stale) => Ok(None),
            Err(_) => Err(Failure {
                operation: Some(id),
                side_effect: SideEffect::Unknown,
                safe_to_retry: false,
                ..refused(RelayError::OutcomeUnknown(
                    "the relay failed while it ran this request".into(),
                ))
            }),
        }
    }

    pub fn plan(&self) -> Arc<Plan> {
        self.snapshot.load().plan.clone()
    }

    pub fn backends(&self) -> Arc<BackendManager> {
        self.snapshot.load().backends.clone()
    }

    pub fn journal(&self) -> &Journal {
        &self.journal
    }

    pub fn gate(&self) -> &Gate {
        &self.gate
    }

    pub fn node(&self) -> &str {
        &self.node
    }

    /// Whether this node may call backends.
    pub fn is_active(&self) -> bool {
        self.gate.is_open()
    }

    /// How many operations are in hand, and how many outcomes wait for the database.
    pub fn in_hand(&self) -> (usize, usize) {
        (self.owned.all().len(), self.keeper.waiting())
    }

    /// The operations in hand: pending rows that must not expire.
    pub fn owned_operations(&self) -> Vec<OperationId> {
        self.owned.all().iter().map(|attempt| attempt.id).collect()
    }

    fn is_draining(&self) -> bool {
        self.draining.load(Ordering::SeqCst)
    }

    fn owned(&self) -> &Owned {
        &self.owned
    }

    fn render_problem(&self, failure: &Failure) -> (StatusCode, Vec<u8>) {
        (self.render_problem)(failure)
    }

    /// Keeps an outcome that could not be written until the database returns (SEMANTICS 13).
    fn keep(&self, kept: keeper::Kept, in_hand: InHand) {
        self.keeper.keep(&self.journal, kept, in_hand);
    }

    /// Closes backends beside the requests; [`Relay::drain`] waits for it.
    fn retire(&self, closing: impl Future<Output = ()> + Send + 'static) {
        let mut retiring = self.retiring.lock().unwrap_or_else(PoisonError::into_inner);
        retiring.retain(|task| !task.is_finished());
        retiring.push(tokio::spawn(closing));
    }

    /// Waits for the operations in hand, at most until `deadline`; what is left is written down as
    /// `unknown`; then backends are logged out of (SEMANTICS 31).
    pub async fn drain(&self, deadline: Boottime) {
        let left = deadline.remaining().unwrap_or_default();
        let emptied = tokio::time::timeout(left, self.owned.emptied()).await;
        // A request that is still being read must not begin what nobody would finish. The gate stays
        // open: a logout asks it, too.
        self.draining.store(true, Ordering::SeqCst);
        // A database that is away must not cost the logouts; the next start finds the rows.
        if emptied.is_err()
            && tokio::time::timeout(LAST_WORDS, self.say_last_words())
                .await
                .is_err()
        {
            tracing::error!(
                "the database does not answer; the next start makes what is in hand unknown"
            );
        }
        let retiring =
            std::mem::take(&mut *self.retiring.lock().unwrap_or_else(PoisonError::into_inner));
        let retired = async {
            for closing in retiring {
                // One that panicked has nothing left to close.
                let _ = closing.await;
            }
        };
        let backends = self.backends();
        tokio::join!(backends.close(None, deadline), retired);
    }

    /// Writes every operation in hand down, all at once: the outcome where it is kept, else `unknown`.
    async fn say_last_words(&self) {
        let mut last_words = JoinSet::new();
        for attempt in self.owned.all() {
            let journal = self.journal.clone();
            match self.keeper.of(attempt) {
                Some(kept) => last_words.spawn(async move {
                    keeper::last_attempt(&journal, &kept).await;
                }),
                None => last_words.spawn(async move {
                    let why = "the relay was stopped before the backend answered";
                    keeper::abandon(&journal, attempt, why).await;
                }),
            };
        }
        while last_words.join_next().await.is_some() {}
    }

    /// Everything before the intent: what fails here has cost no commit and left no row.
    async fn prepare(
        &self,
        request: &mut Request,
        id: Option<OperationId>,
        previous: Option<&Operation>,
        ask: bool,
    ) -> Result<(Prepared, Turn), RelayError> {
        self.reaches(Step::Validated);
        route::validate(request, id)?;
        self.reaches(Step::Resolved);
        let target = resource::resolve(self, request, previous).await?;
        if ask {
            resource::refuse_mapped(self, request.way(), &target.keys).await?;
        }
        match self.admit(request, target.backend).await {
            Ok((turn, call, deadline)) => {
                let prepared = Prepared {
                    target,
                    call,
                    deadline,
                };
                Ok((prepared, turn))
            }
            Err(error) => {
                resource::refuse_mapped(self, request.way(), &target.keys).await?;
                Err(error)
            }
        }
    }

    /// A place at the backend, and the call that it is for. Who will wait for the standby steps aside: it
    /// holds up nobody meanwhile, and what is refused for load still is refused before the intent.
    async fn admit(
        &self,
        request: &mut Request,
        backend: BackendId,
    ) -> Result<(Turn, RenderedCall, Boottime), RelayError> {
        self.reaches(Step::Rendered);
        resource::render_lets(self, request, backend).await?;
        let snapshot = &request.snapshot;
        let route = snapshot.plan.route(request.route);
        let way = &route.ways[request.way];
        let timeout = way
            .call
            .timeout
            .unwrap_or(snapshot.plan.backend(backend).limits.timeout);
        let deadline = Boottime::now() + timeout;
        self.reaches(Step::Admitted);
        let place = snapshot.backends.admit(backend, deadline).await?;
        self.reaches(Step::Rendered);
        let instance = snapshot.plan.backend(backend);
        request.scope.set_line_rules(call::line_rules(instance));
        let render = |scope: &_| call::render(&way.call, instance, scope);
        let call = rows::with_rows(self, request, backend, render).await?;
        self.note(|seen| {
            let call = call.clone();
            seen.call = Some(Made { backend, call });
        });
        let turn = match route.mutating && self.waits(confirm::rule_of(request)) {
            true => place.step_aside()?,
            false => Turn::In(place),
        };
        Ok((turn, call, deadline))
    }

    /// What was read where the standby does not confirm says so (SEMANTICS 20).
    fn marked(&self, read: Result<Reply, Failure>) -> Result<Reply, Failure> {
        if !self.reads_alone() {
            return read;
        }
        let no = Replicated::No;
        match read {
            Ok(mut reply) => {
                replay::insert_text(&mut reply.headers, "relay-replicated", no.name());
                Ok(reply)
            }
            Err(failure) => Err(Failure {
                replicated: Some(no),
                ..failure
            }),
        }
    }

    /// A read writes nothing: no journal row, no commit.
    async fn read(
        self: &Arc<Self>,
        snapshot: &Snapshot,
        mut request: Box<Request>,
        prepared: Prepared,
        turn: Turn,
    ) -> Result<Reply, Failure> {
        let route = snapshot.plan.route(request.route);
        let backend = &*snapshot.plan.backend(prepared.target.backend).name;
        let refused = |error| Failure {
            backend: Some(backend.into()),
            ..Failure::of_route(route, error)
        };
        let gate = self.gate.clone();
        let clearance = Clearance {
            deadline: prepared.deadline,
            mutating: false,
            gate: Arc::new(move || gate.is_open()),
        };
        self.reaches(Step::Sent);
        let clean = reply::cleaner(&request, prepared.target.backend);
        let failed = |judged: outcome::Judged, status| Failure {
            safe_to_retry: judged.safe_to_retry,
            backend_status: status,
            ..refused(judged.error.cleaned(&clean))
        };
        let place = turn.place(prepared.deadline).await;
        let place = place.map_err(|error| refused(error.into()))?;
        let sent = snapshot
            .backends
            .send(&place, &prepared.call, &clearance)
            .await;
        let answer = sent
            .map_err(|error| failed(outcome::judge_silence(false, &error), error.backend_status))?;
        drop(place);

        let status = answer.status;
        let way = &route.ways[request.way];
        let mut read = answer::read(answer, &way.response, &way.reads.response_body);
        read.publish(&mut request.scope, way.reads.response_head);
        let object = prepared.target.object.as_deref();
        if let outcome::Verdict::Failure(judged) =
            outcome::judge(way, false, &read, &request.scope, object, &clean)
        {
            return Err(failed(judged, Some(status)));
        }
        record::extract_values(&mut request, &read)
            .map_err(|why| refused(RelayError::ExtractionFailed(clean(&why))))?;
        let rendered = reply::render(self, &request, prepared.target.backend, &read).await;
        let rendered = rendered.map_err(|error| refused(error.cleaned(&clean)))?;
        let mut headers = rendered.headers;
        replay::insert_text(&mut headers, "relay-backend", backend);
        Ok(Reply {
            status: rendered.status,
            headers,
            body: rendered.body,
        })
    }
}

/// A request whose target is settled and whose call is rendered.
#[derive(Debug)]
pub struct Prepared {
    target: resource::Target,
    call: RenderedCall,
    deadline: Boottime,
}

fn side_effect_name(side_effect: SideEffect) -> &'static str {
    match side_effect {
        SideEffect::None => "none",
        SideEffect::Unknown => "unknown",
        SideEffect::Done => "done",
    }
}
