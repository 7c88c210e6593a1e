//! Where a worker's components come from: their bytes by the connection, once each, or their code from
//! the process that started it.

use std::collections::HashMap;
use std::fmt;
use std::fs::File;
use std::future::Future;
use std::pin::Pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use bytes::Bytes;
use tokio::sync::watch;

use super::kept::{Kept, KeptError};
use crate::digest::Digest;
use crate::executor::{BoxFuture, Supply};
use crate::runtime::{CodeSource, Source};
use crate::wire::{FromWorker, Outbox};

/// Bytes of a component that came packed, at most.
const UNPACKED: u64 = 1 << 30;

/// What is asked for: a component, or its code under some settings.
type Wanted = (Digest, Option<Arc<str>>);

/// What came, or why nothing does.
type Came = Result<Arrived, Arc<str>>;

#[derive(Clone)]
enum Arrived {
    Wasm(Bytes),
    Code(Arc<File>),
}

/// Asks the client, once for each.
pub(super) struct Asked {
    outbox: Arc<Outbox>,
    /// Whether code is handed over, and not components.
    code: bool,
    known: Mutex<HashMap<Wanted, watch::Sender<Option<Came>>>>,
}

impl fmt::Debug for Asked {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Asked").field("code", &self.code).finish_non_exhaustive()
    }
}

impl Asked {
    pub(super) fn new(outbox: Arc<Outbox>, code: bool) -> Self {
        Self { outbox, code, known: Mutex::default() }
    }

    fn known(&self) -> MutexGuard<'_, HashMap<Wanted, watch::Sender<Option<Came>>>> {
        // Nothing in there panics halfway.
        self.known.lock().unwrap_or_else(PoisonError::into_inner)
    }

    async fn get(&self, component: Digest, settings: Option<Arc<str>>) -> Came {
        let wanted = (component, settings.clone());
        let (mut came, first) = {
            let mut known = self.known();
            match known.get(&wanted) {
                Some(sender) => (sender.subscribe(), false),
                None => {
                    let (sender, receiver) = watch::channel(None);
                    known.insert(wanted.clone(), sender);
                    (receiver, true)
                }
            }
        };
        if first {
            let message = match settings {
                None => FromWorker::NeedComponent { component },
                Some(settings) => FromWorker::NeedCode { component, settings },
            };
            if let Err(error) = self.outbox.to_client(message) {
                self.arrived(wanted, Err(error.to_string().into()));
            }
        }
        let gone = || Err(Arc::from("the connection ended before the component came"));
        match came.wait_for(Option::is_some).await {
            Ok(came) => came.clone().unwrap_or_else(gone),
            Err(_) => gone(),
        }
    }

    fn arrived(&self, wanted: Wanted, came: Came) {
        let mut known = self.known();
        match came {
            Ok(_) => {
                if let Some(sender) = known.get(&wanted) {
                    sender.send_replace(Some(came));
                }
            }
            // Who asks the next time asks anew.
            Err(_) => {
                if let Some(sender) = known.remove(&wanted) {
                    sender.send_replace(Some(came));
                }
            }
        }
    }

    /// A component came by the connection.
    pub(super) fn component(&self, component: Digest, wasm: Bytes, packed: Option<u64>) {
        let wasm = match packed.map(|length| unpacked(&wasm, length)) {
            None => wasm,
            Some(Ok(wasm)) => wasm,
            Some(Err(error)) => {
                let reason = format!("the component {component} that came cannot be unpacked: {error}");
                return self.arrived((component, None), Err(reason.into()));
            }
        };
        let found = Digest::of(&wasm);
        let came = if found == component {
            Ok(Arrived::Wasm(wasm))
        } else {
            Err(format!("the component that came is {found} and not {component}").into())
        };
        self.arrived((component, None), came);
    }

    /// Code came beside the connection, labelled by `label`.
    pub(super) fn code(&self, label: &str, file: File) {
        if let Some((component, settings)) = label.split_once(' ')
            && let Ok(component) = component.parse()
        {
            self.arrived((component, Some(settings.into())), Ok(Arrived::Code(Arc::new(file))));
        }
    }

    /// What was asked for does not come.
    pub(super) fn refused(&self, component: Digest, settings: Option<Arc<str>>, reason: String) {
        self.arrived((component, settings), Err(reason.into()));
    }
}

/// What zstd packed, which says that it is so many bytes and may not be more.
fn unpacked(wasm: &[u8], length: u64) -> std::io::Result<Bytes> {
    let length = usize::try_from(length.min(UNPACKED)).unwrap_or(usize::MAX);
    zstd::bulk::decompress(wasm, length).map(Bytes::from)
}

/// A supply as the executor takes it: what is kept here, if anything is, and else what the client sends.
pub(super) struct ByAsking {
    pub(super) asked: Arc<Asked>,
    pub(super) kept: Option<Arc<Kept>>,
}

impl ByAsking {
    async fn get(&self, digest: Digest) -> Result<Bytes, Arc<str>> {
        let failed = |error: KeptError| Arc::from(error.to_string());
        if let Some(kept) = &self.kept
            && let Some(bytes) = kept.get(digest).await.map_err(failed)?
        {
            return Ok(bytes);
        }
        match self.asked.get(digest, None).await? {
            Arrived::Wasm(wasm) => {
                if let Some(kept) = &self.kept {
                    kept.keep(wasm.clone()).await.map_err(failed)?;
                }
                Ok(wasm)
            }
            Arrived::Code(_) => Err("code came where a component was asked for".into()),
        }
    }
}

impl Supply for ByAsking {
    fn component(&self, digest: Digest) -> BoxFuture<'_, Result<Source, Arc<str>>> {
        Box::pin(async move {
            if self.asked.code {
                return Ok(Source::Code(self.asked.clone()));
            }
            self.get(digest).await.map(Source::Bytes)
        })
    }
}

impl CodeSource for Asked {
    fn code(
        &self,
        component: Digest,
        settings: &str,
    ) -> Pin<Box<dyn Future<Output = Result<File, String>> + Send + '_>> {
        let settings = Arc::from(settings);
        Box::pin(async move {
            match self.get(component, Some(settings)).await {
                Ok(Arrived::Code(file)) => file.try_clone().map_err(|error| error.to_string()),
                Ok(Arrived::Wasm(_)) => Err("a component came where code was asked for".to_owned()),
                Err(reason) => Err(reason.to_string()),
            }
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::wire::{Receiver, pump};

    /// What a worker says that sends all of `outbox`.
    async fn asked(outbox: &Outbox) -> Vec<FromWorker> {
        outbox.finish();
        let mut bytes = Vec::new();
        pump(&mut bytes, outbox).await.unwrap();
        let mut receiver = Receiver::new(&*bytes);
        let mut said = Vec::new();
        while let Some(message) = receiver.of_worker().await.unwrap() {
            said.push(message);
        }
        said
    }

    #[tokio::test]
    async fn p3_a_component_that_is_another_on_arrival_is_refused_and_asked_for_again() {
        let outbox = Arc::new(Outbox::default());
        let supply = Asked::new(Arc::clone(&outbox), false);
        let (right, wrong) = (Digest::of(b"component"), Digest::of(b"componenT"));
        let flipped = async { supply.component(right, Bytes::from_static(b"componenT"), None) };
        let (came, ()) = tokio::join!(supply.get(right, None), flipped);
        let reason = came.err().unwrap();
        assert_eq!(&*reason, format!("the component that came is {wrong} and not {right}"));
        // Nothing is kept of it, and two that want the same share one answer.
        let whole = async { supply.component(right, Bytes::from_static(b"component"), None) };
        let (first, second, ()) = tokio::join!(supply.get(right, None), supply.get(right, None), whole);
        for came in [first, second, supply.get(right, None).await] {
            assert!(matches!(came.unwrap(), Arrived::Wasm(wasm) if &*wasm == b"component"));
        }
        let need = FromWorker::NeedComponent { component: right };
        assert_eq!(asked(&outbox).await, [need.clone(), need]);
    }

    #[tokio::test]
    async fn p3_code_under_another_label_is_not_taken() {
        let outbox = Arc::new(Outbox::default());
        let supply = Asked::new(Arc::clone(&outbox), true);
        let component = Digest::of(b"component");
        let settings: Arc<str> = "ordinary ample".into();
        let file = || tempfile::tempfile().unwrap();
        let others = async {
            supply.code(&format!("{component} fuel ample"), file());
            supply.code(&format!("{} {settings}", Digest::of(b"another")), file());
            supply.code("no label", file());
            supply.code("", file());
            supply.refused(component, Some(Arc::clone(&settings)), "none of these".to_owned());
        };
        let (came, ()) = tokio::join!(supply.get(component, Some(Arc::clone(&settings))), others);
        assert_eq!(&*came.err().unwrap(), "none of these");
        let right = async { supply.code(&format!("{component} {settings}"), file()) };
        let (came, ()) = tokio::join!(supply.get(component, Some(Arc::clone(&settings))), right);
        assert!(matches!(came.unwrap(), Arrived::Code(_)));
    }
}
