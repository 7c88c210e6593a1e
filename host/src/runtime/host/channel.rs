//! `flowhost:task/channel`: what guests ask of their run's channel, wherever that is. An answer may
//! take its time; the attempt's timeout ends the wait.

use std::sync::Arc;

use wasmtime::component::{HasSelf, Linker};

use super::super::sandbox::State;
use super::task::bindings::flowhost::task::channel::{self, Error};
use crate::model::{ChannelAnswer, ChannelAsk, ChannelError};

pub(super) fn add_to_linker(linker: &mut Linker<State>) -> wasmtime::Result<()> {
    channel::add_to_linker::<_, HasSelf<State>>(linker, |state| state)
}

impl State {
    async fn ask(&mut self, ask: ChannelAsk) -> Result<ChannelAnswer, Error> {
        self.observer.channel().ask(self.id, ask).await.map_err(Error::from)
    }
}

/// An answer that is none to what was asked.
fn odd() -> Error {
    Error::Unavailable("it gave an answer to another question".to_owned())
}

impl From<ChannelError> for Error {
    fn from(error: ChannelError) -> Self {
        match error {
            ChannelError::EmptyKey => Self::EmptyKey,
            ChannelError::KeyTooLong => Self::KeyTooLong,
            ChannelError::ValueTooLarge => Self::ValueTooLarge,
            ChannelError::InvalidTimeToLive => Self::InvalidTimeToLive,
            ChannelError::TooManyKeys => Self::TooManyKeys,
            ChannelError::OutOfSpace => Self::OutOfSpace,
            ChannelError::NotANumber => Self::NotANumber,
            ChannelError::Overflow => Self::Overflow,
            ChannelError::Unavailable(reason) => Self::Unavailable(reason),
        }
    }
}

impl channel::Host for State {
    async fn get(&mut self, key: String) -> Result<Option<Vec<u8>>, Error> {
        let answer = self.ask(ChannelAsk::Get { key: key.into() }).await?;
        let ChannelAnswer::Value(value) = answer else { return Err(odd()) };
        Ok(value.map(|value| value.to_vec()))
    }

    async fn set(&mut self, key: String, value: Vec<u8>, time_to_live: Option<u64>) -> Result<(), Error> {
        let answer = self.ask(ChannelAsk::Set { key: key.into(), value: value.into(), time_to_live }).await?;
        let ChannelAnswer::Done = answer else { return Err(odd()) };
        Ok(())
    }

    async fn delete(&mut self, key: String) -> Result<bool, Error> {
        let answer = self.ask(ChannelAsk::Delete { key: key.into() }).await?;
        let ChannelAnswer::Whether(was_there) = answer else { return Err(odd()) };
        Ok(was_there)
    }

    async fn keys(&mut self, prefix: String, after: Option<String>) -> Result<Vec<String>, Error> {
        let answer =
            self.ask(ChannelAsk::Keys { prefix: prefix.into(), after: after.map(Arc::from) }).await?;
        let ChannelAnswer::Keys(keys) = answer else { return Err(odd()) };
        Ok(keys.iter().map(|key| key.to_string()).collect())
    }

    async fn append(&mut self, key: String, value: Vec<u8>) -> Result<u64, Error> {
        let answer = self.ask(ChannelAsk::Append { key: key.into(), value: value.into() }).await?;
        let ChannelAnswer::Length(length) = answer else { return Err(odd()) };
        Ok(length)
    }

    async fn increment(&mut self, key: String, by: i64) -> Result<i64, Error> {
        let answer = self.ask(ChannelAsk::Increment { key: key.into(), by }).await?;
        let ChannelAnswer::Number(sum) = answer else { return Err(odd()) };
        Ok(sum)
    }

    async fn compare_and_swap(
        &mut self,
        key: String,
        expected: Option<Vec<u8>>,
        value: Option<Vec<u8>>,
        time_to_live: Option<u64>,
    ) -> Result<bool, Error> {
        let (expected, value) = (expected.map(Into::into), value.map(Into::into));
        let answer =
            self.ask(ChannelAsk::CompareAndSwap { key: key.into(), expected, value, time_to_live }).await?;
        let ChannelAnswer::Whether(was_expected) = answer else { return Err(odd()) };
        Ok(was_expected)
    }
}
