//! The private PostgreSQL and Redis of development and tests: children of this process, on unix sockets, never on a port.
//!
//! Their data lies in a git-ignored folder. Started as root, they drop to an unprivileged account (PostgreSQL insists); a
//! folder that this account cannot enter is replaced by one under `/var/lib`. Sockets lie in a folder of their own under
//! `/tmp`, because their paths are limited to about 107 bytes.

mod child;
mod find;

use std::{
    fs::{self, File},
    io::{Read, Seek, Write},
    os::unix::fs::{MetadataExt, PermissionsExt, symlink},
    os::unix::net::UnixStream,
    path::{Path, PathBuf},
    time::{Duration, Instant},
};

use anyhow::{Context, Result, bail, ensure};
use diesel::{Connection, PgConnection, RunQueryDsl, connection::SimpleConnection};
use nix::{
    sys::signal::Signal,
    unistd::{Uid, User, chown},
};

use child::{Account, Child, await_predecessor, run};
use find::{Found, find};

use crate::crypto;

/// Only part of the socket's name: nothing listens on this port.
const PORT: u16 = 54_329;

/// What the children are for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Purpose {
    /// `make run`: losing nothing.
    Development,
    /// Tests: fast, and lost with the machine.
    Tests,
}

/// Running children and where to find them. Dropping stops them.
pub struct Services {
    postgres: Child,
    redis: Child,
    /// Superuser of the private cluster: owner of the database.
    pub owner_url: String,
    /// The service role.
    pub service_url: String,
    pub redis_url: String,
    /// The socket folder, for `psql -h` and `pgbench -h`.
    pub sockets: PathBuf,
    _lock: File,
}

/// Memory in which PostgreSQL keeps pages, in MiB: a quarter of the machine's (PostgreSQL manual, 20.4.1), 128 to 1,024.
/// Only what is used of it is taken.
fn buffers_mib() -> u64 {
    let meminfo = fs::read_to_string("/proc/meminfo").unwrap_or_default();
    let total =
        meminfo.lines().find_map(|line| line.strip_prefix("MemTotal:")?.trim().strip_suffix(" kB")?.parse().ok());
    total.map_or(256, |kib: u64| (kib / 1024 / 4).clamp(128, 1024))
}

/// Starts both, or says why not. Call it on the main thread: the children die with the thread that started them.
pub fn start(folder: &Path, purpose: Purpose) -> Result<Services> {
    let Found { postgres, redis } = find()?;
    fs::create_dir_all(folder).with_context(|| format!("creating {}", folder.display()))?;
    let folder = folder.canonicalize()?;
    let lock = lock(&folder)?;
    let account = account()?;
    let tag: String = hex::encode(&crypto::digest(folder.as_os_str().as_encoded_bytes())[..4]);
    let data = data_folder(&folder, &tag, account.as_ref())?;
    let sockets = PathBuf::from(format!("/tmp/lianxin-{}-{tag}", Uid::effective()));
    own(&sockets, account.as_ref())?;

    let cluster = data.join("postgres");
    initialise(&postgres, &cluster, account.as_ref())?;
    let (mut args, mut redis_args) =
        (vec!["-c".into(), "listen_addresses=".to_owned()], vec!["--port".into(), "0".to_owned()]);
    let buffers = format!("shared_buffers={}MB", buffers_mib());
    args.extend(["-c", "max_connections=200", "-c", &buffers, "-c", "logging_collector=off"].map(Into::into));
    let socket = sockets.join("redis.sock");
    redis_args.extend(
        ["--unixsocket", &socket.to_string_lossy(), "--unixsocketperm", "700", "--daemonize", "no"].map(Into::into),
    );
    match purpose {
        Purpose::Development => redis_args.extend(["--appendonly", "yes"].map(Into::into)),
        Purpose::Tests => {
            args.extend(
                ["-c", "fsync=off", "-c", "synchronous_commit=off", "-c", "full_page_writes=off"].map(Into::into),
            );
            redis_args.extend(["--save", "", "--appendonly", "no"].map(Into::into));
        }
    }
    args.extend([
        "-D".into(),
        cluster.to_string_lossy().into_owned(),
        "-k".into(),
        sockets.to_string_lossy().into_owned(),
    ]);
    args.extend(["-p".into(), PORT.to_string()]);
    let store = data.join("redis");
    own(&store, account.as_ref())?;
    redis_args.extend(["--dir".into(), store.to_string_lossy().into_owned()]);

    for name in ["postgres", "redis"] {
        await_predecessor(&data, name)?;
    }
    let mut postgres =
        Child::spawn("postgres", &postgres.join("postgres"), &args, &data, account.as_ref(), Signal::SIGINT)?;
    let mut redis = Child::spawn("redis", &redis, &redis_args, &data, account.as_ref(), Signal::SIGTERM)?;
    let url =
        |user: &str, database: &str| format!("postgres://{user}@/{database}?host={}&port={PORT}", sockets.display());
    prepare(&mut postgres, &url("lianxin_owner", "postgres"))?;
    let asked = Instant::now();
    while UnixStream::connect(&socket).is_err() {
        redis.check()?;
        ensure!(asked.elapsed() < Duration::from_secs(60), "Redis does not answer");
        std::thread::sleep(Duration::from_millis(10));
    }
    Ok(Services {
        postgres,
        redis,
        owner_url: url("lianxin_owner", "lianxin"),
        service_url: url("lianxin_app", "lianxin"),
        redis_url: format!("redis+unix://{}", socket.display()),
        sockets,
        _lock: lock,
    })
}

impl Services {
    /// Stops both in order and waits until nothing is left to write.
    pub fn stop(&mut self) {
        self.postgres.stop();
        self.redis.stop();
    }
}

impl Drop for Services {
    fn drop(&mut self) {
        self.stop();
    }
}

/// One launcher per folder; the lock dies with its process, however it dies.
fn lock(folder: &Path) -> Result<File> {
    let path = folder.join("lock");
    let mut file = File::options().create(true).read(true).write(true).truncate(false).open(&path)?;
    if file.try_lock().is_err() {
        let mut holder = String::new();
        let _ = file.read_to_string(&mut holder);
        bail!(
            "another lianxin (process {}) already uses {}; stop it first, or choose another folder with LIANXIN_DATA",
            holder.trim(),
            folder.display()
        );
    }
    file.set_len(0)?;
    file.rewind()?;
    writeln!(file, "{}", std::process::id())?;
    Ok(file)
}

/// Whom the children run as: for root somebody without privileges, for everybody else themselves.
fn account() -> Result<Option<Account>> {
    if !Uid::effective().is_root() {
        return Ok(None);
    }
    for name in ["postgres", "nobody"] {
        if let Some(user) = User::from_name(name)? {
            return Ok(Some(Account { uid: user.uid, gid: user.gid }));
        }
    }
    bail!("PostgreSQL does not run as root, and there is no account postgres or nobody to drop to")
}

/// Makes a folder that only the account can enter. Somebody else's folder or link under the same name is refused.
fn own(folder: &Path, account: Option<&Account>) -> Result<()> {
    fs::create_dir_all(folder).with_context(|| format!("creating {}", folder.display()))?;
    let meta = fs::symlink_metadata(folder)?;
    let mine = [Uid::effective().as_raw(), account.map_or(0, |account| account.uid.as_raw())].contains(&meta.uid());
    ensure!(meta.is_dir() && mine, "{} belongs to somebody else; remove it", folder.display());
    fs::set_permissions(folder, fs::Permissions::from_mode(0o700))?;
    if let Some(Account { uid, gid }) = account {
        chown(folder, Some(*uid), Some(*gid))?;
    }
    Ok(())
}

/// `data` in the folder; for an account that cannot get there, a folder under `/var/lib` with a link to it.
fn data_folder(folder: &Path, tag: &str, account: Option<&Account>) -> Result<PathBuf> {
    let inside = folder.join("data");
    let open = |path: &Path| fs::metadata(path).is_ok_and(|meta| meta.permissions().mode() & 0o001 != 0);
    if account.is_none() || folder.ancestors().all(open) {
        own(&inside, account)?;
        return Ok(inside);
    }
    let outside = PathBuf::from(format!("/var/lib/lianxin-{tag}"));
    own(&outside, account)?;
    if fs::read_link(&inside).ok().as_ref() != Some(&outside) {
        let _ = fs::remove_file(&inside);
        symlink(&outside, &inside).with_context(|| format!("linking {}", inside.display()))?;
    }
    Ok(outside)
}

/// Makes the cluster under another name and then renames it: half a cluster is never taken for a whole one.
fn initialise(binaries: &Path, cluster: &Path, account: Option<&Account>) -> Result<()> {
    if cluster.join("PG_VERSION").exists() {
        let made = fs::read_to_string(cluster.join("PG_VERSION"))?;
        let have = find::postgres_version(binaries).unwrap_or_default();
        ensure!(
            made.trim() == have.to_string(),
            "{} was made by PostgreSQL {}, but {have} was found; remove the folder to start anew (its data is lost)",
            cluster.display(),
            made.trim()
        );
        return Ok(());
    }
    let fresh = cluster.with_extension("new");
    let mut last = None;
    // The C.UTF-8 locale sorts by code point and knows Chinese letters; systems without it have C.
    for locale in ["C.UTF-8", "C.utf8", "C"] {
        let _ = fs::remove_dir_all(&fresh);
        own(&fresh, account)?;
        let path = fresh.to_string_lossy().into_owned();
        let locale = format!("--locale={locale}");
        let args = ["-D", &path, "-U", "lianxin_owner", "-A", "trust", "-E", "UTF8", &locale];
        match run(&binaries.join("initdb"), &args, account) {
            Ok(()) => return fs::rename(&fresh, cluster).context("putting the new cluster in place"),
            Err(error) => last = Some(error),
        }
    }
    Err(last.unwrap_or_else(|| anyhow::anyhow!("initdb did not run")))
}

crate::statement! {
    struct Known { name: &'static str as diesel::sql_types::Text }
    "SELECT 1 FROM pg_database WHERE datname = {name}"
}

/// Waits until PostgreSQL answers, and makes the roles and the database if they are missing.
fn prepare(postgres: &mut Child, url: &str) -> Result<()> {
    let started = Instant::now();
    let mut conn = loop {
        match PgConnection::establish(url) {
            Ok(conn) => break conn,
            Err(error) => {
                postgres.check()?;
                ensure!(started.elapsed() < Duration::from_secs(60), "PostgreSQL does not answer: {error}");
                std::thread::sleep(Duration::from_millis(20));
            }
        }
    };
    conn.batch_execute(
        "DO $$ BEGIN \
           IF NOT EXISTS (SELECT FROM pg_roles WHERE rolname = 'lianxin_service') THEN CREATE ROLE lianxin_service NOLOGIN; END IF; \
           IF NOT EXISTS (SELECT FROM pg_roles WHERE rolname = 'lianxin_app') THEN CREATE ROLE lianxin_app LOGIN IN ROLE lianxin_service; END IF; \
         END $$;",
    )?;
    let known = Known { name: "lianxin" }.execute(&mut conn)?;
    if known == 0 {
        conn.batch_execute("CREATE DATABASE lianxin TEMPLATE template0 ENCODING 'UTF8'")?;
    }
    Ok(())
}
