//! The command of `docs/publishing.md`, run by its own lines against an interface on loopback.
//!
//! Runs when `MTA_SEAL_TEST_CURL=1`; needs `curl` and `jq`.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use std::fs;
use std::io::Write as _;
use std::net::SocketAddr;
use std::os::unix::fs::PermissionsExt;
use std::process::Command;
use std::sync::{Arc, Mutex};

use mta_seal::gateway::publication::{Action, Change, Hook, Published, Publisher};
use serde_json::{Value, json};
use tokio::io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::AbortHandle;

const DOCUMENT: &str = include_str!("../docs/publishing.md");

fn is_wanted() -> bool {
    let wanted = std::env::var_os("MTA_SEAL_TEST_CURL").is_some_and(|value| value == "1");
    if !wanted {
        let _ = writeln!(
            std::io::stderr(),
            "SKIPPED: publication_example needs MTA_SEAL_TEST_CURL=1, curl and jq"
        );
    }
    wanted
}

/// An interface of a DNS panel; ends when dropped.
struct Panel {
    address: SocketAddr,
    records: Arc<Mutex<Vec<Value>>>,
    task: AbortHandle,
}

impl Drop for Panel {
    fn drop(&mut self) {
        self.task.abort();
    }
}

impl Panel {
    async fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let records = Arc::<Mutex<Vec<Value>>>::default();
        let kept = Arc::clone(&records);
        let task = tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                serve(stream, &kept).await;
            }
        });
        Self { address, records, task: task.abort_handle() }
    }

    /// Name, text and TTL of each record.
    fn records(&self) -> Vec<(String, String, u64)> {
        let text = |record: &Value, key| record[key].as_str().unwrap().to_owned();
        let records = self.records.lock().unwrap();
        let told = |record: &Value| {
            (text(record, "name"), text(record, "content"), record["ttl"].as_u64().unwrap())
        };
        records.iter().map(told).collect()
    }
}

/// One request on a connection.
async fn serve(stream: TcpStream, records: &Mutex<Vec<Value>>) {
    let mut stream = BufReader::new(stream);
    let mut lines = Vec::new();
    loop {
        let mut line = String::new();
        stream.read_line(&mut line).await.unwrap();
        match line.trim_end() {
            "" => break,
            line => lines.push(line.to_owned()),
        }
    }
    let header = |name: &str| {
        let fields = lines.iter().filter_map(|line| line.split_once(": "));
        fields.filter(|(n, _)| n.eq_ignore_ascii_case(name)).map(|(_, v)| v.to_owned()).next()
    };
    assert_eq!(header("authorization").as_deref(), Some("Bearer TOKEN"));
    let length = header("content-length").map_or(0, |length| length.parse().unwrap());
    let mut body = vec![0; length];
    stream.read_exact(&mut body).await.unwrap();
    let mut request = lines[0].split(' ');
    let (method, target) = (request.next().unwrap(), request.next().unwrap());
    let answer = {
        let mut records = records.lock().unwrap();
        match method {
            "GET" => {
                let name = target.strip_prefix("/v1/records?type=TXT&name=").unwrap();
                let found: Vec<_> = records.iter().filter(|r| r["name"] == name).cloned().collect();
                json!({ "records": found })
            }
            "POST" => {
                let mut record: Value = serde_json::from_slice(&body).unwrap();
                assert_eq!((target, &record["type"]), ("/v1/records", &json!("TXT")));
                record["id"] = json!(format!("id{}", records.len()));
                records.push(record);
                json!({})
            }
            "DELETE" => {
                let id = target.strip_prefix("/v1/records/").unwrap();
                records.retain(|record| record["id"] != id);
                json!({})
            }
            other => panic!("{other}"),
        }
    };
    let body = answer.to_string();
    let answer = format!(
        "HTTP/1.1 200 OK\r\nContent-Length: {}\r\nConnection: close\r\n\r\n{body}",
        body.len()
    );
    stream.write_all(answer.as_bytes()).await.unwrap();
}

fn change(action: Action, name: &str, value: &str) -> Change {
    Change { action, name: name.to_owned(), value: value.to_owned(), ttl: 600 }
}

#[tokio::test]
async fn the_documented_command_adds_and_removes() {
    if !is_wanted() {
        return;
    }
    let panel = Panel::start().await;
    let dir = tempfile::tempdir().unwrap();
    let path = |name: &str| dir.path().join(name);
    let (_, rest) = DOCUMENT.split_once("<!-- hook -->\n```sh\n").unwrap();
    let mut script = rest.split_once("```").unwrap().0.to_owned();
    for (place, ours) in [
        ("https://dns.example.net", format!("http://{}", panel.address)),
        ("/etc/mta-seal/publish.token", path("token").display().to_string()),
    ] {
        assert!(script.contains(place), "{place} is not in the document");
        script = script.replace(place, &ours);
    }
    fs::write(path("source"), script).unwrap();
    fs::write(path("token"), "header = \"Authorization: Bearer TOKEN\"\n").unwrap();
    fs::set_permissions(path("token"), fs::Permissions::from_mode(0o600)).unwrap();
    // By another process: see `publication_hook`.
    let mut install = Command::new("install");
    let status = install.args(["-m", "700"]).arg(path("source")).arg(path("publish")).status();
    assert!(status.unwrap().success());
    let hook = Hook::new(path("publish")).unwrap();

    let (name, old, new) =
        ("_mta-seal.a.example", "v=MTASEAL1; old", "v=MTASEAL1; n+e/w==; \\ 'x'");
    let first =
        [change(Action::Add, name, old), change(Action::Add, "s1._mta-seal.a.example", old)];
    let second = [change(Action::Remove, name, old), change(Action::Add, name, new)];
    for _ in 0..2 {
        assert_eq!(hook.publish(&first).await.unwrap(), Published::Done);
        assert_eq!(panel.records().len(), 2);
    }
    for _ in 0..2 {
        assert_eq!(hook.publish(&second).await.unwrap(), Published::Done);
        let mut left = panel.records();
        left.sort();
        let record = |name: &str, text: &str| (name.to_owned(), text.to_owned(), 600);
        assert_eq!(left, [record(name, new), record("s1._mta-seal.a.example", old)]);
    }
    drop(panel);
    for action in [Action::Add, Action::Remove] {
        let error = hook.publish(&[change(action, name, new)]).await.unwrap_err();
        assert!(error.to_string().contains("curl: "), "{error}");
    }
}
