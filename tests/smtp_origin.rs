//! XFORWARD and XCLIENT: what one side writes, the other reads.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use std::net::IpAddr;

use mta_seal::smtp::origin::{
    Attribute, ClientName, Extension, MAX_COMMAND, Origin, OriginError, Source,
};
use proptest::prelude::*;

use Extension::{XClient, XForward};

fn ip(text: &str) -> IpAddr {
    text.parse().unwrap()
}

fn read(command: Extension, arguments: &str) -> Result<Origin, OriginError> {
    let mut origin = Origin::default();
    origin.apply(command, arguments).map(|()| origin)
}

#[test]
fn the_example_of_the_documentation() {
    let mut origin =
        read(XForward, "NAME=spike.porcupine.org ADDR=168.100.189.2 PROTO=ESMTP").unwrap();
    origin.apply(XForward, "helo=spike.porcupine.org IDENT=3CF6B2AAE8").unwrap();
    let expected = Origin {
        name: ClientName::Known("spike.porcupine.org".to_owned()),
        address: Some(ip("168.100.189.2")),
        protocol: Some("ESMTP".to_owned()),
        hello: Some("spike.porcupine.org".to_owned()),
        ident: Some("3CF6B2AAE8".to_owned()),
        ..Origin::default()
    };
    assert_eq!(origin, expected);
    assert_eq!(
        origin.commands(XForward, XForward.attributes()),
        ["XFORWARD NAME=spike.porcupine.org ADDR=168.100.189.2 PORT=[UNAVAILABLE] PROTO=ESMTP \
          HELO=spike.porcupine.org IDENT=3CF6B2AAE8 SOURCE=[UNAVAILABLE]"]
    );
    // Only what is offered, and none of the other command.
    assert_eq!(
        origin.commands(XClient, &[Attribute::Addr, Attribute::Ident, Attribute::Login]),
        ["XCLIENT ADDR=168.100.189.2"]
    );
    assert!(origin.commands(XClient, &[]).is_empty());
    assert!(origin.commands(XForward, &[Attribute::Login]).is_empty());
}

#[test]
fn words_for_nothing_erase() {
    let mut origin = read(XClient, "NAME=mx ADDR=IPV6:2001:DB8::1 LOGIN=me PORT=25").unwrap();
    assert_eq!(origin.address, Some(ip("2001:db8::1")));
    origin.apply(XClient, "NAME=[tempunavail] ADDR=[Unavailable] LOGIN=[UNAVAILABLE]").unwrap();
    let expected = Origin { name: ClientName::Temporary, port: Some(25), ..Origin::default() };
    assert_eq!(origin, expected);
    assert_eq!(
        origin.commands(XClient, &[Attribute::Name, Attribute::Addr]),
        ["XCLIENT NAME=[TEMPUNAVAIL] ADDR=[UNAVAILABLE]"]
    );
}

#[test]
fn malformed_commands_change_nothing() {
    let before = read(XForward, "ADDR=192.0.2.1 HELO=mx").unwrap();
    let long = format!("HELO={}", "a".repeat(256));
    for (command, arguments, error) in [
        (XForward, "", OriginError::Syntax),
        (XForward, "ADDR", OriginError::Syntax),
        (XForward, "LOGIN=me", OriginError::Unknown),
        (XClient, "IDENT=1", OriginError::Unknown),
        (XClient, "DESTADDR=192.0.2.1", OriginError::Unknown),
        (XForward, "HELO=new HELO=newer", OriginError::Duplicate("HELO")),
        (XForward, "HELO=new ADDR=2001:db8::1", OriginError::Malformed("ADDR")),
        (XForward, "HELO=new ADDR=IPV6:192.0.2.1", OriginError::Malformed("ADDR")),
        (XForward, "HELO=new ADDR=[192.0.2.1]", OriginError::Malformed("ADDR")),
        (XForward, "HELO=new ADDR=192.0.2.001", OriginError::Malformed("ADDR")),
        (XForward, "HELO=new PORT=+5", OriginError::Malformed("PORT")),
        (XForward, "HELO=new PORT=65536", OriginError::Malformed("PORT")),
        (XForward, "PORT=1 HELO=", OriginError::Malformed("HELO")),
        (XForward, "PORT=1 HELO=a+0D+0Ab", OriginError::Malformed("HELO")),
        (XForward, "PORT=1 HELO=a+20b", OriginError::Malformed("HELO")),
        (XForward, "PORT=1 HELO=a+C3+A4", OriginError::Malformed("HELO")),
        (XForward, "PORT=1 HELO=a+2", OriginError::Malformed("HELO")),
        (XForward, "PORT=1 HELO=a=b", OriginError::Malformed("HELO")),
        (XForward, "PORT=1 SOURCE=MARS", OriginError::Malformed("SOURCE")),
        (XForward, &long, OriginError::Malformed("HELO")),
    ] {
        let mut origin = before.clone();
        assert_eq!(origin.apply(command, arguments), Err(error), "{arguments}");
        assert_eq!(origin, before);
    }
}

#[test]
fn what_cannot_be_said_is_unavailable() {
    for hello in ["a b", "a\r\nRSET", "", "döner", "[unavailable]", &"a".repeat(300)] {
        let origin = Origin { hello: Some(hello.to_owned()), ..Origin::default() };
        assert_eq!(
            origin.commands(XForward, &[Attribute::Helo]),
            ["XFORWARD HELO=[UNAVAILABLE]"],
            "{hello}"
        );
    }
    // XCLIENT says who the client is as far as that is known, but name and address always: the server would keep ours.
    let origin = Origin { hello: Some("mx".to_owned()), ..Origin::default() };
    let said = "XCLIENT NAME=[UNAVAILABLE] ADDR=[UNAVAILABLE] HELO=mx";
    assert_eq!(origin.commands(XClient, XClient.attributes()), [said]);
    // Postfix takes SMTP and ESMTP there.
    let origin = Origin { protocol: Some("LMTP".to_owned()), ..Origin::default() };
    assert_eq!(origin.commands(XClient, &[Attribute::Proto]), ["XCLIENT PROTO=ESMTP"]);
    assert_eq!(origin.commands(XForward, &[Attribute::Proto]), ["XFORWARD PROTO=LMTP"]);
    let mapped = Origin { address: Some(ip("::ffff:192.0.2.1")), ..Origin::default() };
    assert_eq!(mapped.commands(XClient, &[Attribute::Addr]), ["XCLIENT ADDR=192.0.2.1"]);
}

fn name() -> impl Strategy<Value = ClientName> {
    prop_oneof![
        Just(ClientName::Unavailable),
        Just(ClientName::Temporary),
        "[!-~]{1,85}".prop_map(ClientName::Known),
    ]
}

fn address() -> impl Strategy<Value = IpAddr> {
    prop_oneof![any::<[u8; 4]>().prop_map(IpAddr::from), any::<[u8; 16]>().prop_map(IpAddr::from)]
        .prop_map(|address| address.to_canonical())
}

fn origin() -> impl Strategy<Value = Origin> {
    let text = || proptest::option::of("[!-~]{1,85}");
    let source = proptest::option::of(prop_oneof![Just(Source::Local), Just(Source::Remote)]);
    (
        name(),
        proptest::option::of(address()),
        any::<Option<u16>>(),
        proptest::option::of("[!-~]{1,64}"),
        text(),
        text(),
        source,
        text(),
    )
        .prop_map(|(name, address, port, protocol, hello, ident, source, login)| Origin {
            name,
            address,
            port,
            protocol,
            hello,
            ident,
            source,
            login,
        })
}

proptest! {
    #[test]
    fn what_is_written_is_read(origin in origin(), was in origin()) {
        for command in [XForward, XClient] {
            // An earlier command leaves no trace but of what XCLIENT does not know.
            let mut read = was.clone();
            for line in origin.commands(command, command.attributes()) {
                prop_assert!(line.len() + 2 <= MAX_COMMAND);
                let arguments = line.strip_prefix(command.verb()).unwrap();
                read.apply(command, arguments).unwrap();
            }
            let mut expected = origin.clone();
            match command {
                XForward => expected.login = was.login.clone(),
                XClient => {
                    expected.ident = was.ident.clone();
                    expected.source = was.source;
                    expected.protocol = expected.protocol.map(|protocol| {
                        if protocol.eq_ignore_ascii_case("SMTP") { "SMTP" } else { "ESMTP" }.to_owned()
                    });
                    expected.protocol = expected.protocol.or(was.protocol.clone());
                    expected.port = expected.port.or(was.port);
                    expected.hello = expected.hello.or(was.hello.clone());
                    expected.login = expected.login.or(was.login.clone());
                }
            }
            prop_assert_eq!(read, expected);
        }
    }

    #[test]
    fn no_text_can_break_out_of_its_line(hello in any::<String>(), ident in any::<String>()) {
        let origin = Origin { hello: Some(hello), ident: Some(ident), ..Origin::default() };
        for line in origin.commands(XForward, XForward.attributes()) {
            prop_assert!(line.bytes().all(|b| (b' '..=b'~').contains(&b)));
            prop_assert!(Origin::default().apply(XForward, &line["XFORWARD".len()..]).is_ok());
        }
    }

    #[test]
    fn any_arguments_are_survived(arguments in any::<String>()) {
        let _ = read(XForward, &arguments);
    }
}
