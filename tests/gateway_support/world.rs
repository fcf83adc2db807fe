//! Two organisations: company1 sends, company2 receives.

use std::net::SocketAddr;
use std::sync::Arc;

use mta_seal::core::Suite;
use mta_seal::dns::Scripted;
use mta_seal::smtp::Protocol;

use super::{Client, Delivery, Gw, Message, Org, Sink, SinkOptions, Spec, TestClock};

pub struct WorldOptions {
    pub suites: Vec<Suite>,
    /// Listener of the sealing gateway, hop between the gateways, MTA behind the unsealing one.
    pub inside: Protocol,
    pub between: Protocol,
    pub behind: Protocol,
    /// MTA inside company1.
    pub behind1: Protocol,
    /// Configuration of each gateway.
    pub extra1: String,
    pub extra2: String,
    pub inbound2: String,
    /// `dkim` of company1.
    pub dkim1: String,
    /// What the hop between the gateways names as SIZE.
    pub size: Option<u64>,
}

impl Default for WorldOptions {
    fn default() -> Self {
        Self {
            suites: vec![Suite::X25519],
            inside: Protocol::Smtp,
            between: Protocol::Smtp,
            behind: Protocol::Smtp,
            behind1: Protocol::Smtp,
            extra1: String::new(),
            extra2: String::new(),
            inbound2: String::new(),
            dkim1: String::new(),
            size: None,
        }
    }
}

/// `client -> gw1 -> relay, which the test forwards -> gw2 -> mta2`, and `mta1` inside company1.
pub struct World {
    pub dns: Arc<Scripted>,
    pub clock: Arc<TestClock>,
    pub company1: Org,
    pub company2: Org,
    pub gw1: Gw,
    pub gw2: Gw,
    /// Where company1's carriers and clear mail go.
    pub relay: Sink,
    /// The MTA of company1, for notices.
    pub mta1: Sink,
    /// The MTA of company2.
    pub mta2: Sink,
    pub options: WorldOptions,
}

impl World {
    pub async fn new() -> Self {
        Self::with(WorldOptions::default()).await
    }

    pub async fn with(options: WorldOptions) -> Self {
        let (dns, clock) = (Arc::new(Scripted::new()), TestClock::new());
        let company1 = Org::new("company1.example", 10);
        let mut company2 = Org::new("company2.example", 20);
        company2.suites = options.suites.clone();
        company1.publish(&dns);
        company2.publish(&dns);
        let mut relay = SinkOptions::new(options.between);
        if let Some(size) = options.size {
            relay = relay.without("SIZE").with(&format!("SIZE {size}"));
        }
        let relay = relay.start().await;
        let mta1 = Sink::speaking(options.behind1).await;
        let mta2 = Sink::speaking(options.behind).await;
        let mut spec1 = Spec::new(&company1)
            .outbound(options.inside, &relay.url)
            .inbound(Protocol::Smtp, &mta1.url)
            .extra(&options.extra1);
        spec1.dkim = options.dkim1.clone();
        let mut spec2 = Spec::new(&company2)
            .outbound(Protocol::Smtp, &relay.url)
            .inbound(options.between, &mta2.url)
            .extra(&options.extra2);
        spec2.inbound_extra = options.inbound2.clone();
        let gw1 = Gw::start(&spec1, &dns, &clock).await;
        let gw2 = Gw::start(&spec2, &dns, &clock).await;
        Self { dns, clock, company1, company2, gw1, gw2, relay, mta1, mta2, options }
    }

    /// Hands a message to the sealing gateway.
    pub async fn send(&self, from: &str, to: &[&str], message: &[u8]) -> Delivery {
        super::deliver(self.gw1.outbound(), self.options.inside, from, to, message).await
    }

    /// Hands a carrier on to the unsealing gateway, as the relay recorded it.
    pub async fn forward(&self, carrier: &Message) -> Delivery {
        forward(self.gw2.inbound(), self.options.between, carrier).await
    }

    /// Sends a message all the way, which must succeed, and returns what came out.
    pub async fn through(&self, from: &str, to: &[&str], message: &[u8]) -> Vec<Message> {
        let (relayed, delivered) = (self.relay.messages().len(), self.mta2.messages().len());
        self.send(from, to, message).await.expect("250");
        for carrier in &self.relay.messages()[relayed..] {
            self.forward(carrier).await.expect("250");
        }
        self.mta2.messages().split_off(delivered)
    }

    /// A carrier from alice to bob with this message in it.
    pub async fn carrier(&self, message: &[u8]) -> Message {
        let before = self.relay.messages().len();
        let sent =
            self.send("<alice@company1.example>", &["<bob@company2.example>"], message).await;
        sent.expect("250");
        self.relay.messages().split_off(before).remove(0)
    }
}

/// Sends on what a sink has recorded.
pub async fn forward(address: SocketAddr, protocol: Protocol, message: &Message) -> Delivery {
    let to: Vec<&str> = message.to.iter().map(String::as_str).collect();
    let mut client = Client::greeted(address, protocol).await;
    client.transact(protocol, &message.from, &to, &message.data).await
}
