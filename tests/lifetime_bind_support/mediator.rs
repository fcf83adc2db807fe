//! Between the gateways and the primary: translates the time of signed updates, for BIND knows only the real one, and sees what is
//! published.
//!
//! A request is verified as BIND would, signed anew at the real time and handed on; so is the reply, the other way round. BIND decides
//! about the update by its own `update-policy`. What it does not sign is passed on as it is.

use std::io;
use std::net::SocketAddr;
use std::path::Path;
use std::sync::{Arc, Mutex};
use std::time::{SystemTime, UNIX_EPOCH};

use base64::Engine as _;
use hickory_proto::op::{Message, OpCode, ResponseCode};
use hickory_proto::rr::rdata::TSIG;
use hickory_proto::rr::rdata::tsig::{
    TsigAlgorithm, make_tsig_record, message_tbs, signed_bitmessage_to_buf,
};
use hickory_proto::rr::{DNSClass, Name, RData, TSigResponseContext, TSigner};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::AbortHandle;

const FUDGE: u16 = 300;

/// A TXT record that an update adds.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Added {
    /// When, by the gateway's clock.
    pub at: u64,
    pub name: String,
    pub text: String,
}

/// What the primary was asked to add, in its order, and whether it did.
pub type Seen = Arc<Mutex<Vec<(Added, bool)>>>;

/// Ends when dropped.
pub struct Mediator {
    pub address: SocketAddr,
    pub seen: Seen,
    task: AbortHandle,
}

impl Drop for Mediator {
    fn drop(&mut self) {
        self.task.abort();
    }
}

impl Mediator {
    /// `key`: the file of the key that gateways and primary share.
    pub async fn start(primary: SocketAddr, key: &Path) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let seen = Seen::default();
        let secret = std::fs::read_to_string(key).unwrap();
        let secret = secret.split('"').nth(3).unwrap();
        let secret = base64::prelude::BASE64_STANDARD.decode(secret).unwrap();
        let name = Name::from_ascii("mta-seal.").unwrap();
        let signer = TSigner::new(secret, TsigAlgorithm::HmacSha256, name, FUDGE).unwrap();
        let between = Between { primary, signer, seen: Arc::clone(&seen) };
        let task = tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                let between = between.clone();
                // It ends with either connection.
                tokio::spawn(async move { between.serve(stream).await });
            }
        });
        Self { address, seen, task: task.abort_handle() }
    }
}

#[derive(Clone)]
struct Between {
    primary: SocketAddr,
    signer: TSigner,
    seen: Seen,
}

impl Between {
    async fn serve(&self, mut gateway: TcpStream) -> io::Result<()> {
        let mut primary = TcpStream::connect(self.primary).await?;
        loop {
            let request = read(&mut gateway).await?;
            let (input, tsig) = signed_bitmessage_to_buf(&request, None, true).unwrap();
            self.signer.verify(&input, &tsig.data.mac).unwrap();
            let mut message = Message::from_vec(&request).unwrap();
            message.signature = None;
            let added = added(&message, tsig.data.time);
            let (octets, mac) = self.sign(message);
            write(&mut primary, &octets).await?;
            let reply = read(&mut primary).await?;
            let (reply, done) = self.translate(reply, &mac, &tsig.data);
            self.seen.lock().unwrap().extend(added.into_iter().map(|added| (added, done)));
            write(&mut gateway, &reply).await?;
        }
    }

    /// Signs a request at the real time; its octets and its MAC.
    fn sign(&self, mut message: Message) -> (Vec<u8>, Vec<u8>) {
        let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_secs();
        let algorithm = TsigAlgorithm::HmacSha256;
        let id = message.metadata.id;
        let blank = TSIG::new(algorithm, now, FUDGE, Vec::new(), id, None, Vec::new());
        let name = self.signer.signer_name();
        let mac = self.signer.sign(&message_tbs(&message, &blank, name).unwrap()).unwrap();
        let record = make_tsig_record(name.clone(), blank.set_mac(mac.clone()));
        message.set_signature(Box::new(record));
        (message.to_vec().unwrap(), mac)
    }

    /// The reply at the time of the gateway's own request, and whether it says that all was done.
    fn translate(&self, octets: Vec<u8>, mac: &[u8], request: &TSIG) -> (Vec<u8>, bool) {
        let mut reply = Message::from_vec(&octets).unwrap();
        let done = reply.metadata.response_code == ResponseCode::NoError;
        let Some(signature) = reply.signature() else { return (octets, false) };
        if signature.data.mac.is_empty() {
            return (octets, false);
        }
        let (input, tsig) = signed_bitmessage_to_buf(&octets, Some(mac), true).unwrap();
        self.signer.verify(&input, &tsig.data.mac).unwrap();
        reply.signature = None;
        let unsigned = reply.to_vec().unwrap();
        let (key, prior) = (self.signer.clone(), request.mac.clone());
        let context = TSigResponseContext::new(reply.metadata.id, request.time, key, prior, None);
        reply.set_signature(context.sign(&unsigned).unwrap());
        (reply.to_vec().unwrap(), done)
    }
}

/// The records that an update adds.
fn added(message: &Message, at: u64) -> Vec<Added> {
    let updates = message.authorities.iter().filter(|_| message.op_code == OpCode::Update);
    updates
        .filter(|record| record.dns_class == DNSClass::IN)
        .filter_map(|record| match &record.data {
            RData::TXT(txt) => Some(Added {
                at,
                name: record.name.to_ascii().trim_end_matches('.').to_owned(),
                text: String::from_utf8(txt.txt_data.concat()).unwrap(),
            }),
            _ => None,
        })
        .collect()
}

async fn read(stream: &mut TcpStream) -> io::Result<Vec<u8>> {
    let mut octets = vec![0; usize::from(stream.read_u16().await?)];
    stream.read_exact(&mut octets).await?;
    Ok(octets)
}

async fn write(stream: &mut TcpStream, octets: &[u8]) -> io::Result<()> {
    let length = u16::try_from(octets.len()).unwrap();
    stream.write_all(&[&length.to_be_bytes()[..], octets].concat()).await
}
