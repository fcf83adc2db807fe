//! Fetches the DS and DNSKEY records between a trust anchor and a name.

use std::collections::HashMap;
use std::future::Future;
use std::pin::Pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use bytes::Bytes;
use domain::base::{Message, Name, Rtype, ToName};
use domain::net::client::request::{ComposeRequest, Error, GetResponse, SendRequest};

use super::transport::{Failure, Question, Transport};

/// Most questions of one look-up for DS and DNSKEY records; two per zone and one per other label
/// are usual, but a hostile zone may lead through many deep names.
const MAX_QUESTIONS: usize = 128;

/// What the validator of one look-up asks; it keeps the answers and notes what failed.
#[derive(Debug, Clone)]
pub(super) struct ChainSource {
    transport: Arc<Transport>,
    seen: Arc<Mutex<Seen>>,
}

#[derive(Debug, Default)]
struct Seen {
    failure: Option<Failure>,
    replies: HashMap<(Name<Bytes>, Rtype), Message<Bytes>>,
}

impl ChainSource {
    pub(super) fn new(transport: Arc<Transport>) -> Self {
        Self { transport, seen: Arc::default() }
    }

    /// The worst failure so far.
    pub(super) fn failure(&self) -> Option<Failure> {
        self.seen().failure
    }

    /// The answers to questions for DS records, the highest zone first.
    pub(super) fn overlooked(&self) -> Vec<(Name<Bytes>, Message<Bytes>)> {
        let mut replies: Vec<_> = self
            .seen()
            .replies
            .iter()
            .filter(|((_, rtype), _)| *rtype == Rtype::DS)
            .map(|((name, _), reply)| (name.clone(), reply.clone()))
            .collect();
        replies.sort_by_key(|(name, _)| name.label_count());
        replies
    }

    fn seen(&self) -> MutexGuard<'_, Seen> {
        self.seen.lock().unwrap_or_else(PoisonError::into_inner)
    }

    async fn fetch(&self, question: &Question) -> Result<Message<Bytes>, Error> {
        let message = question.to_message()?;
        let asked = message.sole_question().map_err(|_| Error::FormError)?;
        let key = (asked.qname().to_name::<Bytes>(), asked.qtype());
        if let Some(reply) = self.seen().replies.get(&key) {
            return Ok(reply.clone());
        }
        let answered = if self.seen().replies.len() < MAX_QUESTIONS {
            self.transport.exchange(question).await
        } else {
            Err(Failure::Excess)
        };
        match answered {
            Ok(reply) => {
                self.seen().replies.insert(key, reply.clone());
                Ok(reply)
            }
            Err(failure) => {
                let mut seen = self.seen();
                seen.failure = seen.failure.max(Some(failure));
                Err(Error::NoTransportAvailable)
            }
        }
    }
}

impl SendRequest<Question> for ChainSource {
    fn send_request(&self, question: Question) -> Box<dyn GetResponse + Send + Sync> {
        Box::new(ChainRequest { source: self.clone(), question })
    }
}

#[derive(Debug)]
struct ChainRequest {
    source: ChainSource,
    question: Question,
}

impl GetResponse for ChainRequest {
    fn get_response(
        &mut self,
    ) -> Pin<Box<dyn Future<Output = Result<Message<Bytes>, Error>> + Send + Sync + '_>> {
        Box::pin(self.source.fetch(&self.question))
    }
}
