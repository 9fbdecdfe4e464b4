//! The file store: a local folder, or a bucket of an S3-compatible service.

use std::{fs, ops::Range, os::unix::fs::DirBuilderExt, path::PathBuf, sync::Arc, time::Duration};

use anyhow::Context;
use bytes::Bytes;
use futures_util::{Stream, StreamExt, TryStreamExt};
use object_store::{
    GetOptions, GetRange, ObjectStore, ObjectStoreExt, PutPayload, RetryConfig, aws::AmazonS3Builder,
    local::LocalFileSystem, path::Path,
};
use secrecy::ExposeSecret;

use crate::{
    config::Config,
    error::{Error, Result},
};

/// How long the library tries again by itself; a client waits meanwhile.
const PATIENCE: Duration = Duration::from_secs(15);

/// Objects by name. Names are random and never used twice, so nothing is overwritten.
#[derive(Debug)]
pub struct Files {
    store: Arc<dyn ObjectStore>,
    /// The folder, when it is one.
    local: Option<PathBuf>,
}

fn away(error: &object_store::Error) -> Error {
    match error {
        // Its row says that it is there.
        object_store::Error::NotFound { .. } => Error::internal(error),
        _ => Error::unavailable(error),
    }
}

impl Files {
    /// As configured. A folder is made, for this account alone.
    pub fn new(config: &Config) -> anyhow::Result<Self> {
        if let Some(bucket) = &config.s3_bucket {
            return Ok(Self { store: Arc::new(bucket_of(config, bucket)?), local: None });
        }
        let folder = config.lianxin_files.clone().unwrap_or_else(|| config.lianxin_data.join("files"));
        // One that is there already has the permissions that somebody gave it.
        let made = fs::DirBuilder::new().recursive(true).mode(0o700).create(&folder);
        made.with_context(|| format!("LIANXIN_FILES: creating {}", folder.display()))?;
        let folder = folder.canonicalize().context("LIANXIN_FILES")?;
        // On disk before its row says so.
        let store = LocalFileSystem::new_with_prefix(&folder).context("LIANXIN_FILES")?.with_fsync(true);
        Ok(Self { store: Arc::new(store), local: Some(folder) })
    }

    pub async fn put(&self, name: &str, bytes: Bytes) -> Result<()> {
        let put = self.store.put(&Path::from(name), PutPayload::from_bytes(bytes)).await;
        put.map(drop).map_err(|error| away(&error))
    }

    pub async fn get(&self, name: &str) -> Result<Bytes> {
        let got = self.store.get(&Path::from(name)).await.map_err(|error| away(&error))?;
        got.bytes().await.map_err(|error| away(&error))
    }

    /// A part of an object, as it comes.
    pub async fn read(&self, name: &str, range: Range<u64>) -> Result<impl Stream<Item = Result<Bytes>> + use<>> {
        let options = GetOptions { range: Some(GetRange::Bounded(range)), ..GetOptions::default() };
        let got = self.store.get_opts(&Path::from(name), options).await.map_err(|error| away(&error))?;
        Ok(got.into_stream().map_err(|error| away(&error)))
    }

    /// Removes everything below a folder, also what a crash left half written there. Nothing there is right as well.
    pub async fn remove(&self, folder: &str) -> Result<()> {
        if let Some(root) = &self.local {
            let path = root.join(folder);
            let removed = tokio::task::spawn_blocking(move || fs::remove_dir_all(path)).await;
            return match removed.map_err(Error::internal)? {
                Err(error) if error.kind() != std::io::ErrorKind::NotFound => Err(Error::unavailable(error)),
                _ => Ok(()),
            };
        }
        let names = self.store.list(Some(&Path::from(folder))).map_ok(|object| object.location).boxed();
        let gone = self.store.delete_stream(names).try_for_each(|_| async { Ok(()) }).await;
        match gone {
            Err(error) if !matches!(error, object_store::Error::NotFound { .. }) => Err(away(&error)),
            _ => Ok(()),
        }
    }
}

fn bucket_of(config: &Config, bucket: &str) -> anyhow::Result<impl ObjectStore> {
    let key = config.s3_access_key.as_ref().context("S3_ACCESS_KEY")?;
    let secret = config.s3_secret_key.as_ref().context("S3_SECRET_KEY")?;
    let retry = RetryConfig { max_retries: 3, retry_timeout: PATIENCE, ..RetryConfig::default() };
    let mut builder = AmazonS3Builder::new()
        .with_bucket_name(bucket)
        .with_region(&config.s3_region)
        .with_access_key_id(key.expose_secret())
        .with_secret_access_key(secret.expose_secret())
        .with_retry(retry)
        // Not every compatible store has it, Alibaba's for one.
        .with_disable_bulk_delete(true);
    if let Some(endpoint) = &config.s3_endpoint {
        let host = endpoint.split_once("://").map_or(endpoint.as_str(), |(_, host)| host);
        let hosted = host.strip_prefix(bucket).is_some_and(|rest| rest.starts_with('.'));
        builder = builder.with_endpoint(endpoint).with_virtual_hosted_style_request(hosted);
        builder = builder.with_allow_http(config.is_development());
    }
    builder.build().context("S3_BUCKET")
}
