//! Changes of the run's channel on their way to the dispatcher, in the one queue of all reports: so a
//! change is told before the end of the attempt that made it, and of every attempt that saw it.

use std::pin::Pin;
use std::sync::Arc;

use super::Report;
use super::port::Shared;
use crate::channel::Sink;
use crate::id::AttemptId;
use crate::model::ChannelWrite;

/// Bytes of changes that may wait for the dispatcher: guests write faster than disks.
const WAITING: usize = 8 << 20;

/// What a change takes beside key and value.
const EACH: usize = 128;

/// Reports changes.
pub(super) struct Writes(pub(super) Arc<Shared>);

impl Sink for Writes {
    fn write(&self, from: AttemptId, write: ChannelWrite) {
        let size = EACH.saturating_add(write.key.len()).saturating_add(write.change.size());
        self.0.change(Report::Channel { id: from, write: Box::new(write) }, size);
    }

    fn room(&self) -> Pin<Box<dyn Future<Output = ()> + Send + '_>> {
        Box::pin(async {
            loop {
                let mut taken = std::pin::pin!(self.0.taken.notified());
                taken.as_mut().enable();
                if self.0.changed() < WAITING {
                    return;
                }
                self.0.flush();
                taken.await;
            }
        })
    }
}

#[cfg(test)]
mod tests {
    use bytes::Bytes;

    use crate::channel::Memory;
    use crate::executor::{Port, Report};
    use crate::id::{AttemptId, BranchId, NodeId};
    use crate::model::{CHANNEL_VALUE, ChannelAnswer, ChannelAsk};
    use crate::report::Interest;

    const FROM: AttemptId = AttemptId { branch: BranchId { node: NodeId(0), index: 0 }, number: 1 };

    fn set() -> ChannelAsk {
        let value = Bytes::from(vec![0; CHANNEL_VALUE]);
        ChannelAsk::Set { key: "k".into(), value, time_to_live: None }
    }

    #[tokio::test]
    async fn changes_wait_until_those_before_were_taken() {
        let interest = Interest { writes: true, ..Interest::default() };
        let (port, reports) = Port::new(interest, Memory::shared);
        for _ in 0..8 {
            port.channel().ask(FROM, set()).await.unwrap();
        }
        let mut late = port.channel().ask(FROM, set());
        tokio::select! {
            biased;
            answer = &mut late => panic!("{answer:?}"),
            // Questions that change nothing go on.
            answer = port.channel().ask(FROM, ChannelAsk::Get { key: "k".into() }) => assert!(answer.is_ok()),
        }
        reports.ready().await;
        let mut taken = Vec::new();
        reports.take(&mut taken);
        assert_eq!(late.await, Ok(ChannelAnswer::Done));
        reports.take(&mut taken);
        let sequence = |report: &Report| match report {
            Report::Channel { id: FROM, write } => Some(write.sequence),
            _ => None,
        };
        assert_eq!(taken.iter().map(sequence).collect::<Vec<_>>(), [Some(8)]);
    }

    #[tokio::test]
    async fn nobody_waits_for_a_run_that_is_over() {
        let interest = Interest { writes: true, ..Interest::default() };
        let (port, reports) = Port::new(interest, Memory::shared);
        for _ in 0..8 {
            port.channel().ask(FROM, set()).await.unwrap();
        }
        let late = port.channel().ask(FROM, set());
        let over = async {
            tokio::task::yield_now().await;
            drop(reports);
        };
        let (answer, ()) = tokio::join!(late, over);
        assert_eq!(answer, Ok(ChannelAnswer::Done));
    }

    #[tokio::test]
    async fn changes_that_nobody_wants_are_not_told() {
        let (port, reports) = Port::new(Interest::default(), Memory::shared);
        port.channel().ask(FROM, set()).await.unwrap();
        port.flush();
        let mut taken = Vec::new();
        reports.take(&mut taken);
        assert_eq!(taken, []);
    }
}
