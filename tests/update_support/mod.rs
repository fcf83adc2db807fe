//! A primary server on loopback that checks what it gets, and answers as well or as badly as it is told.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]
#![allow(dead_code, unreachable_pub, missing_docs)]

use std::net::SocketAddr;
use std::sync::{Arc, Mutex};

use hickory_proto::op::{Message, MessageType, OpCode, ResponseCode};
use hickory_proto::rr::rdata::tsig::{TsigAlgorithm, TsigError, signed_bitmessage_to_buf};
use hickory_proto::rr::rdata::{CNAME, SOA, TXT};
use hickory_proto::rr::{Name, RData, Record, RecordType, TSigResponseContext, TSigner};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::AbortHandle;

/// The time of these tests.
pub const NOW: u64 = 1_700_000_000;
pub const KEY: &str = "mta-seal";
pub const SECRET: &[u8] = b"sixteen or more octets";

/// The key as the file has it.
pub fn key_file(name: &str, algorithm: &str, secret: &[u8]) -> String {
    use base64::Engine as _;
    let secret = base64::prelude::BASE64_STANDARD.encode(secret);
    format!("key \"{name}\" {{\n\talgorithm {algorithm};\n\tsecret \"{secret}\";\n}};\n")
}

fn signer(name: &str, secret: &[u8]) -> TSigner {
    let name = Name::from_ascii(name).unwrap();
    TSigner::new(secret.to_vec(), TsigAlgorithm::HmacSha256, name, 300).unwrap()
}

/// Which request is answered badly.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum At {
    Soa,
    Txt,
    Update,
}

/// How.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Lie {
    /// Not signed.
    Unsigned,
    /// Not signed, and with this response code.
    UnsignedRcode(u16),
    /// Signed well, with this response code.
    Rcode(u16),
    /// One bit of the message behind the header is another after signing.
    FlippedBody,
    /// The response code is another after signing.
    FlippedRcode,
    /// One bit of the MAC is another.
    FlippedMac,
    /// Half of the MAC is left out.
    HalfMac,
    /// The MAC is left out.
    NoMac,
    /// Signed with another secret.
    OtherSecret,
    /// Signed by another key.
    OtherName,
    /// Signed with our key, but as the reply to another request.
    OtherRequest,
    /// The request itself.
    Echo,
    /// With another id, outside the signature too.
    OtherId,
    /// Signed at another time, so many seconds later.
    SignedAt(i64),
    /// An unsigned error of TSIG.
    UnsignedError(u16),
    /// A signed BADTIME: the server's clock is so many seconds ahead.
    BadTime(i64),
    /// A signed error of TSIG.
    SignedError(u16),
    /// The frame ends early.
    Cut,
    /// A frame without octets.
    Empty,
    /// Octets that are no message.
    Garbage,
    /// Counts of records that cannot be true.
    Counts,
    /// Two signatures.
    Twice,
    /// The connection ends.
    Close,
    /// Nothing.
    Silent,
    /// Without the AA bit.
    NoAuthority,
    /// With the TC bit.
    Truncated,
    /// The SOA record of another zone.
    OtherZone,
    /// The name is an alias.
    Alias,
}

/// What the server had to do.
#[derive(Debug, Default)]
pub struct Seen {
    /// The questions, as `NAME TYPE`.
    pub questions: Vec<String>,
    /// The updates.
    pub updates: Vec<Message>,
}

/// Ends when dropped.
pub struct Primary {
    pub address: SocketAddr,
    pub seen: Arc<Mutex<Seen>>,
    task: AbortHandle,
}

impl Drop for Primary {
    fn drop(&mut self) {
        self.task.abort();
    }
}

impl Primary {
    /// Serves `company1.example` with these TXT records: name, and the strings of one record.
    pub async fn start(records: &[(&'static str, &[&str])], lie: Option<(At, Lie)>) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let seen = Arc::<Mutex<Seen>>::default();
        let records = records.iter().map(|(name, strings)| txt(name, strings)).collect();
        let world = World { records, lie, seen: Arc::clone(&seen) };
        let task = tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                world.serve(stream).await;
            }
        });
        Self { address, seen, task: task.abort_handle() }
    }
}

pub fn txt(name: &str, strings: &[&str]) -> Record {
    let strings = strings.iter().map(|string| string.as_bytes()).collect();
    let name = Name::from_ascii(format!("{name}.")).unwrap();
    Record::from_rdata(name, 300, RData::TXT(TXT::from_bytes(strings)))
}

struct World {
    records: Vec<Record>,
    lie: Option<(At, Lie)>,
    seen: Arc<Mutex<Seen>>,
}

impl World {
    async fn serve(&self, mut stream: TcpStream) {
        while let Ok(length) = stream.read_u16().await {
            let mut octets = vec![0; usize::from(length)];
            if stream.read_exact(&mut octets).await.is_err() {
                return;
            }
            let (at, reply) = self.answer(&octets);
            let lie = self.lie.filter(|(where_, _)| *where_ == at).map(|(_, lie)| lie);
            let framed = match lie {
                Some(Lie::Silent) => std::future::pending().await,
                Some(Lie::Close) => return,
                Some(Lie::Empty) => vec![0, 0],
                Some(Lie::Garbage) => vec![0, 5, 1, 2, 3, 4, 5],
                Some(Lie::Cut) => frame(&sign(&octets, reply, lie))[..20].to_vec(),
                Some(Lie::Echo) => frame(&octets),
                _ => frame(&sign(&octets, reply, lie)),
            };
            if stream.write_all(&framed).await.is_err() || lie == Some(Lie::Cut) {
                return;
            }
        }
    }

    /// The unsigned reply to a request, which must be signed well.
    fn answer(&self, octets: &[u8]) -> (At, Message) {
        let (input, record) = signed_bitmessage_to_buf(octets, None, true).unwrap();
        signer(KEY, SECRET).verify(&input, &record.data.mac).unwrap();
        assert!(record.data.time == NOW && record.data.fudge == 300);
        let request = Message::from_vec(octets).unwrap();
        let question = request.queries[0].clone();
        let mut reply = Message::response(request.id, request.op_code);
        reply.add_query(question.clone());
        reply.metadata.authoritative = true;
        let mut seen = self.seen.lock().unwrap();
        if request.op_code == OpCode::Update {
            seen.updates.push(request);
            return (At::Update, reply);
        }
        seen.questions.push(format!("{} {}", question.name(), question.query_type()));
        let zone = Name::from_ascii(match self.lie {
            Some((_, Lie::OtherZone)) => "company2.example.",
            _ => "company1.example.",
        });
        let host = Name::from_ascii("ns.example.").unwrap();
        let soa = SOA::new(host.clone(), host, 1, 3600, 600, 86_400, 60);
        let soa = Record::from_rdata(zone.unwrap(), 60, RData::SOA(soa));
        if question.query_type() == RecordType::SOA {
            reply.add_authority(soa);
            return (At::Soa, reply);
        }
        let own = self.records.iter().filter(|record| record.name == *question.name());
        reply.add_answers(own.cloned());
        if reply.answers.is_empty() {
            reply.metadata.response_code = ResponseCode::NXDomain;
            reply.add_authority(soa);
        }
        (At::Txt, reply)
    }
}

fn frame(octets: &[u8]) -> Vec<u8> {
    [&u16::try_from(octets.len()).unwrap().to_be_bytes()[..], octets].concat()
}

/// Signs a reply as the lie has it.
fn sign(request: &[u8], mut reply: Message, lie: Option<Lie>) -> Vec<u8> {
    let id = reply.id;
    let mut mac = Message::from_vec(request).unwrap().signature().unwrap().data.mac.clone();
    let (mut key, mut time, mut error) = (signer(KEY, SECRET), NOW, None);
    match lie {
        Some(Lie::Rcode(code) | Lie::UnsignedRcode(code)) => {
            reply.metadata.response_code = code.into();
            reply.answers.clear();
        }
        Some(Lie::NoAuthority) => reply.metadata.authoritative = false,
        Some(Lie::Truncated) => reply.metadata.truncation = true,
        Some(Lie::Alias) => {
            let name = reply.queries[0].name().clone();
            let target = Name::from_ascii("_mta-seal.provider.example.").unwrap();
            reply.answers = vec![Record::from_rdata(name, 60, RData::CNAME(CNAME(target)))];
        }
        Some(Lie::OtherSecret) => key = signer(KEY, b"another secret of some length"),
        Some(Lie::OtherName) => key = signer("other", SECRET),
        Some(Lie::OtherRequest) => mac[0] ^= 1,
        Some(Lie::SignedAt(later)) => time = NOW.checked_add_signed(later).unwrap(),
        Some(Lie::UnsignedError(_) | Lie::BadTime(_) | Lie::SignedError(_)) => {
            reply.metadata.response_code = ResponseCode::NotAuth;
        }
        _ => {}
    }
    let unsigned = reply.to_vec().unwrap();
    if matches!(lie, Some(Lie::Unsigned | Lie::UnsignedRcode(_))) {
        return unsigned;
    }
    if let Some(Lie::SignedError(code)) = lie {
        error = Some(TsigError::from(code));
    }
    let context = TSigResponseContext::new(id, time, key, mac.clone(), error);
    let mut signature = context.sign(&unsigned).unwrap();
    match lie {
        Some(Lie::FlippedMac) => signature.data.mac[0] ^= 1,
        Some(Lie::HalfMac) => signature.data.mac.truncate(16),
        Some(Lie::NoMac) => signature.data.mac.clear(),
        Some(Lie::UnsignedError(code)) => {
            signature.data.mac.clear();
            signature.data.error = Some(TsigError::from(code));
        }
        Some(Lie::BadTime(ahead)) => {
            // RFC 8945 section 5.2.3: six octets, and they are signed.
            let server = NOW.checked_add_signed(ahead).unwrap();
            signature.data.other = server.to_be_bytes()[2..].to_vec();
            signature.data.error = Some(TsigError::BadTime);
            let signer = signer(KEY, SECRET);
            let input = signer.encode_response_tbs(&mac, &unsigned, &signature.data).unwrap();
            signature.data.mac = signer.sign(&input).unwrap();
        }
        _ => {}
    }
    reply.set_signature(signature.clone());
    let mut octets = reply.to_vec().unwrap();
    match lie {
        Some(Lie::FlippedBody) => octets[13] ^= 0x20,
        Some(Lie::FlippedRcode) => octets[3] ^= 5,
        Some(Lie::OtherId) => octets[0] ^= 1,
        Some(Lie::Counts) => octets[6..10].fill(0xff),
        Some(Lie::Twice) => {
            reply.signature = None;
            reply.add_additional((*signature).clone().into_record_of_rdata());
            reply.set_signature(signature);
            octets = reply.to_vec().unwrap();
        }
        _ => {}
    }
    assert_eq!(reply.metadata.message_type, MessageType::Response);
    octets
}
