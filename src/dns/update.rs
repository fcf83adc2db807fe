//! Changes TXT records at their primary server, by dynamic update (RFC 2136) under a shared key (RFC 8945).
//!
//! All changes of one call are made at once or not at all (RFC 2136 section 3.7). A record is removed by its exact data, which
//! holds how its text was split; so the server is asked first what stands there, as it was perhaps not put there by us. Nothing
//! is believed that is not signed by the key.

mod error;
mod key_file;
mod tsig;

use std::io;
use std::net::SocketAddr;
use std::time::Duration;

use hickory_proto::op::{Message, OpCode, Query, ResponseCode};
use hickory_proto::rr::rdata::TXT;
use hickory_proto::rr::{DNSClass, Name, RData, Record, RecordType};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::time::timeout;

pub use error::{UpdateError, UpdateFailure};
pub use key_file::KeyError;
pub use tsig::Key;

use super::txt::cut;
use crate::core::Domain;

/// How long all changes of a call may take.
const TIME_LIMIT: Duration = Duration::from_secs(30);

/// One change.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Edit<'a> {
    /// A record with this text is there afterwards, once.
    Add {
        /// Its name, without trailing dot.
        name: &'a str,
        /// Its text, not split.
        text: &'a str,
        /// Its time to live in seconds, and with it that of all TXT records of the name (RFC 2181 section 5.2).
        ttl: u32,
    },
    /// No record with this text is there afterwards, however it is split.
    Remove {
        /// Its name, without trailing dot.
        name: &'a str,
        /// Its text, not split.
        text: &'a str,
    },
}

impl<'a> Edit<'a> {
    fn name(&self) -> &'a str {
        match self {
            Self::Add { name, .. } | Self::Remove { name, .. } => name,
        }
    }

    fn text(&self) -> &'a str {
        match self {
            Self::Add { text, .. } | Self::Remove { text, .. } => text,
        }
    }
}

/// A server that takes updates.
#[derive(Debug)]
pub struct Primary {
    address: SocketAddr,
    key: Key,
    zone: Option<Domain>,
    limit: Duration,
}

impl Primary {
    /// The server at `address`, which shares `key`. Without `zone` it is asked in which zone the names are.
    #[must_use]
    pub fn new(address: SocketAddr, key: Key, zone: Option<Domain>) -> Self {
        Self { address, key, zone, limit: TIME_LIMIT }
    }

    /// The same with this time for all changes of a call instead of half a minute.
    #[must_use]
    pub fn within(self, limit: Duration) -> Self {
        Self { limit, ..self }
    }

    /// Where it is.
    #[must_use]
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Makes all `edits` at the time `now` (Unix time in seconds), which must be in one zone.
    ///
    /// # Errors
    ///
    /// None of the changes was made, or, after a connection that broke, it is not known.
    pub async fn apply(&self, edits: &[Edit<'_>], now: u64) -> Result<(), UpdateError> {
        let done = timeout(self.limit, self.work(edits, now)).await;
        done.unwrap_or(Err(UpdateFailure::Timeout(self.limit)))
            .map_err(|failure| UpdateError { server: self.address, failure })
    }

    async fn work(&self, edits: &[Edit<'_>], now: u64) -> Result<(), UpdateFailure> {
        let Some(first) = edits.first() else { return Ok(()) };
        let stream = TcpStream::connect(self.address).await.map_err(UpdateFailure::Connection)?;
        let mut connection = Connection { stream, key: &self.key, now };
        let zone = match &self.zone {
            Some(zone) => name(zone.as_str())?,
            None => connection.zone_of(&name(first.name())?).await?,
        };
        let mut message = Message::query();
        message.metadata.op_code = OpCode::Update;
        message.add_query(Query::query(zone.clone(), RecordType::SOA));
        for edit in edits {
            let owner = name(edit.name())?;
            if !zone.zone_of(&owner) {
                let (name, zone) = (text(&owner), text(&zone));
                return Err(UpdateFailure::OutsideZone { name, zone });
            }
            let wanted = match edit {
                Edit::Add { text, ttl, .. } => Some((cut(text.as_bytes()), *ttl)),
                Edit::Remove { .. } => None,
            };
            for found in connection.texts(&owner).await? {
                let same = found.txt_data.concat() == edit.text().as_bytes();
                if same && wanted.as_ref().is_none_or(|(wanted, _)| found != *wanted) {
                    // RFC 2136 section 2.5.4.
                    let mut gone = Record::from_rdata(owner.clone(), 0, RData::TXT(found));
                    gone.dns_class = DNSClass::NONE;
                    message.add_authority(gone);
                }
            }
            if let Some((wanted, ttl)) = wanted {
                message.add_authority(Record::from_rdata(owner, ttl, RData::TXT(wanted)));
            }
        }
        if message.authorities.is_empty() {
            return Ok(());
        }
        let reply = connection.exchange(message).await?;
        match reply.metadata.response_code {
            ResponseCode::NoError => Ok(()),
            rcode => Err(UpdateFailure::Refused {
                zone: text(&zone),
                rcode: rcode.into(),
                key: self.key.name(),
                name: first.name().to_owned(),
            }),
        }
    }
}

fn name(text: &str) -> Result<Name, UpdateFailure> {
    let mut name =
        Name::from_ascii(text).map_err(|_| UpdateFailure::Name(text.escape_debug().to_string()))?;
    name.set_fqdn(true);
    Ok(name)
}

/// A name without trailing dot.
fn text(name: &Name) -> String {
    let text = name.to_ascii();
    text.strip_suffix('.').filter(|text| !text.is_empty()).unwrap_or(&text).to_owned()
}

/// A connection on which everything is signed, both ways.
struct Connection<'a> {
    stream: TcpStream,
    key: &'a Key,
    now: u64,
}

impl Connection<'_> {
    /// The zone that holds `name`, as its SOA record tells (RFC 2308 section 3 where the name is not its apex).
    async fn zone_of(&mut self, name: &Name) -> Result<Name, UpdateFailure> {
        let reply = self.ask(name, RecordType::SOA).await?;
        let mut records = reply.answers.iter().chain(&reply.authorities);
        records
            .find(|record| record.record_type() == RecordType::SOA && record.name.zone_of(name))
            .map(|record| record.name.clone())
            .ok_or_else(|| UpdateFailure::Lame(text(name)))
    }

    /// The TXT records of `name`.
    async fn texts(&mut self, name: &Name) -> Result<Vec<TXT>, UpdateFailure> {
        let reply = self.ask(name, RecordType::TXT).await?;
        let own = reply.answers.into_iter().filter(|record| record.name == *name);
        Ok(own
            .filter_map(|record| match record.data {
                RData::TXT(txt) => Some(txt),
                _ => None,
            })
            .collect())
    }

    async fn ask(&mut self, name: &Name, rtype: RecordType) -> Result<Message, UpdateFailure> {
        let mut message = Message::query();
        message.add_query(Query::query(name.clone(), rtype));
        let reply = self.exchange(message).await?;
        let head = &reply.metadata;
        if !matches!(head.response_code, ResponseCode::NoError | ResponseCode::NXDomain) {
            let (name, rcode) = (text(name), head.response_code.into());
            return Err(UpdateFailure::Query { name, rcode });
        }
        if head.truncation {
            return Err(UpdateFailure::Malformed);
        }
        if !head.authoritative {
            return Err(UpdateFailure::Lame(text(name)));
        }
        let alias = reply.answers.iter().find_map(|record| match &record.data {
            RData::CNAME(target) if record.name == *name => Some(text(&target.0)),
            _ => None,
        });
        match alias {
            Some(target) => Err(UpdateFailure::Alias { name: text(name), target }),
            None => Ok(reply),
        }
    }

    /// Sends a request and reads its reply, each behind its length (RFC 1035 section 4.2.2).
    async fn exchange(&mut self, message: Message) -> Result<Message, UpdateFailure> {
        let request = self.key.sign(message, self.now)?;
        let length = u16::try_from(request.octets.len()).map_err(|_| UpdateFailure::TooLarge)?;
        let mut framed = Vec::with_capacity(request.octets.len() + 2);
        framed.extend_from_slice(&length.to_be_bytes());
        framed.extend_from_slice(&request.octets);
        let reply = async {
            self.stream.write_all(&framed).await?;
            let mut reply = vec![0; usize::from(self.stream.read_u16().await?)];
            self.stream.read_exact(&mut reply).await?;
            Ok::<_, io::Error>(reply)
        };
        self.key.verify(&request, &reply.await.map_err(UpdateFailure::Connection)?)
    }
}
