//! Tables as far as the metadata is concerned: their frozen definition, and which partitioners their clients may use.

use super::super::command::MetaCommand;
use super::super::partitioners::{Partitioner, PartitionerSet};
use super::super::settings::TableSettings;
use super::super::state::MetaState;
use uuid::Uuid;

/// What a topic that becomes a table is given, once.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct TableDraft {
    /// The tables part owns its form.
    pub definition: serde_json::Value,
    pub partitioners: PartitionerSet,
}

/// Why a table's candidates were not narrowed.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum NarrowError {
    #[error("there is no table with id {0}")]
    NotATable(Uuid),
    /// None of the partitioners that are left is among those that were seen.
    #[error("no partitioner of {left:?} places the keys so")]
    Emptied { left: PartitionerSet },
}

/// The candidates that a table starts with.
pub fn initial_partitioners(settings: &TableSettings) -> PartitionerSet {
    Partitioner::from_name(&settings.partitioner)
        .map_or_else(PartitionerSet::all, PartitionerSet::from)
}

/// Narrows a table's candidates to those that `fit` too. Answers what is left.
pub fn narrow(
    state: &MetaState,
    id: Uuid,
    fit: PartitionerSet,
) -> Result<(Vec<MetaCommand>, PartitionerSet), NarrowError> {
    let topic = state.topics().by_id(id).ok_or(NarrowError::NotATable(id))?;
    let from = topic.partitioners.ok_or(NarrowError::NotATable(id))?;
    let to = from.intersection(fit);
    if to.is_empty() {
        return Err(NarrowError::Emptied { left: from });
    }
    let commands = if to == from {
        Vec::new()
    } else {
        vec![MetaCommand::NarrowPartitioners { id, from, to }]
    };
    Ok((commands, to))
}
