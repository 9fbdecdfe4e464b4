//! A child process: started under an account, in a process group of its own, ended with its parent.

use std::{
    fs::File,
    os::unix::process::CommandExt,
    path::{Path, PathBuf},
    process::{Command, Stdio},
    time::{Duration, Instant},
};

use anyhow::{Context, Result, bail, ensure};
use nix::{
    sys::signal::{Signal, kill},
    unistd::{Gid, Pid, Uid},
};

/// Whom a child runs as.
#[derive(Clone, Copy, Debug)]
pub struct Account {
    pub uid: Uid,
    pub gid: Gid,
}

pub struct Child {
    name: &'static str,
    process: std::process::Child,
    log: PathBuf,
    /// What asks it to end in order.
    end: Signal,
}

fn command(program: &Path, account: Option<&Account>) -> Command {
    let mut command = Command::new(program);
    // Not where we are: the account may not be able to enter that.
    command.current_dir("/").stdin(Stdio::null()).env("LC_ALL", "C");
    if let Some(Account { uid, gid }) = account {
        command.uid(uid.as_raw()).gid(gid.as_raw());
    }
    command
}

/// Runs a program to its end; its output is told only when it fails.
pub fn run(program: &Path, args: &[&str], account: Option<&Account>) -> Result<()> {
    let output = command(program, account).args(args).output();
    let output = output.with_context(|| format!("running {}", program.display()))?;
    let words = String::from_utf8_lossy(&output.stderr);
    ensure!(output.status.success(), "{} failed: {}", program.display(), words.trim());
    Ok(())
}

fn pid_file(data: &Path, name: &str) -> PathBuf {
    data.join(format!("{name}.pid"))
}

/// Waits for a child of a launcher that was killed: it was told to end when its parent died, and may still be writing.
pub fn await_predecessor(data: &Path, name: &str) -> Result<()> {
    let Ok(pid) = std::fs::read_to_string(pid_file(data, name)) else { return Ok(()) };
    // The number may belong to somebody else by now: ours has the folder among its arguments.
    let lives = || {
        let args = std::fs::read(format!("/proc/{}/cmdline", pid.trim())).unwrap_or_default();
        String::from_utf8_lossy(&args).contains(&*data.to_string_lossy())
    };
    let asked = Instant::now();
    while lives() {
        ensure!(
            asked.elapsed() < Duration::from_secs(60),
            "{name} (process {}) of a launcher that was killed does not end; end it by hand",
            pid.trim()
        );
        std::thread::sleep(Duration::from_millis(20));
    }
    Ok(())
}

impl Child {
    /// Starts it. A process group of its own keeps the terminal's Ctrl-C away: it ends when we have ended our work.
    pub fn spawn(
        name: &'static str,
        program: &Path,
        args: &[String],
        data: &Path,
        account: Option<&Account>,
        end: Signal,
    ) -> Result<Self> {
        let log = data.join(format!("{name}.log"));
        let file = File::create(&log).with_context(|| format!("creating {}", log.display()))?;
        let mut command = command(program, account);
        command.args(args).stdout(file.try_clone()?).stderr(file).process_group(0);
        #[cfg(target_os = "linux")]
        // SAFETY: prctl is async-signal-safe and touches nothing of the parent. It runs after the change of account,
        // which would clear it.
        unsafe {
            command.pre_exec(move || Ok(nix::sys::prctl::set_pdeathsig(end)?));
        }
        let process = command.spawn().with_context(|| format!("starting {}", program.display()))?;
        std::fs::write(pid_file(data, name), process.id().to_string())?;
        Ok(Self { name, process, log, end })
    }

    /// Fails with its last words if it has ended.
    pub fn check(&mut self) -> Result<()> {
        if let Some(status) = self.process.try_wait()? {
            let log = std::fs::read_to_string(&self.log).unwrap_or_default();
            let lines: Vec<_> = log.lines().rev().take(8).collect();
            let words: Vec<_> = lines.into_iter().rev().collect();
            bail!("{} ended at once ({status}):\n{}", self.name, words.join("\n"));
        }
        Ok(())
    }

    /// Asks it to end and waits; after half a minute it is killed.
    pub fn stop(&mut self) {
        if !matches!(self.process.try_wait(), Ok(None)) {
            return;
        }
        let _ = kill(Pid::from_raw(self.process.id() as i32), self.end);
        let asked = Instant::now();
        while asked.elapsed() < Duration::from_secs(30) {
            if !matches!(self.process.try_wait(), Ok(None)) {
                return;
            }
            std::thread::sleep(Duration::from_millis(10));
        }
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}
