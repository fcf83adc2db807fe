//! What the gateway counts, and how it is read: the text format of Prometheus over HTTP, for `[metrics]`.
//!
//! Labels are names from our own tables, never domains or addresses: peers choose those, and each would be a series.

use std::convert::Infallible;
use std::sync::Arc;
use std::time::Duration;

use hyper::header::{ALLOW, CONTENT_TYPE, HeaderName};
use hyper::service::service_fn;
use hyper::{Method, Request, Response, StatusCode};
use hyper_util::rt::TokioIo;
use prometheus_client::encoding::EncodeLabelSet;
use prometheus_client::encoding::text::encode;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::registry::Registry;
use tokio::net::TcpStream;
use tracing::{debug, warn};

use crate::policy::{AlarmKind, Decision, Severity};
use crate::store::ledger::{LedgerError, MemoryUse, Scope, SharedLedger};

/// Longest time that one reader may take.
const PATIENCE: Duration = Duration::from_secs(10);

/// Media type of the text format.
const MEDIA_TYPE: &str = "application/openmetrics-text; version=1.0.0; charset=utf-8";

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct DecisionLabels {
    decision: &'static str,
    reason: &'static str,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct AlarmLabels {
    scope: &'static str,
    kind: &'static str,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct OpenLabels {
    severity: &'static str,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct ScopeLabels {
    scope: &'static str,
}

/// The counters of one gateway. They outlive its configurations.
pub(super) struct Metrics {
    registry: Registry,
    decisions: Family<DecisionLabels, Counter>,
    alarms: Family<AlarmLabels, Counter>,
    dropped: Counter,
    open: Family<OpenLabels, Gauge>,
    remembered: Family<ScopeLabels, Gauge>,
    remembered_limit: Family<ScopeLabels, Gauge>,
}

impl Metrics {
    pub(super) fn new() -> Arc<Self> {
        let mut registry = Registry::with_prefix("mta_seal");
        let decisions = Family::<DecisionLabels, Counter>::default();
        let help = "Decisions about mail to a domain";
        registry.register("decisions", help, decisions.clone());
        let alarms = Family::<AlarmLabels, Counter>::default();
        registry.register("alarms", "Occurrences of alarms", alarms.clone());
        let dropped = Counter::default();
        let help = "Alarms that were open, or should have been, and gave way to others";
        registry.register("alarms_dropped", help, dropped.clone());
        let open = Family::<OpenLabels, Gauge>::default();
        registry.register("alarms_open", "Alarms that nobody has acknowledged", open.clone());
        let remembered = Family::<ScopeLabels, Gauge>::default();
        registry.register("domains_remembered", "Domains in the ledger", remembered.clone());
        let remembered_limit = Family::<ScopeLabels, Gauge>::default();
        let help = "Most domains that the ledger remembers";
        registry.register("domains_remembered_limit", help, remembered_limit.clone());
        Arc::new(Self { registry, decisions, alarms, dropped, open, remembered, remembered_limit })
    }

    /// Counts a decision [R-dec-02]. A message with a demand is decided about twice.
    pub(super) fn decision(&self, decision: &Decision) {
        let labels = DecisionLabels { decision: decision.name(), reason: decision.reason() };
        self.decisions.get_or_create(&labels).inc();
    }

    /// Counts an alarm.
    pub(super) fn alarm(&self, scope: Scope, kind: AlarmKind) {
        let labels = AlarmLabels { scope: scope.as_str(), kind: kind.as_str() };
        self.alarms.get_or_create(&labels).inc();
    }

    /// Counts alarms that are not kept until somebody acknowledges them [R-alm-02].
    pub(super) fn alarms_dropped(&self, count: u64) {
        self.dropped.inc_by(count);
    }

    /// All of them as text. What is open and remembered is read from the ledger, where the operator's commands write too.
    async fn text(&self, ledger: &SharedLedger) -> Result<String, LedgerError> {
        let open = ledger.open_alarms().await?;
        for severity in Severity::ALL {
            // A kind of a later version is not less than a warning.
            let of = |kind: &str| {
                kind.parse().map_or(Severity::Warning, |kind: AlarmKind| kind.severity())
            };
            let count: u64 =
                open.iter().filter(|(kind, _)| of(kind) == severity).map(|o| o.1).sum();
            let labels = OpenLabels { severity: severity.as_str() };
            self.open.get_or_create(&labels).set(gauged(count));
        }
        for scope in Scope::ALL {
            let MemoryUse { domains, most } = ledger.memory_use(scope).await?;
            let labels = ScopeLabels { scope: scope.as_str() };
            self.remembered.get_or_create(&labels).set(gauged(domains));
            self.remembered_limit.get_or_create(&labels).set(gauged(most));
        }
        let mut text = String::new();
        // Writing to a string does not fail.
        let _ = encode(&mut text, &self.registry);
        Ok(text)
    }

    async fn answer(&self, ledger: &SharedLedger, method: &Method, path: &str) -> Response<String> {
        if path != "/metrics" {
            return answer(StatusCode::NOT_FOUND, CONTENT_TYPE, "text/plain", "see /metrics\n");
        }
        if method != Method::GET {
            return answer(StatusCode::METHOD_NOT_ALLOWED, ALLOW, "GET", "");
        }
        match self.text(ledger).await {
            Ok(text) => answer(StatusCode::OK, CONTENT_TYPE, MEDIA_TYPE, text),
            Err(error) => {
                warn!(%error, "metrics cannot be read from the ledger");
                let body = "the ledger is unavailable\n";
                answer(StatusCode::SERVICE_UNAVAILABLE, CONTENT_TYPE, "text/plain", body)
            }
        }
    }
}

/// The value of a gauge, which is signed.
fn gauged(count: u64) -> i64 {
    i64::try_from(count).unwrap_or(i64::MAX)
}

fn answer(
    status: StatusCode,
    field: HeaderName,
    value: &'static str,
    body: impl Into<String>,
) -> Response<String> {
    let mut response = Response::new(body.into());
    *response.status_mut() = status;
    response.headers_mut().insert(field, hyper::header::HeaderValue::from_static(value));
    response
}

/// Answers one request of a reader, and closes the connection.
pub(super) async fn serve(metrics: Arc<Metrics>, ledger: SharedLedger, stream: TcpStream) {
    let respond = |request: Request<hyper::body::Incoming>| {
        let (metrics, ledger) = (Arc::clone(&metrics), Arc::clone(&ledger));
        async move {
            let path = request.uri().path();
            Ok::<_, Infallible>(metrics.answer(&ledger, request.method(), path).await)
        }
    };
    let mut protocol = hyper::server::conn::http1::Builder::new();
    protocol.keep_alive(false);
    let connection = protocol.serve_connection(TokioIo::new(stream), service_fn(respond));
    match tokio::time::timeout(PATIENCE, connection).await {
        Ok(Ok(())) => {}
        Ok(Err(error)) => debug!(%error, "reader of metrics lost"),
        Err(_) => debug!("reader of metrics is too slow"),
    }
}
