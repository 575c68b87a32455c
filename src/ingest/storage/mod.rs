//! Blobs in Azure Blob storage.
//!
//! In: an address, `az://container/prefix`, and what the environment says of the account. Out: the [`Blob`]s behind it,
//! each of which opens as a stream of its bytes. Knows nothing of what is in them. Signatures and keys are in no message.
//!
//! The service is asked asynchronously, on one thread of the container's own; whoever reads waits for it.

mod address;
mod attempts;
mod reader;
mod said;

use std::fmt;
use std::io::{self, Read};
use std::sync::Arc;

use futures_util::TryStreamExt;
use object_store::azure::{AzureConfigKey, MicrosoftAzure, MicrosoftAzureBuilder};
use object_store::path::{self, Path};
use object_store::{BackoffConfig, ClientConfigKey, ObjectMeta, ObjectStore, ObjectStoreExt, RetryConfig};
use tokio::runtime::{Builder, Runtime};

use super::error::IngestError;
pub use address::address;
use attempts::persist;
use reader::BlobReader;

/// A blob as it was found.
#[derive(Clone, Debug)]
pub struct Blob {
    container: Arc<Container>,
    path: Path,
    size_bytes: u64,
    runtime: Arc<Runtime>,
}

impl Blob {
    /// How it is spelt in messages and results.
    #[must_use]
    pub fn name(&self) -> String {
        format!("{}/{}", self.container.name, self.path)
    }

    /// How many bytes it had when it was found.
    #[must_use]
    pub fn size_bytes(&self) -> u64 {
        self.size_bytes
    }

    /// Its bytes from the first to the last, as they are when the first of them is read.
    ///
    /// A connection that breaks is taken up again where it broke. A blob that changes in between, be it that it grows, can
    /// be had in one piece no more: reading ends with an error that says so. So does one that does not go on after several
    /// attempts.
    #[must_use]
    pub fn open(&self) -> Box<dyn Read + Send> {
        Box::new(BlobReader::new(self.clone()))
    }
}

/// A container, and the way to it.
///
/// INVARIANT: it does not hold the runtime. What runs there holds the container, and a runtime cannot end inside itself.
struct Container {
    /// Its address as it was given.
    name: String,
    store: MicrosoftAzure,
    /// Whether nothing in the environment says who asks.
    anonymous: bool,
}

impl fmt::Debug for Container {
    // What the store would say of itself is nobody's business.
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.debug_struct("Container").field("name", &self.name).finish_non_exhaustive()
    }
}

/// The blobs behind an address, and whether it is that of a folder: the one of just that name, or else all below it,
/// segment by segment in order of name as the files of a folder on disk. Blobs with a hidden segment below it are left
/// out.
///
/// # Errors
///
/// Fails if the environment names no account, the account does not answer or refuses, or there is no such container or
/// blob.
pub fn find(address: &str) -> Result<(Vec<Blob>, bool), IngestError> {
    let place = Place::of(address)?;
    if let (Some(path), false) = (&place.path, place.is_folder)
        && let Some(blob) = place.blob(path)?
    {
        return Ok((vec![blob], false));
    }
    let prefix = place.path.clone();
    let container = &place.container;
    let listed = place.asked(async || container.store.list(prefix.as_ref()).try_collect::<Vec<_>>().await)?;
    let mut found: Vec<ObjectMeta> =
        listed.into_iter().filter(|blob| !is_hidden(&blob.location, prefix.as_ref())).collect();
    if found.is_empty() {
        return Err(place.absent("no such blob, and none below it"));
    }
    found.sort_by(|one, other| one.location.parts().cmp(other.location.parts()));
    Ok((found.into_iter().map(|meta| place.found(meta)).collect(), true))
}

/// The blob of just this name.
///
/// # Errors
///
/// Fails as [`find`] does, and where there are only blobs below it.
pub fn one(address: &str) -> Result<Blob, IngestError> {
    let place = Place::of(address)?;
    let blob = place.path.as_ref().map(|path| place.blob(path)).transpose()?;
    blob.flatten().ok_or_else(|| place.absent("no such blob"))
}

/// Whether a segment below the prefix begins with a dot.
fn is_hidden(path: &Path, prefix: Option<&Path>) -> bool {
    let above = prefix.map_or(0, Path::parts_count);
    path.parts().skip(above).any(|part| part.as_ref().starts_with('.'))
}

/// Where an address leads.
struct Place {
    /// The address as it may be shown.
    shown: String,
    container: Arc<Container>,
    runtime: Arc<Runtime>,
    /// `None` for the whole container.
    path: Option<Path>,
    /// Whether the address says by a slash at its end that it is a folder's.
    is_folder: bool,
}

impl Place {
    fn of(address: &str) -> Result<Self, IngestError> {
        let shown = address::without_query(address).to_owned();
        let failed = |message: &str| {
            IngestError::io(&shown, io::Error::new(io::ErrorKind::InvalidInput, message.to_owned()))
        };
        if shown != address {
            return Err(failed(
                "expected an address without `?`: a shared access signature is taken from AZURE_STORAGE_SAS_TOKEN",
            ));
        }
        let environment = MicrosoftAzureBuilder::from_env();
        let named = environment.get_config_value(&AzureConfigKey::AccountName);
        // The environment's key or signature is of the account that it names, and is sent to no other.
        if let (Some(named), Some(account)) = (named, account(&shown))
            && !named.eq_ignore_ascii_case(account)
        {
            return Err(failed("AZURE_STORAGE_ACCOUNT_NAME names another account: expected the same one"));
        }
        let addressed = Addressed::of(&shown, environment);
        let Some(Addressed { name, path, builder }) = addressed else {
            return Err(failed(
                "expected `az://CONTAINER/PREFIX` or `https://ACCOUNT.blob.core.windows.net/CONTAINER/PREFIX`",
            ));
        };
        let path = path.map_err(|_| failed("no blob's name has an empty segment, or `.` or `..` as one"))?;
        let container = Arc::new(Container::new(name, builder).map_err(|message| failed(&message))?);
        let runtime =
            Builder::new_multi_thread().worker_threads(1).thread_name("storage").enable_all().build();
        let runtime = Arc::new(runtime.map_err(|error| IngestError::io(&shown, error))?);
        let path = Some(path).filter(|path| !path.as_ref().is_empty());
        let is_folder = shown.ends_with('/');
        Ok(Self { shown, container, runtime, path, is_folder })
    }

    /// The blob of this name, if there is one.
    fn blob(&self, path: &Path) -> Result<Option<Blob>, IngestError> {
        let container = &self.container;
        let head = async || match container.store.head(path).await {
            Err(object_store::Error::NotFound { .. }) => Ok(None),
            head => head.map(Some),
        };
        Ok(self.asked(head)?.map(|meta| self.found(meta)))
    }

    fn found(&self, meta: ObjectMeta) -> Blob {
        Blob {
            container: Arc::clone(&self.container),
            path: meta.location,
            size_bytes: meta.size,
            runtime: Arc::clone(&self.runtime),
        }
    }

    /// What the service answers.
    fn asked<T>(&self, ask: impl AsyncFn() -> object_store::Result<T>) -> Result<T, IngestError> {
        let answer = self.runtime.block_on(persist(ask));
        answer.map_err(|failed| IngestError::io(&self.shown, failed.explained(&self.container)))
    }

    fn absent(&self, what: &str) -> IngestError {
        IngestError::io(&self.shown, io::Error::new(io::ErrorKind::NotFound, what.to_owned()))
    }
}

/// An address taken apart.
struct Addressed {
    /// That of the container.
    name: String,
    path: Result<Path, path::Error>,
    builder: MicrosoftAzureBuilder,
}

impl Addressed {
    fn of(address: &str, builder: MicrosoftAzureBuilder) -> Option<Self> {
        let cut = |text: &str| {
            let (start, rest) = text.split_once('/').unwrap_or((text, ""));
            (!start.is_empty()).then(|| (start.to_owned(), rest.to_owned()))
        };
        if let Some(rest) = address.strip_prefix("az://") {
            let (container, path) = cut(rest)?;
            let name = format!("az://{container}");
            return Some(Self {
                name,
                path: Path::parse(path),
                builder: builder.with_container_name(container),
            });
        }
        let (host, rest) = cut(address.strip_prefix("https://")?)?;
        let (container, path) = cut(&rest)?;
        let account = account(address)?;
        // The address goes before what the environment says of addresses.
        let builder = builder
            .with_use_emulator(false)
            .with_endpoint(format!("https://{host}"))
            .with_account(account)
            .with_container_name(&container);
        let name = format!("https://{host}/{container}");
        Some(Self { name, path: Path::from_url_path(path), builder })
    }
}

/// The account that `https://ACCOUNT.blob.core.windows.net/...` names.
fn account(address: &str) -> Option<&str> {
    let host = address.strip_prefix("https://")?.split('/').next()?;
    let account = host.strip_suffix(".blob.core.windows.net")?;
    let is_name = !account.is_empty() && account.bytes().all(|byte| byte.is_ascii_alphanumeric());
    is_name.then_some(account)
}

impl Container {
    fn new(name: String, builder: MicrosoftAzureBuilder) -> Result<Self, String> {
        let says = |key| builder.get_config_value(&key);
        let yes = ["1", "true", "on", "yes", "y"];
        let is_set = |key| says(key).is_some_and(|value| yes.contains(&value.to_ascii_lowercase().as_str()));
        let emulated = is_set(AzureConfigKey::UseEmulator);
        if says(AzureConfigKey::AccountName).is_none() && !emulated {
            return Err(
                "no storage account is named: expected its name in AZURE_STORAGE_ACCOUNT_NAME".to_owned()
            );
        }
        let by_http = says(AzureConfigKey::Endpoint).is_some_and(|endpoint| endpoint.starts_with("http://"));
        if by_http && !emulated && !is_set(AzureConfigKey::Client(ClientConfigKey::AllowHttp)) {
            return Err(
                "AZURE_STORAGE_ENDPOINT: expected `https://`, or AZURE_ALLOW_HTTP=true beside it".to_owned()
            );
        }
        let known = [
            AzureConfigKey::AccessKey,
            AzureConfigKey::SasKey,
            AzureConfigKey::Token,
            AzureConfigKey::ClientId,
            AzureConfigKey::CredentialType,
        ];
        let anonymous = !emulated
            && known.into_iter().all(|key| says(key).is_none())
            && !is_set(AzureConfigKey::UseAzureCli)
            && !is_set(AzureConfigKey::SkipSignature);
        // Attempts are counted here: there, one that got bytes across counts like one that did not.
        let once =
            RetryConfig { max_retries: 0, backoff: BackoffConfig::default(), ..RetryConfig::default() };
        let store = builder.with_retry(once).build().map_err(|error| said::refused(&error))?;
        Ok(Self { name, store, anonymous })
    }
}
