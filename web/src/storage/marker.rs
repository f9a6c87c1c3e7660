//! Markers that tell a lost log from a new user.
//!
//! Both copies can vanish together, and then nothing in them says that there ever was a log. So that there was one is
//! remembered in two places that do not share a fate with the log's bytes: an entry in Cache Storage, which keeps an
//! index and files of its own beside both IndexedDB and the private file system; and a small file of its own in the
//! private file system, flushed, which survives the loss of IndexedDB and of the log's file. IndexedDB itself is no
//! place for a marker: Chromium empties it as a whole. Where site data is cleared by hand, all of it goes, and the
//! user is rightly a new one.
//!
//! A marker is written *after* the commit it tells of is in both copies and *before* that commit is acknowledged, so
//! it never remembers a log that was not saved. It says "at least so many bytes": it is renewed each time the log has
//! doubled. Where the browser has no room left, the entry in Cache Storage may lag behind (the file's place is reserved
//! when it is made); it is tried again with the next commit, and never keeps a reset from happening. Markers are never removed, only overtaken by one of a higher generation, because a removal that Cache
//! Storage forgets would bring back an old one.

use js_sys::Uint8Array;
use wasm_bindgen::prelude::*;
use wasm_bindgen_futures::JsFuture;
use web_sys::{Cache, Response};

use super::error::StoreError;
use super::format::{Bytes, checksum, put_u32, put_u64};
use super::js::{self, failure};
use super::opfs::OpfsFile;
use super::recovery::{Marker, MarkerKind};

/// The marker's file beside the log's.
pub(super) const MARKER_FILE: &str = "marker";

const CACHE: &str = "walletlab-markers";
const MAGIC: u32 = u32::from_le_bytes(*b"WLMk");
const VERSION: u32 = 1;
const MARKER_BYTES: usize = 56;

/// The markers of one log, in both places.
pub(super) struct Markers {
    file: OpfsFile,
    name: String,
    newest: Option<Marker>,
    cache_lags: bool,
}

impl Markers {
    /// Reads both places and brings the older up to date.
    pub(super) async fn open(name: &str) -> Result<Markers, StoreError> {
        let file = OpfsFile::open(name, MARKER_FILE).await?;
        if file.bytes()? < MARKER_BYTES as u64 {
            file.write(0, &[0; MARKER_BYTES])?;
        }
        let in_file = read_file(&file)?;
        let in_cache = read_cache(name).await?;
        let newest = newer(in_file, in_cache);
        let mut markers = Markers { file, name: name.to_owned(), newest, cache_lags: false };
        if let Some(newest) = newest
            && in_file != in_cache
        {
            markers.put(&newest).await?;
        }
        Ok(markers)
    }

    /// The newest marker of both places.
    pub(super) fn newest(&self) -> Option<&Marker> {
        self.newest.as_ref()
    }

    /// Whether both places say that there is the log `epoch` with at least half of `log_bytes`.
    pub(super) fn tell_of(&self, epoch: [u8; 16], log_bytes: u64) -> bool {
        let of_this = |marker: &Marker| marker.kind == MarkerKind::Live && marker.epoch == epoch;
        !self.cache_lags
            && self.newest.as_ref().is_some_and(|marker| of_this(marker) && log_bytes / 2 <= marker.log_bytes)
    }

    /// Overtakes both markers.
    pub(super) async fn write(
        &mut self,
        kind: MarkerKind,
        epoch: [u8; 16],
        commit: u64,
        log_bytes: u64,
    ) -> Result<(), StoreError> {
        let generation = self.newest.map_or(1, |marker| marker.generation + 1);
        let marker = Marker { generation, kind, epoch, commit, log_bytes };
        self.put(&marker).await?;
        self.newest = Some(marker);
        Ok(())
    }

    async fn put(&mut self, marker: &Marker) -> Result<(), StoreError> {
        let bytes = encode(marker);
        self.file.write(0, &bytes)?;
        self.file.flush()?;
        self.cache_lags = match write_cache(&self.name, bytes).await {
            Ok(()) => false,
            Err(StoreError::Quota { .. }) => true,
            Err(other) => return Err(other),
        };
        Ok(())
    }
}

/// Where a log's marker stands in Cache Storage. The address is never asked over the network.
pub(super) fn address(name: &str) -> String {
    format!("https://marker.walletlab.invalid/{name}")
}

fn newer(one: Option<Marker>, other: Option<Marker>) -> Option<Marker> {
    match (one, other) {
        (Some(one), Some(other)) => Some(if other.generation > one.generation { other } else { one }),
        (one, other) => one.or(other),
    }
}

fn read_file(file: &OpfsFile) -> Result<Option<Marker>, StoreError> {
    let mut bytes = [0; MARKER_BYTES];
    file.read(0, &mut bytes)?;
    Ok(decode(&bytes))
}

async fn read_cache(name: &str) -> Result<Option<Marker>, StoreError> {
    let cache = open_cache().await?;
    let found = JsFuture::from(cache.match_with_str(&address(name))).await.map_err(caching)?;
    let Ok(response) = found.dyn_into::<Response>() else { return Ok(None) };
    let body = response.array_buffer().map_err(caching)?;
    let body = JsFuture::from(body).await.map_err(caching)?;
    Ok(decode(&Uint8Array::new(&body).to_vec()))
}

async fn write_cache(name: &str, mut bytes: Vec<u8>) -> Result<(), StoreError> {
    let cache = open_cache().await?;
    let response = Response::new_with_opt_u8_array(Some(&mut bytes)).map_err(caching)?;
    JsFuture::from(cache.put_with_str(&address(name), &response)).await.map_err(caching)?;
    Ok(())
}

async fn open_cache() -> Result<Cache, StoreError> {
    let caches = js::scope()
        .caches()
        .map_err(caching)?
        .ok_or_else(|| StoreError::Unavailable { what: "this page has no Cache Storage".to_owned() })?;
    JsFuture::from(caches.open(CACHE)).await.map(JsValue::unchecked_into).map_err(caching)
}

fn encode(marker: &Marker) -> Vec<u8> {
    let mut out = Vec::with_capacity(MARKER_BYTES);
    put_u32(&mut out, MAGIC);
    put_u32(&mut out, VERSION);
    put_u64(&mut out, marker.generation);
    put_u32(
        &mut out,
        match marker.kind {
            MarkerKind::Live => 1,
            MarkerKind::Resetting => 2,
            MarkerKind::Reset => 3,
        },
    );
    out.extend_from_slice(&marker.epoch);
    put_u64(&mut out, marker.commit);
    put_u64(&mut out, marker.log_bytes);
    let sum = checksum(&out);
    put_u32(&mut out, sum);
    out
}

/// `None`: a marker that was torn while it was written; the other place has one.
fn decode(bytes: &[u8]) -> Option<Marker> {
    let (body, sum) = bytes.get(..MARKER_BYTES)?.split_last_chunk::<4>()?;
    if checksum(body) != u32::from_le_bytes(*sum) {
        return None;
    }
    let mut rest = Bytes(body);
    if rest.u32()? != MAGIC || rest.u32()? != VERSION {
        return None;
    }
    let generation = rest.u64()?;
    let kind = match rest.u32()? {
        1 => MarkerKind::Live,
        2 => MarkerKind::Resetting,
        3 => MarkerKind::Reset,
        _ => return None,
    };
    let epoch = rest.take(16)?.try_into().ok()?;
    Some(Marker { generation, kind, epoch, commit: rest.u64()?, log_bytes: rest.u64()? })
}

#[expect(clippy::needless_pass_by_value, reason = "it stands in map_err, which hands errors over by value")]
fn caching(error: JsValue) -> StoreError {
    failure("keeping a marker in Cache Storage", &error)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_marker_survives_encoding_and_a_torn_one_is_none() {
        for kind in [MarkerKind::Live, MarkerKind::Resetting, MarkerKind::Reset] {
            let marker = Marker { generation: 3, kind, epoch: [5; 16], commit: 8, log_bytes: 1 << 40 };
            let bytes = encode(&marker);
            assert_eq!(bytes.len(), MARKER_BYTES);
            assert_eq!(decode(&bytes), Some(marker));
            for at in 0..bytes.len() * 8 {
                let mut broken = bytes.clone();
                broken[at / 8] ^= 1 << (at % 8);
                assert_eq!(decode(&broken), None, "bit {at}");
            }
            assert_eq!(decode(&bytes[..MARKER_BYTES - 1]), None);
        }
    }

    #[test]
    fn the_higher_generation_counts() {
        let of = |generation| {
            Some(Marker { generation, kind: MarkerKind::Live, epoch: [0; 16], commit: 1, log_bytes: 1 })
        };
        assert_eq!(newer(of(1), of(2)), of(2));
        assert_eq!(newer(of(2), of(1)), of(2));
        assert_eq!(newer(None, of(1)), of(1));
        assert_eq!(newer(of(1), None), of(1));
        assert_eq!(newer(None, None), None);
    }
}
