//! A stricter `open-at` for granted directories: it looks first and admits only regular files and
//! directories, because opening a FIFO blocks a thread for as long as nobody writes to it, past any
//! timeout.

use wasmtime::StoreContextMut;
use wasmtime::component::{Linker, Resource};
use wasmtime_wasi::filesystem::{Descriptor, WasiFilesystemView};
use wasmtime_wasi::p2::FsResult;
use wasmtime_wasi::p2::bindings::filesystem::types::{
    DescriptorFlags, DescriptorType, ErrorCode, HostDescriptor, OpenFlags, PathFlags,
};

use super::super::sandbox::State;

const TYPES: &str = "wasi:filesystem/types@0.2.12";

type Parameters = (Resource<Descriptor>, PathFlags, String, OpenFlags, DescriptorFlags);

pub(super) fn add_to_linker(linker: &mut Linker<State>) -> wasmtime::Result<()> {
    linker.instance(TYPES)?.func_wrap_async(
        "[method]descriptor.open-at",
        |mut store: StoreContextMut<'_, State>, parameters: Parameters| {
            Box::new(async move {
                let opened = open(store.data_mut(), parameters).await;
                let opened: Result<Resource<Descriptor>, ErrorCode> = match opened {
                    Ok(descriptor) => Ok(descriptor),
                    Err(error) => Err(error.downcast()?),
                };
                Ok((opened,))
            })
        },
    )
}

async fn open(
    state: &mut State,
    (directory, follow, path, open, flags): Parameters,
) -> FsResult<Resource<Descriptor>> {
    let mut files = state.filesystem();
    let directory = directory.rep();
    let stat = files.stat_at(Resource::new_borrow(directory), follow, path.clone()).await;
    if let Ok(stat) = stat {
        match stat.type_ {
            DescriptorType::RegularFile | DescriptorType::Directory | DescriptorType::SymbolicLink => {}
            DescriptorType::Unknown
            | DescriptorType::BlockDevice
            | DescriptorType::CharacterDevice
            | DescriptorType::Fifo
            | DescriptorType::Socket => return Err(ErrorCode::NotPermitted.into()),
        }
    }
    // What cannot be looked at is either new or answered by the same error again.
    files.open_at(Resource::new_borrow(directory), follow, path, open, flags).await
}
