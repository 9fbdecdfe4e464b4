//! The launcher: the whole program, started and stopped as a newcomer would, also roughly.

use std::{
    io::{BufRead, BufReader},
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    time::{Duration, Instant},
};

use nix::{
    sys::signal::{Signal, kill},
    unistd::Pid,
};

struct Folder(PathBuf);

impl Folder {
    fn new(name: &str) -> Self {
        let path = std::env::temp_dir().join(format!("lianxin-launcher-{name}-{}", std::process::id()));
        std::fs::create_dir_all(&path).expect("created");
        Self(path)
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.0);
    }
}

fn program(folder: &Path, port: u16) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_lianxin"));
    command
        .arg("run")
        .env_remove("DATABASE_URL")
        .env_remove("DATABASE_OWNER_URL")
        .env_remove("REDIS_URL")
        .env("LIANXIN_MODE", "development")
        .env("LIANXIN_DATA", folder)
        .env("PORT", port.to_string())
        .env("LOG", "error")
        .stdout(Stdio::piped())
        .stderr(Stdio::piped());
    command
}

/// Starts it and waits until it serves; answers its address.
fn serving(folder: &Path) -> (Child, String) {
    let mut child = program(folder, 0).spawn().expect("starts");
    let lines = BufReader::new(child.stdout.take().expect("piped")).lines();
    for line in lines.map_while(Result::ok) {
        if let Some(rest) = line.strip_prefix("lianxin serves http://") {
            let address = rest.split(' ').next().expect("an address").to_owned();
            return (child, address);
        }
    }
    let output = child.wait_with_output().expect("ended");
    panic!("it does not serve: {}", String::from_utf8_lossy(&output.stderr));
}

fn signal(child: &Child, signal: Signal) {
    kill(Pid::from_raw(child.id() as i32), signal).expect("it lives");
}

async fn book(address: &str, who: &str, key: &str) -> u16 {
    let http = reqwest::Client::builder().no_proxy().build().expect("a client");
    let get = async |path: String| -> serde_json::Value {
        http.get(format!("http://{address}{path}")).send().await.expect("answers").json().await.expect("JSON")
    };
    let login = serde_json::json!({"county": "350425", "code": format!("login.{who}.{}", uuid::Uuid::now_v7())});
    let login = http.post(format!("http://{address}/v1/sessions/wechat")).json(&login).send().await.expect("answers");
    let session: serde_json::Value = login.json().await.expect("JSON");
    let unit = get("/v1/units?county=350425&level=township&limit=1".into()).await["items"][0]["id"].clone();
    let matter = get("/v1/matters?county=350425&limit=1".into()).await["items"][0]["id"].clone();
    let (plain_unit, plain_matter) = (unit.as_str().expect("an id"), matter.as_str().expect("an id"));
    // The next day with free places: weekends and holidays have none.
    let today: chrono::NaiveDate = lianxin::clock::local_date(lianxin::clock::Clock::System.now());
    for ahead in 1..=7 {
        let date = today + chrono::Days::new(ahead);
        let path = format!("/v1/slots?county=350425&unit_id={plain_unit}&matter_id={plain_matter}&date={date}");
        let slots = get(path).await;
        let Some(slot) = slots["items"].as_array().expect("items").iter().find(|slot| slot["free"] != 0) else {
            continue;
        };
        let body = serde_json::json!({"unit_id": unit, "matter_id": matter, "starts_at": slot["starts_at"]});
        let request = http.post(format!("http://{address}/v1/appointments")).json(&body);
        let request =
            request.bearer_auth(session["access_token"].as_str().expect("a token")).header("idempotency-key", key);
        return request.send().await.expect("answers").status().as_u16();
    }
    panic!("no free slot within seven days");
}

#[actix_web::test]
async fn started_killed_started_again_and_stopped_in_order() {
    let folder = Folder::new("life");
    let (mut first, address) = serving(&folder.0);
    assert_eq!(book(&address, "zhang", "a").await, 201);

    // A second one on the same folder says why not.
    let second = program(&folder.0, 0).output().expect("runs");
    let words = String::from_utf8_lossy(&second.stderr).into_owned();
    assert!(
        !second.status.success() && words.contains("another lianxin") && words.contains(&first.id().to_string()),
        "{words}"
    );

    // Killed: nothing can be tidied up. The next start goes on where it was.
    signal(&first, Signal::SIGKILL);
    first.wait().expect("ended");
    let (mut again, address) = serving(&folder.0);
    assert_eq!(book(&address, "zhang", "b").await, 409, "the booking is still there");

    signal(&again, Signal::SIGTERM);
    let asked = Instant::now();
    let status = loop {
        if let Some(status) = again.try_wait().expect("asked") {
            break status;
        }
        assert!(asked.elapsed() < Duration::from_secs(60), "it does not stop");
        std::thread::sleep(Duration::from_millis(20));
    };
    assert!(status.success(), "{status}");
    let left = Command::new("pgrep").args(["-f", &folder.0.to_string_lossy()]).output();
    if let Ok(left) = left {
        assert!(left.stdout.is_empty(), "children are left: {}", String::from_utf8_lossy(&left.stdout));
    }
}

#[test]
fn a_taken_port_is_named() {
    let taken = std::net::TcpListener::bind("127.0.0.1:0").expect("a port");
    let port = taken.local_addr().expect("bound").port();
    let folder = Folder::new("port");
    let output = program(&folder.0, port).output().expect("runs");
    let words = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(!output.status.success() && words.contains(&port.to_string()) && words.contains("PORT="), "{words}");
}

#[test]
fn production_is_the_default_and_starts_nothing_of_its_own() {
    let folder = Folder::new("production");
    let run = |mut command: Command| {
        let output = command.output().expect("runs");
        assert!(!output.status.success());
        String::from_utf8_lossy(&output.stderr).into_owned()
    };
    let mut command = program(&folder.0, 0);
    command.env_remove("LIANXIN_MODE");
    let words = run(command);
    assert!(words.contains("DATABASE_URL") && words.contains("make run"), "{words}");
    let mut command = program(&folder.0, 0);
    command.env_remove("LIANXIN_MODE").env("DATABASE_URL", "postgres://x").env("REDIS_URL", "redis://x");
    assert!(run(command).contains("ENCRYPTION_KEYS"));
    let mut command = Command::new(env!("CARGO_BIN_EXE_lianxin"));
    command.arg("fake-wechat").env_remove("LIANXIN_MODE");
    assert!(run(command).contains("development"));
}
