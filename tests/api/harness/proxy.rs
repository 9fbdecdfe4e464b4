//! A door between the application and PostgreSQL or Redis that can be shut, and that can lose the answer to a COMMIT.

use std::{
    net::SocketAddr,
    path::PathBuf,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
};

use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{TcpListener, UnixStream},
    sync::watch,
};

pub struct Proxy {
    pub address: SocketAddr,
    open: watch::Sender<bool>,
    lose_commit: Arc<AtomicBool>,
}

impl Proxy {
    /// Forwards a loopback port to a unix socket. Bound here, so that the address is known at once.
    pub fn to(socket: PathBuf) -> Self {
        let listener = std::net::TcpListener::bind("127.0.0.1:0").expect("a free port");
        listener.set_nonblocking(true).expect("non-blocking");
        let address = listener.local_addr().expect("bound");
        let listener = TcpListener::from_std(listener).expect("a runtime");
        let (open, state) = watch::channel(true);
        let lose_commit = Arc::new(AtomicBool::new(false));
        let lose = lose_commit.clone();
        actix_web::rt::spawn(async move {
            while let Ok((client, _)) = listener.accept().await {
                let mut state = state.clone();
                if !*state.borrow() {
                    continue;
                }
                let Ok(server) = UnixStream::connect(&socket).await else { continue };
                let (lose, lost) = (lose.clone(), Arc::new(AtomicBool::new(false)));
                let mine = lost.clone();
                let (mut from_client, mut to_client) = client.into_split();
                let (mut from_server, mut to_server) = server.into_split();
                let up = async move {
                    let mut buffer = vec![0; 64 * 1024];
                    while let Ok(read @ 1..) = from_client.read(&mut buffer).await {
                        if buffer[..read].windows(6).any(|bytes| bytes == b"COMMIT")
                            && lose.swap(false, Ordering::SeqCst)
                        {
                            mine.store(true, Ordering::SeqCst);
                        }
                        if to_server.write_all(&buffer[..read]).await.is_err() {
                            return;
                        }
                    }
                };
                let down = async move {
                    let mut buffer = vec![0; 64 * 1024];
                    while let Ok(read @ 1..) = from_server.read(&mut buffer).await {
                        // PostgreSQL has answered the COMMIT; nobody hears of it.
                        if lost.load(Ordering::SeqCst) || to_client.write_all(&buffer[..read]).await.is_err() {
                            return;
                        }
                    }
                };
                actix_web::rt::spawn(async move {
                    tokio::select! {
                        _ = up => {}
                        _ = down => {}
                        _ = async { while *state.borrow() && state.changed().await.is_ok() {} } => {}
                    }
                });
            }
        });
        Self { address, open, lose_commit }
    }

    /// Cuts every connection and takes no new ones.
    pub fn shut(&self) {
        self.open.send_replace(false);
    }

    pub fn open(&self) {
        self.open.send_replace(true);
    }

    /// The next COMMIT reaches the server, its answer is lost.
    pub fn lose_next_commit(&self) {
        self.lose_commit.store(true, Ordering::SeqCst);
    }
}
