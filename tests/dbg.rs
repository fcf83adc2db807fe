//! x
#![allow(clippy::unwrap_used)]
use domain::base::*;
use mta_seal::dns::authority::*;
use mta_seal::dns::*;
use std::str::FromStr;
#[tokio::test]
async fn dbg() {
    let n = |t: &str| QueryName::parse(t).unwrap();
    let s = Authority::start(&[
        ZoneSpec::signed(n("signed.example")),
        ZoneSpec::unsigned(n("plain.example")),
    ])
    .await
    .unwrap();
    s.set_txt(&n("_mta-seal.signed.example"), &[b"x"]).unwrap();
    s.set_cname(&n("c.signed.example"), &n("_mta-seal.signed.example")).unwrap();
    s.set_cname(&n("d.signed.example"), &n("nothing.signed.example")).unwrap();
    for (q, t) in [
        (".", Rtype::DNSKEY),
        ("example.", Rtype::DS),
        ("signed.example.", Rtype::DS),
        ("plain.example.", Rtype::DS),
        ("signed.example.", Rtype::DNSKEY),
        ("_mta-seal.signed.example.", Rtype::TXT),
        ("c.signed.example.", Rtype::TXT),
        ("d.signed.example.", Rtype::TXT),
        ("nothing.signed.example.", Rtype::TXT),
    ] {
        let mut b = MessageBuilder::new_vec();
        b.header_mut().set_rd(true);
        let mut b = b.question();
        b.push((Name::<Vec<u8>>::from_str(q).unwrap(), t)).unwrap();
        let mut b = b.additional();
        b.opt(|o| {
            o.set_dnssec_ok(true);
            o.set_udp_payload_size(1232);
            Ok(())
        })
        .unwrap();
        let m = b.into_message();
        let u = tokio::net::UdpSocket::bind("127.0.0.1:0").await.unwrap();
        u.send_to(m.as_slice(), s.address()).await.unwrap();
        let mut buf = vec![0; 4000];
        let (l, _) = u.recv_from(&mut buf).await.unwrap();
        let m = Message::from_octets(&buf[..l]).unwrap();
        println!("=== {}", m.display_dig_style());
    }
}
