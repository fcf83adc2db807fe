//! A machine in the middle: stands between a resolver and its server, and drops, delays, forges, strips and cuts answers.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]
#![allow(dead_code, unreachable_pub, missing_docs)]

mod wire;

use std::collections::{BTreeMap, HashMap};
use std::net::SocketAddr;
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::Duration;

use domain::base::Rtype;
use sha2::{Digest, Sha256};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream, UdpSocket};
use tokio::task::AbortHandle;

use wire::{Query, exchange};

/// What becomes of an answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Action {
    Pass,
    /// Nothing comes.
    Drop,
    /// It comes 20 to 275 ms later.
    Delay,
    ServFail,
    /// The answer over UDP is cut; the one over TCP is attacked in its own way.
    Cut,
    NxDomain,
    /// No such record, without a SOA record.
    NoData,
    /// A referral, as if the server were lame.
    Refer,
    /// Another identity with a policy, keys and signatures of its own, and the AD bit.
    Forge,
    /// A withdrawal (`none`) by this identity.
    Withdraw,
    /// A policy of the domain's own that is older than the one it has now.
    Replay,
    /// All records of DNSSEC are taken out.
    Strip,
}

/// All but [`Action::Pass`].
pub const ACTIONS: [Action; 11] = [
    Action::Drop,
    Action::Delay,
    Action::ServFail,
    Action::Cut,
    Action::NxDomain,
    Action::NoData,
    Action::Refer,
    Action::Forge,
    Action::Withdraw,
    Action::Replay,
    Action::Strip,
];

/// In percent: what becomes of answers about TXT records.
const TXT: [(Action, u8); 12] = [
    (Action::Pass, 22),
    (Action::Drop, 8),
    (Action::Delay, 8),
    (Action::ServFail, 7),
    (Action::Cut, 8),
    (Action::NxDomain, 14),
    (Action::NoData, 5),
    (Action::Refer, 3),
    (Action::Forge, 14),
    (Action::Withdraw, 4),
    (Action::Replay, 4),
    (Action::Strip, 3),
];

/// About the records of DNSSEC itself. Each look-up in a signed zone needs several, and they must not always fail.
const CHAIN: [(Action, u8); 7] = [
    (Action::Pass, 86),
    (Action::Drop, 2),
    (Action::Delay, 2),
    (Action::ServFail, 2),
    (Action::NxDomain, 3),
    (Action::NoData, 2),
    (Action::Strip, 3),
];

/// How the attacker behaves at present.
#[derive(Debug, Clone, Copy)]
pub enum Regime {
    Quiet,
    /// By chance, which depends on nothing but the seed, the round and the question.
    Random {
        round: u64,
    },
    /// This for every TXT record; the rest passes.
    Always(Action),
}

/// What the attacker says of one domain: texts of TXT records.
#[derive(Debug, Clone, Default)]
pub struct Lies {
    pub policy_name: String,
    pub forged: String,
    pub withdrawal: String,
    /// An older policy of the domain itself, if the attacker has kept one.
    pub old: Option<String>,
    /// Key records of the forged identity, by name.
    pub keys: Vec<(String, String)>,
}

struct Shared {
    upstream: SocketAddr,
    seed: u64,
    state: Mutex<State>,
}

struct State {
    regime: Regime,
    lies: HashMap<String, Lies>,
    keys: HashMap<String, String>,
    counts: BTreeMap<Action, usize>,
    /// Of TXT records only.
    by_name: HashMap<String, BTreeMap<Action, usize>>,
}

/// Ends when dropped.
pub struct Attacker {
    address: SocketAddr,
    shared: Arc<Shared>,
    tasks: [AbortHandle; 2],
}

impl Drop for Attacker {
    fn drop(&mut self) {
        for task in &self.tasks {
            task.abort();
        }
    }
}

impl Attacker {
    /// Lets everything pass at first.
    pub async fn start(upstream: SocketAddr, seed: u64) -> Self {
        let (udp, tcp) = loop {
            let udp = UdpSocket::bind("127.0.0.1:0").await.unwrap();
            if let Ok(tcp) = TcpListener::bind(udp.local_addr().unwrap()).await {
                break (udp, tcp);
            }
        };
        let state = State {
            regime: Regime::Quiet,
            lies: HashMap::new(),
            keys: HashMap::new(),
            counts: BTreeMap::new(),
            by_name: HashMap::new(),
        };
        let address = udp.local_addr().unwrap();
        let shared = Arc::new(Shared { upstream, seed, state: Mutex::new(state) });
        let tasks = [
            tokio::spawn(serve_udp(Arc::clone(&shared), udp)).abort_handle(),
            tokio::spawn(serve_tcp(Arc::clone(&shared), tcp)).abort_handle(),
        ];
        Self { address, shared, tasks }
    }

    pub fn address(&self) -> SocketAddr {
        self.address
    }

    pub fn behave(&self, regime: Regime) {
        self.shared.lock().regime = regime;
    }

    pub fn lie_about(&self, lies: Lies) {
        let mut state = self.shared.lock();
        state.keys.extend(lies.keys.clone());
        state.lies.insert(lies.policy_name.clone(), lies);
    }

    /// How many answers each action befell.
    pub fn counts(&self) -> BTreeMap<Action, usize> {
        self.shared.lock().counts.clone()
    }

    /// The same for the TXT records of one name.
    pub fn counts_of(&self, name: &str) -> BTreeMap<Action, usize> {
        self.shared.lock().by_name.get(name).cloned().unwrap_or_default()
    }
}

impl Shared {
    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap()
    }

    /// What becomes of the answer to this question; counted.
    fn choose(&self, query: &Query, tcp: bool) -> Action {
        let mut state = self.lock();
        let text = query.rtype == Rtype::TXT;
        let action = match state.regime {
            Regime::Quiet => return Action::Pass,
            Regime::Always(action) if text => action,
            Regime::Always(_) => Action::Pass,
            // The forged identity serves its own keys well.
            Regime::Random { .. } if state.keys.contains_key(&query.name) => Action::Forge,
            Regime::Random { round } => {
                let table = if text { &TXT[..] } else { &CHAIN[..] };
                let Query { name, rtype, .. } = query;
                let input = format!("{} {round} {name} {rtype} {tcp}", self.seed);
                let hash = Sha256::digest(input.as_bytes());
                let mut left = u32::from_be_bytes(hash[..4].try_into().unwrap()) % 100;
                let hit = table.iter().find(|(_, percent)| {
                    let hit = left < u32::from(*percent);
                    left = left.saturating_sub(u32::from(*percent));
                    hit
                });
                hit.unwrap().0
            }
        };
        *state.counts.entry(action).or_default() += 1;
        if text {
            *state.by_name.entry(query.name.clone()).or_default().entry(action).or_default() += 1;
        }
        action
    }

    /// The answer that the client gets, if any.
    async fn answer(&self, query: &Query, tcp: bool) -> Option<Vec<u8>> {
        let genuine = || exchange(self.upstream, query, tcp);
        let lies = self.lock().lies.get(&query.name).cloned();
        match self.choose(query, tcp) {
            Action::Drop => None,
            Action::Cut if tcp => None,
            Action::Cut => Some(query.cut()),
            Action::Delay => {
                let hash = Sha256::digest(query.name.as_bytes());
                tokio::time::sleep(Duration::from_millis(20 + u64::from(hash[0]))).await;
                genuine().await
            }
            Action::ServFail => Some(query.servfail()),
            Action::NxDomain => Some(query.nxdomain()),
            Action::NoData => Some(query.nodata()),
            Action::Refer => Some(query.referral()),
            Action::Strip => Some(query.strip(&genuine().await?)),
            Action::Forge => match (lies, self.lock().keys.get(&query.name).cloned()) {
                (Some(lies), _) => Some(query.text(&lies.forged, tcp)),
                (None, Some(key)) => Some(query.text(&key, tcp)),
                // A key record of the domain: another one in its place.
                (None, None) => Some(query.text("v=MTASEALKEY1; k=2; p=AAAA", tcp)),
            },
            Action::Withdraw => match lies {
                Some(lies) => Some(query.text(&lies.withdrawal, tcp)),
                None => Some(query.nxdomain()),
            },
            Action::Replay => match lies.and_then(|lies| lies.old) {
                Some(old) => Some(query.text(&old, tcp)),
                None => genuine().await,
            },
            Action::Pass => genuine().await,
        }
    }
}

async fn serve_udp(shared: Arc<Shared>, udp: UdpSocket) {
    let udp = Arc::new(udp);
    let mut buffer = vec![0; 4096];
    loop {
        let Ok((length, peer)) = udp.recv_from(&mut buffer).await else { return };
        let query = Query::parse(buffer[..length].to_vec());
        let (shared, udp) = (Arc::clone(&shared), Arc::clone(&udp));
        tokio::spawn(async move {
            if let Some(answer) = shared.answer(&query, false).await {
                let _ = udp.send_to(&answer, peer).await;
            }
        });
    }
}

async fn serve_tcp(shared: Arc<Shared>, tcp: TcpListener) {
    loop {
        let Ok((stream, _)) = tcp.accept().await else { return };
        let shared = Arc::clone(&shared);
        tokio::spawn(async move {
            let _ = dialogue(&shared, stream).await;
        });
    }
}

/// Ends where an answer is withheld: the connection is closed then.
async fn dialogue(shared: &Shared, mut stream: TcpStream) -> std::io::Result<()> {
    loop {
        let mut query = vec![0; usize::from(stream.read_u16().await?)];
        stream.read_exact(&mut query).await?;
        let Some(answer) = shared.answer(&Query::parse(query), true).await else { return Ok(()) };
        stream.write_u16(u16::try_from(answer.len()).unwrap()).await?;
        stream.write_all(&answer).await?;
    }
}
