//! What answering costs at least: an actix-web handler that answers a constant, in a process of its own.

use std::{net::TcpListener, thread};

use actix_web::{
    App, HttpResponse, HttpServer,
    rt::System,
    web::{self, Bytes},
};
use anyhow::Result;

/// The first argument of that process; the second is the length of the answer.
pub const ARGUMENT: &str = "--constant";

/// Serves until it is told to end, on as many workers as the server under test has.
pub fn serve(length: usize) -> Result<()> {
    let body = Bytes::from(format!("\"{}\"", "x".repeat(length.saturating_sub(2))));
    let listener = TcpListener::bind("127.0.0.1:0")?;
    println!("a constant serves http://{}", listener.local_addr()?);
    let answer = move || {
        let body = body.clone();
        let constant = move || {
            let body = body.clone();
            async move { HttpResponse::Ok().content_type("application/json").body(body) }
        };
        App::new().route("/v1/matters", web::get().to(constant))
    };
    let workers = thread::available_parallelism().map_or(1, usize::from);
    System::new().block_on(async { Ok(HttpServer::new(answer).workers(workers).listen(listener)?.run().await?) })
}
