//! A server that passes questions on to another one, but answers those for TXT records badly.

use std::net::SocketAddr;
use std::time::Duration;

use domain::base::iana::Rcode;
use domain::base::{Message, MessageBuilder, Rtype};
use tokio::net::{TcpListener, TcpSocket, UdpSocket};
use tokio::task::AbortHandle;

/// What is wrong with the answers.
#[derive(Debug, Clone, Copy)]
pub enum Fault {
    /// They come so much later.
    Late(Duration),
    /// They are truncated, and connections over TCP are refused.
    CutAndRefused,
    /// They are truncated, and nothing comes over TCP.
    CutAndSilent,
    /// They are REFUSED: the server is lame.
    Refused,
    /// They are SERVFAIL but for whoever does without validation (the CD bit): a validating resolver finds them bogus.
    Bogus,
}

/// Ends when dropped.
pub struct Faulty {
    pub address: SocketAddr,
    task: AbortHandle,
}

impl Drop for Faulty {
    fn drop(&mut self) {
        self.task.abort();
    }
}

/// What holds the TCP port.
enum Door {
    Refusing(#[allow(dead_code)] TcpSocket),
    Silent(#[allow(dead_code)] TcpListener),
}

impl Faulty {
    pub async fn start(upstream: SocketAddr, fault: Fault) -> Self {
        let (udp, door) = bind(fault).await;
        let address = udp.local_addr().unwrap();
        let task = tokio::spawn(async move {
            let (_door, udp) = (door, std::sync::Arc::new(udp));
            let mut buffer = vec![0; 4096];
            loop {
                let Ok((length, peer)) = udp.recv_from(&mut buffer).await else { return };
                let query = Message::from_octets(buffer[..length].to_vec()).unwrap();
                let udp = std::sync::Arc::clone(&udp);
                tokio::spawn(async move {
                    let answer = answer(&query, upstream, fault).await;
                    let _ = udp.send_to(&answer, peer).await;
                });
            }
        });
        Self { address, task: task.abort_handle() }
    }
}

async fn bind(fault: Fault) -> (UdpSocket, Door) {
    loop {
        let udp = UdpSocket::bind("127.0.0.1:0").await.unwrap();
        let address = udp.local_addr().unwrap();
        let door = if matches!(fault, Fault::CutAndSilent) {
            TcpListener::bind(address).await.map(Door::Silent)
        } else {
            // A port that is bound and not listened on refuses.
            let tcp = TcpSocket::new_v4().unwrap();
            tcp.bind(address).map(|()| Door::Refusing(tcp))
        };
        if let Ok(door) = door {
            return (udp, door);
        }
    }
}

async fn answer(query: &Message<Vec<u8>>, upstream: SocketAddr, fault: Fault) -> Vec<u8> {
    if query.sole_question().unwrap().qtype() == Rtype::TXT {
        let (rcode, cut) = match fault {
            Fault::Late(delay) => {
                tokio::time::sleep(delay).await;
                return pass_on(query, upstream).await;
            }
            Fault::CutAndRefused | Fault::CutAndSilent => (Rcode::NOERROR, true),
            Fault::Refused => (Rcode::REFUSED, false),
            Fault::Bogus if query.header().cd() => return pass_on(query, upstream).await,
            Fault::Bogus => (Rcode::SERVFAIL, false),
        };
        let mut reply = MessageBuilder::new_vec().start_answer(query, rcode).unwrap();
        reply.header_mut().set_tc(cut);
        return reply.into_message().into_octets();
    }
    pass_on(query, upstream).await
}

async fn pass_on(query: &Message<Vec<u8>>, upstream: SocketAddr) -> Vec<u8> {
    let relay = UdpSocket::bind("127.0.0.1:0").await.unwrap();
    relay.send_to(query.as_slice(), upstream).await.unwrap();
    let mut buffer = vec![0; 65_535];
    let length = relay.recv(&mut buffer).await.unwrap();
    buffer.truncate(length);
    buffer
}
