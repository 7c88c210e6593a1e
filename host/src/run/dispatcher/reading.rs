//! Attempts whose arguments are made of files: they are read aside, in turns.

use std::sync::{Arc, Mutex, PoisonError};

use super::super::evaluate::{EvaluateError, Scope};
use super::super::reading::Turn;
use super::attempts::item;
use super::{Aside, Dispatcher, Flight};
use crate::id::AttemptId;
use crate::interface::encoded_size;
use crate::journal::FileRead;
use crate::model::Value;

impl Dispatcher {
    /// An attempt waits for its turn to read.
    pub(super) fn waits_to_read(&mut self, id: AttemptId) {
        let executor = self.executed_by(id);
        self.reading.waits(&executor, id);
        if let Some(flight) = self.flights.get_mut(&id) {
            flight.preparing = Some(false);
            flight.turn = Some((executor, Turn::Waits));
        }
    }

    /// Has those read whose turn it is.
    pub(super) fn read_on(&mut self) {
        while let Some(id) = self.reading.next(|executor| self.placement.slots(executor)) {
            if let Some((_, turn)) = self.flights.get_mut(&id).and_then(|flight| flight.turn.as_mut()) {
                *turn = Turn::Reads;
            }
            self.read(id);
        }
    }

    fn read(&self, id: AttemptId) {
        let (Some(task), Some(branches)) = (self.task(id), self.branches.get(id.branch.node.index())) else {
            return;
        };
        let index = id.branch.index;
        let given = branches.asked(index).map(|asked| Arc::clone(&asked.given));
        let read = self.recorder.is_on().then(Arc::<Mutex<Vec<FileRead>>>::default);
        let scope = Scope { read: read.clone(), ..self.scope.clone() };
        let (sender, arguments, items) =
            (self.aside.0.clone(), task.arguments.clone(), branches.items.clone());
        tokio::task::spawn_blocking(move || {
            let arguments = item(items.as_ref(), index)
                .and_then(|item| Scope { item, index, ..scope }.arguments(&arguments, given.as_deref()));
            let take = |read: Arc<Mutex<Vec<_>>>| {
                std::mem::take(&mut *read.lock().unwrap_or_else(PoisonError::into_inner))
            };
            // The receiver lives as long as the run; after it nobody needs the arguments.
            let _ = sender.send(Aside::Arguments(id, arguments, read.map(take).unwrap_or_default()));
        });
    }

    /// Its arguments were made, or not.
    pub(super) fn has_read(
        &mut self,
        id: AttemptId,
        arguments: Result<Vec<Value>, EvaluateError>,
        files: Vec<FileRead>,
    ) {
        let types = self.task(id).map(|task| Arc::clone(&task.signature));
        let Some(flight) = self.flights.get_mut(&id) else { return };
        if let Some((executor, turn)) = &mut flight.turn {
            let types = types.iter().flat_map(|signature| signature.parameters.iter());
            let sizes = arguments.iter().flatten().zip(types).map(|(value, (_, ty))| encoded_size(value, ty));
            let bytes = sizes.fold(0, u64::saturating_add);
            *turn = Turn::HasRead(bytes);
            self.reading.has_read(executor, bytes);
        }
        if !files.is_empty() {
            flight.more.get_or_insert_default().files = files;
        }
        match flight.preparing.take() {
            Some(false) => self.submit_with(id, arguments),
            Some(true) => self.returned(id),
            None => {}
        }
    }

    /// An attempt ended, or will not begin.
    pub(super) fn needs_no_files(&mut self, id: AttemptId, flight: &Flight) {
        if let Some((executor, turn)) = &flight.turn {
            self.reading.ended(executor, id, *turn);
        }
    }

    /// Returns those whose turn has not come.
    pub(super) fn read_nothing_more(&mut self) {
        self.reading.take_waiting().into_iter().for_each(|id| self.returned(id));
    }
}
