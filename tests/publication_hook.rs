//! Publication by an operator's command.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use std::fs;
use std::os::unix::fs::{PermissionsExt, symlink};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::Duration;

use mta_seal::gateway::publication::{
    Action, Change, Hook, HookError, Manual, PublishError, PublishFuture, Published, Publisher, Way,
};

/// A command in a directory of its own, where it can leave what a test looks at.
struct World {
    dir: tempfile::TempDir,
    command: PathBuf,
}

impl World {
    /// `body` is a shell script; `$dir` in it is the directory.
    fn new(body: &str) -> Self {
        let dir = tempfile::tempdir().unwrap();
        let source = dir.path().join("source");
        let text = format!("#!/bin/sh\ndir={}\n{body}\n", dir.path().display());
        fs::write(&source, text).unwrap();
        let command = dir.path().join("command");
        // Copied by another process: a file that this one has open for writing, be it in a child of another thread, cannot be
        // executed (ETXTBSY).
        let status =
            Command::new("install").args(["-m", "700"]).arg(&source).arg(&command).status();
        assert!(status.unwrap().success());
        Self { dir, command }
    }

    fn hook(&self) -> Hook {
        Hook::new(self.command.clone()).unwrap()
    }

    fn left(&self, file: &str) -> String {
        fs::read_to_string(self.dir.path().join(file)).unwrap_or_default()
    }
}

fn change(action: Action, name: &str, value: &str) -> Change {
    Change { action, name: name.to_owned(), value: value.to_owned(), ttl: 600 }
}

fn add() -> [Change; 1] {
    [change(Action::Add, "_mta-seal.company1.example", "v=MTASEAL1; x")]
}

async fn fails(hook: &Hook, changes: &[Change]) -> HookError {
    match hook.publish(changes).await {
        Err(PublishError::Hook(error)) => error,
        other => panic!("{other:?}"),
    }
}

#[tokio::test]
async fn what_is_added_comes_before_what_is_removed() {
    let world = World::new(r#"echo "$#:$1:$2:$3" >>"$dir/log""#);
    let changes = [
        change(Action::Remove, "_mta-seal.a.example", "v=MTASEAL1; old"),
        change(Action::Add, "_mta-seal.a.example", "v=MTASEAL1; $(new) `x` \"; 'a' * ?"),
        change(Action::Remove, "s1._mta-seal.a.example", "k1"),
        change(Action::Add, "s2._mta-seal.a.example", "k2"),
    ];
    let hook = world.hook();
    assert_eq!(hook.way(), Way::Hook);
    assert_eq!(hook.publish(&changes).await.unwrap(), Published::Done);
    let expected = "3:add:_mta-seal.a.example:v=MTASEAL1; $(new) `x` \"; 'a' * ?\n\
                    3:add:s2._mta-seal.a.example:k2\n\
                    3:remove:_mta-seal.a.example:v=MTASEAL1; old\n\
                    3:remove:s1._mta-seal.a.example:k1\n";
    assert_eq!(world.left("log"), expected);
    assert_eq!(hook.publish(&[]).await.unwrap(), Published::Done);
    assert_eq!(world.left("log"), expected);
}

#[tokio::test]
async fn nothing_is_removed_when_something_could_not_be_added() {
    let world = World::new(r#"echo "$1 $2" >>"$dir/log"; [ "$2" != b.example ]"#);
    let changes = [
        change(Action::Remove, "old.example", "x"),
        change(Action::Add, "a.example", "x"),
        change(Action::Add, "b.example", "x"),
        change(Action::Add, "c.example", "x"),
    ];
    let error = fails(&world.hook(), &changes).await;
    let said = error.to_string();
    assert!(said.ends_with("command add b.example: exit status: 1"), "{said}");
    assert_eq!(world.left("log"), "add a.example\nadd b.example\n");
}

/// The environment is what is promised: PATH and the time to live, no standard input, a place that is not the gateway's.
#[tokio::test]
async fn the_command_gets_nothing_else_of_the_gateway() {
    let world = World::new(r#"env >"$dir/env"; cat >"$dir/input"; pwd >"$dir/pwd""#);
    // Cargo has given this process variables that must not get through.
    assert!(std::env::var_os("CARGO_MANIFEST_DIR").is_some());
    world.hook().publish(&add()).await.unwrap();
    let env = world.left("env");
    // These three the shell sets by itself.
    let mut given: Vec<&str> = env
        .lines()
        .filter(|line| !["PWD=", "SHLVL=", "_="].iter().any(|own| line.starts_with(own)))
        .collect();
    let path = format!("PATH={}", std::env::var("PATH").unwrap());
    let mut expected = ["MTA_SEAL_TTL=600", path.as_str()];
    given.sort_unstable();
    expected.sort_unstable();
    assert_eq!(given, expected);
    assert_eq!((world.left("input").as_str(), world.left("pwd").as_str()), ("", "/\n"));
}

#[tokio::test]
async fn failures_say_what_the_command_said_without_what_a_terminal_obeys() {
    let world = World::new(
        "echo to stdout; printf 'no \\033[31msuch\\033[0m zone\\nsorry\\377\\n' >&2; exit 3",
    );
    let error = fails(&world.hook(), &add()).await;
    let said = error.to_string();
    let end = "command add _mta-seal.company1.example: exit status: 3: to stdout / \
               no \\u{1b}[31msuch\\u{1b}[0m zone\\nsorry\u{fffd}";
    assert!(said.ends_with(end), "{said}");
    assert!(error.hint().unwrap().ends_with("command add _mta-seal.company1.example VALUE"));

    let killed = fails(&World::new("kill -9 $$").hook(), &add()).await;
    assert!(killed.to_string().contains("signal: 9"), "{killed}");
}

#[tokio::test]
async fn any_amount_of_output_is_read_and_little_kept() {
    // Much more than a pipe holds: a command that nobody reads from would hang.
    let world = World::new(
        "head -c 3000000 /dev/zero | tr '\\0' x; head -c 3000000 /dev/zero | tr '\\0' y >&2; exit 1",
    );
    let HookError::Failed { output, .. } = fails(&world.hook(), &add()).await else {
        panic!("not failed")
    };
    assert_eq!(output, format!("{} / {}", "x".repeat(4096), "y".repeat(4096)));
}

/// Whether a process still runs; one that has ended and was not yet waited for counts as ended.
fn runs(pid: &str) -> bool {
    let stat = fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
    let state = stat.rsplit_once(") ").and_then(|(_, rest)| rest.chars().next());
    state.is_some_and(|state| state != 'Z')
}

async fn has_ended(pid: &str) {
    while runs(pid) {
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
}

/// Publishes with a command that hangs, and returns what is under way once the command has written the file `child`.
async fn hanging<'a>(world: &World, hook: &'a Hook, changes: &'a [Change]) -> PublishFuture<'a> {
    let mut publishing = hook.publish(changes);
    while world.left("child").is_empty() {
        let step = tokio::time::timeout(Duration::from_millis(5), &mut publishing).await;
        assert!(step.is_err(), "{step:?}");
    }
    publishing
}

const HANGS: &str = "sleep 1000 &\necho begun; trap '' TERM; echo $$ >\"$dir/self\"
echo $! >\"$dir/part\"; mv \"$dir/part\" \"$dir/child\"; wait";

#[tokio::test]
async fn a_command_that_takes_too_long_is_killed_with_all_that_it_has_started() {
    let (world, changes) = (World::new(HANGS), add());
    let hook = world.hook();
    let publishing = hanging(&world, &hook, &changes).await;
    tokio::time::pause();
    tokio::time::advance(Duration::from_secs(60)).await;
    tokio::time::resume();
    let Err(PublishError::Hook(error)) = publishing.await else { panic!("done") };
    assert!(matches!(error, HookError::TooLong { .. }), "{error}");
    let said = error.to_string();
    assert!(said.ends_with("_mta-seal.company1.example: not done after 60 s: begun"), "{said}");
    for file in ["self", "child"] {
        has_ended(world.left(file).trim()).await;
    }
}

#[tokio::test]
async fn a_command_is_killed_when_nobody_waits_for_it_any_more() {
    let (world, changes) = (World::new(HANGS), add());
    let hook = world.hook();
    drop(hanging(&world, &hook, &changes).await);
    for file in ["self", "child"] {
        has_ended(world.left(file).trim()).await;
    }
}

/// What a command leaves behind may hold its output open; that the change is made counts.
#[tokio::test]
async fn a_process_left_behind_does_not_hold_up_the_result() {
    let world = World::new("sleep 1000 &\necho $! >\"$dir/child\"; exit 0");
    let done = world.hook().publish(&add()).await;
    let pid = world.left("child");
    let killed = Command::new("kill").arg(pid.trim()).stdin(Stdio::null()).status().unwrap();
    assert!(killed.success(), "it was left running");
    assert_eq!(done.unwrap(), Published::Done);
}

#[tokio::test]
async fn only_commands_that_nobody_else_can_change_are_run() {
    let world = World::new(r#"echo run >>"$dir/log""#);
    let path = world.command.as_path();
    let mode = |mode| fs::set_permissions(path, fs::Permissions::from_mode(mode)).unwrap();
    let refused = |path: &Path| Hook::new(path.to_owned()).unwrap_err();

    let hook = world.hook();
    for open in [0o720, 0o702, 0o777] {
        mode(open);
        let error = refused(path);
        assert!(matches!(error, HookError::Permission(_)), "{open:o}: {error}");
        assert!(error.hint().unwrap().starts_with("chmod go-w "), "{error}");
        // It may also have become so since the start.
        assert!(matches!(fails(&hook, &add()).await, HookError::Permission(_)));
    }
    mode(0o600);
    let error = refused(path);
    assert!(error.hint().unwrap().starts_with("chmod +x "), "{error}");
    mode(0o755);
    assert_eq!(world.left("log"), "");

    let link = world.dir.path().join("link");
    symlink(path, &link).unwrap();
    Hook::new(link).unwrap().publish(&add()).await.unwrap();
    assert_eq!(world.left("log"), "run\n");

    let missing = refused(&world.dir.path().join("none"));
    assert!(missing.to_string().contains("none: No such file"), "{missing}");
    assert!(refused(world.dir.path()).to_string().ends_with("not a file"));
    let relative = refused(Path::new("command"));
    assert!(relative.to_string().contains("not an absolute path"), "{relative}");

    fs::remove_file(path).unwrap();
    assert!(matches!(fails(&hook, &add()).await, HookError::Unusable { .. }));
}

#[tokio::test]
async fn by_hand_nothing_is_done() {
    assert_eq!(Manual.publish(&add()).await.unwrap(), Published::ByHand);
    assert_eq!(Manual.way(), Way::Manual);
}
