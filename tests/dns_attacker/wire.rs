//! Questions, and the answers that an attacker makes up.

use std::net::SocketAddr;
use std::str::FromStr;
use std::time::Duration;

use domain::base::iana::{Class, Rcode};
use domain::base::message_builder::AnswerBuilder;
use domain::base::{Message, MessageBuilder, Name, Rtype, Serial, Ttl};
use domain::rdata::{AllRecordData, Ns, Soa, Txt};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpStream, UdpSocket};

type Wire = Name<Vec<u8>>;

/// How long forged records may be kept, in seconds.
const TTL: u32 = 300;

/// Larger answers are cut on UDP.
const UDP_PAYLOAD: usize = 1232;

/// A question as it came.
pub struct Query {
    message: Message<Vec<u8>>,
    /// In lower case, without trailing dot.
    pub name: String,
    pub rtype: Rtype,
}

impl Query {
    pub fn parse(octets: Vec<u8>) -> Self {
        let message = Message::from_octets(octets).unwrap();
        let question = message.sole_question().unwrap();
        let name = question.qname().to_string().trim_end_matches('.').to_ascii_lowercase();
        let rtype = question.qtype();
        Self { message, name, rtype }
    }

    fn owner(&self) -> Wire {
        wire(&self.name)
    }

    fn zone(&self) -> Wire {
        let labels: Vec<&str> = self.name.split('.').collect();
        wire(&labels[labels.len().saturating_sub(2)..].join("."))
    }

    fn begin(&self, rcode: Rcode) -> AnswerBuilder<Vec<u8>> {
        let mut builder = MessageBuilder::new_vec().start_answer(&self.message, rcode).unwrap();
        builder.header_mut().set_ra(true);
        builder.header_mut().set_ad(true);
        builder
    }

    pub fn servfail(&self) -> Vec<u8> {
        self.begin(Rcode::SERVFAIL).into_message().into_octets()
    }

    pub fn nodata(&self) -> Vec<u8> {
        self.begin(Rcode::NOERROR).into_message().into_octets()
    }

    pub fn cut(&self) -> Vec<u8> {
        let mut builder = self.begin(Rcode::NOERROR);
        builder.header_mut().set_tc(true);
        builder.into_message().into_octets()
    }

    pub fn nxdomain(&self) -> Vec<u8> {
        let mut builder = self.begin(Rcode::NXDOMAIN).authority();
        let second = Ttl::from_secs(1);
        let minimum = Ttl::from_secs(TTL);
        let (server, contact) = (wire("ns.example"), wire("hostmaster.example"));
        let soa = Soa::new(server, contact, Serial(1), second, second, second, minimum);
        builder.push((self.zone(), Class::IN, TTL, soa)).unwrap();
        builder.into_message().into_octets()
    }

    pub fn referral(&self) -> Vec<u8> {
        let mut builder = self.begin(Rcode::NOERROR).authority();
        builder.push((self.zone(), Class::IN, TTL, Ns::new(wire("ns.example.net")))).unwrap();
        builder.into_message().into_octets()
    }

    /// A TXT record.
    pub fn text(&self, text: &str, tcp: bool) -> Vec<u8> {
        let mut builder = self.begin(Rcode::NOERROR);
        let txt = Txt::<Vec<u8>>::build_from_slice(text.as_bytes()).unwrap();
        builder.push((self.owner(), Class::IN, TTL, txt)).unwrap();
        let octets = builder.into_message().into_octets();
        if !tcp && octets.len() > UDP_PAYLOAD { self.cut() } else { octets }
    }

    /// The answer without what belongs to DNSSEC.
    pub fn strip(&self, answer: &[u8]) -> Vec<u8> {
        let answer = Message::from_octets(answer.to_vec()).unwrap();
        let mut builder = self.begin(answer.header().rcode());
        builder.header_mut().set_tc(answer.header().tc());
        for record in answer.answer().unwrap().map(Result::unwrap) {
            if !SECURITY.contains(&record.rtype()) {
                builder.push(record.to_any_record::<AllRecordData<_, _>>().unwrap()).unwrap();
            }
        }
        let mut builder = builder.authority();
        for record in answer.authority().unwrap().map(Result::unwrap) {
            if !SECURITY.contains(&record.rtype()) {
                builder.push(record.to_any_record::<AllRecordData<_, _>>().unwrap()).unwrap();
            }
        }
        builder.into_message().into_octets()
    }
}

/// Of DNSSEC.
const SECURITY: [Rtype; 5] = [Rtype::RRSIG, Rtype::DNSKEY, Rtype::DS, Rtype::NSEC, Rtype::NSEC3];

fn wire(text: &str) -> Wire {
    if text.is_empty() { Wire::root_vec() } else { Wire::from_str(text).unwrap() }
}

/// Asks the server itself; nothing if it does not answer.
pub async fn exchange(server: SocketAddr, query: &Query, tcp: bool) -> Option<Vec<u8>> {
    let asked = async {
        let octets = query.message.as_slice();
        if tcp {
            let mut stream = TcpStream::connect(server).await?;
            stream.write_u16(u16::try_from(octets.len()).unwrap()).await?;
            stream.write_all(octets).await?;
            let mut answer = vec![0; usize::from(stream.read_u16().await?)];
            stream.read_exact(&mut answer).await?;
            return Ok(answer);
        }
        let relay = UdpSocket::bind("127.0.0.1:0").await?;
        relay.send_to(octets, server).await?;
        let mut answer = vec![0; 65_535];
        let length = relay.recv(&mut answer).await?;
        answer.truncate(length);
        Ok::<_, std::io::Error>(answer)
    };
    tokio::time::timeout(Duration::from_secs(5), asked).await.ok()?.ok()
}
