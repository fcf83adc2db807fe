//! Routes each question to the zone that answers it and disturbs the answer if told to.

use std::collections::{BTreeMap, HashMap};
use std::future::Future;
use std::pin::Pin;
use std::sync::{Arc, PoisonError};

use hickory_proto::op::{Header, HeaderCounts, Metadata, ResponseCode};
use hickory_proto::rr::{LowerName, RecordType};
use hickory_server::net::runtime::Time;
use hickory_server::server::{Request, RequestHandler, ResponseHandler, ResponseInfo};
use hickory_server::zone_handler::{Catalog, MessageResponseBuilder, ZoneHandler};

use super::zone::Zone;
use super::{AuthorityError, Disturbance, Shared};

/// The zones as they are served; one catalogue each, so that the routing is ours.
///
/// A catalogue that holds a zone and the one above answers DS questions from the lower one, but
/// DS records stand at the delegation in the upper one (RFC 4035 section 3.1.4.1).
pub(super) struct Views {
    catalogs: BTreeMap<LowerName, Catalog>,
}

impl Views {
    pub(super) fn build(zones: &BTreeMap<LowerName, Zone>) -> Result<Self, AuthorityError> {
        let mut children: HashMap<&LowerName, Vec<&Zone>> = HashMap::new();
        for (origin, zone) in zones {
            if let Some(parent) = enclosing(zones, origin, true) {
                children.entry(parent).or_default().push(zone);
            }
        }
        let mut catalogs = BTreeMap::new();
        for (origin, zone) in zones {
            let below = children.get(origin).into_iter().flatten().copied();
            let served: Arc<dyn ZoneHandler> = Arc::new(zone.serve(below)?);
            let mut catalog = Catalog::new();
            catalog.upsert(origin.clone(), vec![served]);
            catalogs.insert(origin.clone(), catalog);
        }
        Ok(Self { catalogs })
    }

    fn route(&self, name: &LowerName, record_type: RecordType) -> Option<&Catalog> {
        let above = record_type == RecordType::DS;
        self.catalogs.get(enclosing(&self.catalogs, name, above)?)
    }
}

/// The lowest zone that holds `name`; if `above`, not the one that begins at `name`.
pub(super) fn enclosing<'a, Z>(
    zones: &'a BTreeMap<LowerName, Z>,
    name: &LowerName,
    above: bool,
) -> Option<&'a LowerName> {
    zones
        .keys()
        .filter(|origin| origin.zone_of(name) && !(above && *origin == name))
        .max_by_key(|origin| origin.num_labels())
}

/// Answers the questions of one server.
pub(super) struct Handler {
    shared: Arc<Shared>,
}

impl Handler {
    pub(super) fn new(shared: Arc<Shared>) -> Self {
        Self { shared }
    }

    async fn answer<R: ResponseHandler, T: Time>(
        &self,
        request: &Request,
        mut responses: R,
    ) -> ResponseInfo {
        let Ok(info) = request.request_info() else {
            return refuse(request, &mut responses, ResponseCode::FormErr).await;
        };
        let (name, record_type) = (info.query.name(), info.query.query_type());
        let disturbance = {
            let mut log = self.shared.log();
            if record_type == RecordType::TXT {
                *log.asked.entry(name.clone()).or_default() += 1;
            }
            log.disturbances.get(name).copied()
        };
        match disturbance {
            Some(Disturbance::ServFail) => {
                return refuse(request, &mut responses, ResponseCode::ServFail).await;
            }
            Some(Disturbance::Refused) => {
                return refuse(request, &mut responses, ResponseCode::Refused).await;
            }
            Some(Disturbance::Lame) => {
                return refuse(request, &mut responses, ResponseCode::NoError).await;
            }
            Some(Disturbance::Drop) => return silence(request),
            Some(Disturbance::Delay(delay)) => tokio::time::sleep(delay).await,
            None => {}
        }
        let views = {
            let published = self.shared.views.read().unwrap_or_else(PoisonError::into_inner);
            published.clone()
        };
        match views.route(name, record_type) {
            Some(catalog) => catalog.handle_request::<R, T>(request, responses).await,
            None => refuse(request, &mut responses, ResponseCode::Refused).await,
        }
    }
}

impl RequestHandler for Handler {
    // The trait is written with `async_trait`; this is the signature it expands to.
    fn handle_request<'s, 'r, 'f, R, T>(
        &'s self,
        request: &'r Request,
        responses: R,
    ) -> Pin<Box<dyn Future<Output = ResponseInfo> + Send + 'f>>
    where
        R: ResponseHandler + 'f,
        T: Time + 'f,
        's: 'f,
        'r: 'f,
        Self: 'f,
    {
        Box::pin(self.answer::<R, T>(request, responses))
    }
}

async fn refuse<R: ResponseHandler>(
    request: &Request,
    responses: &mut R,
    code: ResponseCode,
) -> ResponseInfo {
    let answer =
        MessageResponseBuilder::new(&request.queries, None).error_msg(&request.metadata, code);
    responses.send_response(answer).await.unwrap_or_else(|_| silence(request))
}

fn silence(request: &Request) -> ResponseInfo {
    let metadata = Metadata::response_from_request(&request.metadata);
    Header { metadata, counts: HeaderCounts::default() }.into()
}
