//! The queue id of the MTA before us, so that one search finds a message in its log and in ours.

use crate::mail::header::Header;
use crate::mail::trace::received_id;

/// Longest queue id in octets; Postfix has at most 20, Exim 23, Microsoft about 40.
const MAX: usize = 64;

/// Most octets of a Received field that are looked at.
const MAX_FIELD: usize = 2048;

/// A queue id as it may stand in a log: letters, digits and `-._`, so that whoever wrote it cannot write lines or
/// fields of ours.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct QueueId(String);

impl QueueId {
    /// Takes a text that is a queue id; anything else is none.
    pub(super) fn parse(text: &[u8]) -> Option<Self> {
        let allowed = |b: &u8| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'.' | b'_');
        if text.is_empty() || text.len() > MAX || !text.iter().all(allowed) {
            return None;
        }
        Some(Self(String::from_utf8_lossy(text).into_owned()))
    }

    /// The id in the topmost Received field. It is that of the client, if the client is an MTA.
    pub(super) fn of(header: &Header) -> Option<Self> {
        let field = header.fields().find(|field| field.is("Received"))?;
        if field.body().len() > MAX_FIELD {
            return None;
        }
        Self::parse(received_id(&field.unfolded())?)
    }

    pub(super) fn as_str(&self) -> &str {
        &self.0
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    fn id(field: &str) -> Option<String> {
        let message =
            format!("Subject: first\r\nReceived: {field}\r\nReceived: by b id LOWER; x\r\n\r\n");
        QueueId::of(&Header::split(message.as_bytes()).0).map(|id| id.0)
    }

    #[test]
    fn ids_of_common_mtas() {
        let cases = [
            // Postfix
            (
                "from mua.example (mua.example [192.0.2.1])\r\n\t(using TLSv1.3 with cipher X (256/256 bits))\r\n\t(No client certificate requested)\r\n\tby mx.example (Postfix) with ESMTPS id 4XyZ1234zz9\r\n\tfor <bob@example.org>; Sun, 22 Nov 2026 09:00:00 +0000 (UTC)",
                "4XyZ1234zz9",
            ),
            (
                "by mx.example (Postfix, from userid 1000)\r\n\tid 9A8B7C6D5E; Sun, 22 Nov 2026 09:00:00 +0000",
                "9A8B7C6D5E",
            ),
            // Exim
            (
                "from [192.0.2.1] (helo=mua.example)\r\n\tby mx.example with esmtps (TLS1.3) tls TLS_AES_256_GCM_SHA384\r\n\t(Exim 4.96)\r\n\t(envelope-from <a@example.org>)\r\n\tid 1rAbCd-0001Ef-2x\r\n\tfor b@example.org;\r\n\tSun, 22 Nov 2026 09:00:00 +0000",
                "1rAbCd-0001Ef-2x",
            ),
            // OpenSMTPD
            (
                "from mua.example (mua.example [192.0.2.1])\r\n\tby mx.example (OpenSMTPD) with ESMTPSA id 2f3a4b5c (TLSv1.3:X:256:NO)\r\n\tfor <b@example.org>;\r\n\tSun, 22 Nov 2026 09:00:00 +0000 (UTC)",
                "2f3a4b5c",
            ),
            // sendmail
            (
                "from mua.example (mua [192.0.2.1])\r\n\t(authenticated bits=0)\r\n\tby mx.example (8.17.1/8.17.1) with ESMTPSA id 3AM90x12345678\r\n\t(version=TLSv1.3 cipher=X bits=256 verify=NO)\r\n\tfor <b@example.org>; Sun, 22 Nov 2026 09:00:00 GMT",
                "3AM90x12345678",
            ),
            // The client calls itself id.
            (
                "from id (unknown [192.0.2.1]) by mx.example (Postfix) with SMTP id 4Real; x",
                "4Real",
            ),
            ("by mx.example ID last", "last"),
        ];
        for (field, expected) in cases {
            assert_eq!(id(field).as_deref(), Some(expected), "{field}");
        }
    }

    #[test]
    fn nothing_else_gets_into_the_log() {
        for field in [
            "from a by b with SMTP; id late",
            "from a by b (id inside) with SMTP; x",
            "from a by b id <m@x>; x",
            "from a by b id a\"b; x",
            "from a by b id \u{1b}[31mred; x",
            "from a by b id caf\u{e9}; x",
            "from a by b id a=b; x",
            "from a by b id",
            "(from a by b id x",
            "",
        ] {
            assert_eq!(id(field), None, "{field}");
        }
        assert_eq!(id(&format!("by b id {}", "x".repeat(MAX))).unwrap().len(), MAX);
        assert_eq!(id(&format!("by b id {}", "x".repeat(MAX + 1))), None);
        assert_eq!(id(&format!("by b ({}) id x", "y".repeat(MAX_FIELD))), None);
        for bad in [&b""[..], b"a b", b"a\nb", b"a\r", b"\0", b"\xff"] {
            assert_eq!(QueueId::parse(bad), None);
        }
    }
}
