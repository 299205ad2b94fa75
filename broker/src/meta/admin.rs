//! What people do to the cluster: create, delete and grow topics, change settings. The edges (Kafka, HTTP) call this.

use super::command::MetaCommand;
use super::config::ConfigError;
use super::decide::configs::{self, Alter};
use super::decide::topics::{self, Created, MAX_NEW_PARTITIONS, NewTopic, TopicError};
use super::effective::Layers;
use super::handle::{ChangeError, Meta, MetaCommitError};
use super::settings::TopicSettings;
use super::state::{Configs, MetaState};
use super::topics::Topic;
use super::view::{AttachError, PartitionView, TableDesigner};
use super::{TableDraft, names};
use parking_lot::Mutex;
use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;
use uuid::Uuid;

/// How long a created topic's partitions are waited for at least, whatever the client's patience.
const MIN_ATTACH_WAIT: Duration = Duration::from_secs(1);
const MAX_ATTACH_WAIT: Duration = Duration::from_secs(60);
/// How long the partitions of deleted topics are waited for; they are gone for clients all the same.
const DETACH_WAIT: Duration = Duration::from_secs(5);
/// Topics that are being created for Metadata requests at a time; the next ask again.
const MAX_AUTO_CREATING: usize = 1000;

/// Why an administrative request did nothing, or cannot say.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum AdminError {
    #[error(transparent)]
    Topic(#[from] TopicError),
    #[error(transparent)]
    Commit(#[from] MetaCommitError),
    /// The change is made; what it made is not in place yet.
    #[error(transparent)]
    Attach(#[from] AttachError),
}

impl From<ConfigError> for AdminError {
    fn from(error: ConfigError) -> Self {
        AdminError::Topic(TopicError::Config(error))
    }
}

impl<E: Into<AdminError>> From<ChangeError<E>> for AdminError {
    fn from(error: ChangeError<E>) -> Self {
        match error {
            ChangeError::Refused(error) => error.into(),
            ChangeError::Commit(error) => AdminError::Commit(error),
        }
    }
}

/// Changes to the cluster, and what they need of the node. One per node, behind an `Arc`.
pub struct Admin {
    pub meta: Arc<Meta>,
    pub partitions: Arc<dyn PartitionView>,
    pub tables: Arc<dyn TableDesigner>,
    pub broker_id: i32,
    /// Broker settings that the node's own configuration gives; checked by [`super::broker_config::check_node`].
    pub node_configs: Configs,
    auto_creating: Mutex<BTreeSet<String>>,
}

impl Admin {
    pub fn new(
        meta: Arc<Meta>,
        partitions: Arc<dyn PartitionView>,
        tables: Arc<dyn TableDesigner>,
        broker_id: i32,
        node_configs: Configs,
    ) -> Admin {
        Admin {
            meta,
            partitions,
            tables,
            broker_id,
            node_configs,
            auto_creating: Mutex::default(),
        }
    }

    /// The settings as this broker resolves them over a state that the caller reads.
    pub fn layers<'a>(&'a self, state: &'a MetaState) -> Layers<'a> {
        Layers {
            state,
            broker_id: self.broker_id,
            node: &self.node_configs,
        }
    }

    /// A topic's settings, resolved and typed.
    pub fn settings(&self, state: &MetaState, topic: &Topic) -> TopicSettings {
        TopicSettings::resolve(self.layers(state), &topic.configs)
    }

    /// An id for a topic: Kafka's tools take an id that prints with a leading `-` for an option.
    pub fn new_topic_id(&self) -> Uuid {
        loop {
            let id = self.meta.env().random_uuid();
            // The first printed character stands for the first six bits; `-` is 62.
            if !id.is_nil() && id.as_bytes()[0] >> 2 != 62 {
                return id;
            }
        }
    }

    /// Creates topics in one step of the metadata; answers per topic, in their order, when their partitions have leaders.
    ///
    /// `validate_only` decides and does nothing.
    pub async fn create_topics(
        &self,
        mut topics: Vec<NewTopic>,
        validate_only: bool,
        patience: Duration,
    ) -> Vec<Result<Created, AdminError>> {
        let mut refused = Vec::with_capacity(topics.len());
        for topic in &mut topics {
            refused.push(self.design_new(topic).await.err());
        }
        let decide = |state: &MetaState| self.decide_new(state, &topics, &refused);
        let decided = if validate_only {
            let (_, results) = decide(&self.meta.read());
            Ok(results)
        } else {
            self.meta
                .change(|state| Ok::<_, TopicError>(decide(state)))
                .await
        };
        let mut results: Vec<Result<Created, AdminError>> = match decided {
            Ok(results) => results
                .into_iter()
                .map(|result| result.map_err(AdminError::from))
                .collect(),
            Err(error) => vec![Err(AdminError::from(error)); topics.len()],
        };
        if !validate_only {
            self.await_attached(&mut results, patience).await;
        }
        results
    }

    /// Gives a topic that shall be a table its definition.
    async fn design_new(&self, topic: &mut NewTopic) -> Result<(), TopicError> {
        let settings = {
            let state = self.meta.read();
            let layers = self.layers(&state);
            let configs = match configs::new_topic(layers, &topic.configs) {
                Ok(configs) if configs::wants_table(layers, &configs) => configs,
                // Not a table, or refused when it is decided.
                Ok(_) | Err(_) => return Ok(()),
            };
            TopicSettings::resolve(layers, &configs)
        };
        let partitions = self.partition_count(topic);
        let designed = self
            .tables
            .design(&topic.name, None, partitions, &settings)
            .await;
        // An empty definition lets the decision find what else is wrong with the topic; it is never stored.
        topic.table = Some(designed.clone().unwrap_or_default());
        designed.map_err(|reason| TopicError::Config(ConfigError::Table(reason)))?;
        Ok(())
    }

    fn partition_count(&self, topic: &NewTopic) -> i32 {
        match topic.partitions {
            -1 if topic.assignments.is_empty() => {
                self.layers(&self.meta.read()).broker_int("num.partitions") as i32
            }
            -1 => topic.assignments.len() as i32,
            count => count,
        }
    }

    /// Decides the topics one after the other, so that each sees those before it.
    fn decide_new(
        &self,
        state: &MetaState,
        topics: &[NewTopic],
        refused: &[Option<TopicError>],
    ) -> (Vec<MetaCommand>, Vec<Result<Created, TopicError>>) {
        let is_up = |node| self.partitions.is_up(node);
        let mut ahead = if topics.len() > 1 {
            Some(state.clone())
        } else {
            None
        };
        let mut commands = Vec::new();
        let mut results = Vec::with_capacity(topics.len());
        let mut partitions = 0;
        for (topic, refused) in topics.iter().zip(refused) {
            let decided =
                topics::create(self.layers(ahead.as_ref().unwrap_or(state)), topic, &is_up);
            // What the name or the request has against it comes before what the table has.
            let result = decided.and_then(|decided| refused.clone().map_or(Ok(decided), Err));
            results.push(result.map(|(made, created)| {
                for command in &made {
                    if let Some(ahead) = &mut ahead {
                        ahead
                            .apply(command)
                            .expect("what is decided on a state applies to it");
                    }
                }
                partitions += i64::from(created.partitions);
                commands.extend(made);
                created
            }));
        }
        if partitions > MAX_NEW_PARTITIONS {
            return (
                Vec::new(),
                vec![Err(TopicError::TooMany(partitions)); topics.len()],
            );
        }
        (commands, results)
    }

    async fn await_attached(
        &self,
        results: &mut [Result<Created, AdminError>],
        patience: Duration,
    ) {
        let patience = patience.clamp(MIN_ATTACH_WAIT, MAX_ATTACH_WAIT);
        let deadline = tokio::time::Instant::now() + patience;
        for result in results {
            if let Ok(created) = result {
                let attached =
                    tokio::time::timeout_at(deadline, self.partitions.attached(created.id));
                if let Err(error) = attached.await.unwrap_or(Err(AttachError::TimedOut)) {
                    *result = Err(AdminError::Attach(error));
                }
            }
        }
    }

    /// Starts to create a topic that a Metadata request named. It appears a moment later, or not.
    pub fn auto_create(self: &Arc<Self>, name: &str) {
        if names::is_protected(name) {
            return;
        }
        {
            let mut creating = self.auto_creating.lock();
            if creating.len() >= MAX_AUTO_CREATING || !creating.insert(name.to_owned()) {
                return;
            }
        }
        let admin = Arc::clone(self);
        let topic = NewTopic::with_defaults(name, admin.new_topic_id(), admin.meta.env().now_ms());
        tokio::spawn(async move {
            let name = topic.name.clone();
            let results = admin
                .create_topics(vec![topic], false, MAX_ATTACH_WAIT)
                .await;
            for error in results.into_iter().filter_map(Result::err) {
                tracing::info!(topic = name, %error, "a topic that a client asked for was not created");
            }
            admin.auto_creating.lock().remove(&name);
        });
    }

    /// Whether Metadata requests may create topics.
    pub fn auto_creates(&self) -> bool {
        self.layers(&self.meta.read())
            .broker_flag("auto.create.topics.enable")
    }

    /// Deletes topics in one step of the metadata; answers per id, in their order, when this node serves them no more.
    pub async fn delete_topics(&self, ids: &[Uuid]) -> Vec<Result<(), AdminError>> {
        let changed = self
            .meta
            .change(|state| {
                let mut commands = Vec::new();
                let mut results = Vec::with_capacity(ids.len());
                for id in ids {
                    let partitions = state.topics().by_id(*id).map_or(0, |t| t.partition_count());
                    let deleted = topics::delete(state, *id, self.highest_epoch(state, *id));
                    results.push(deleted.map(|made| {
                        commands.extend(made);
                        partitions
                    }));
                }
                Ok::<_, TopicError>((commands, results))
            })
            .await;
        let results: Vec<Result<i32, TopicError>> = match changed {
            Ok(results) => results,
            Err(error) => return vec![Err(AdminError::from(error)); ids.len()],
        };
        let deadline = tokio::time::Instant::now() + DETACH_WAIT;
        for (id, result) in ids.iter().zip(&results) {
            if let Ok(partitions) = result {
                let detached = self.partitions.detached(*id, *partitions);
                if tokio::time::timeout_at(deadline, detached).await.is_err() {
                    tracing::info!(%id, "a deleted topic's partitions are still being taken down");
                }
            }
        }
        let answer = |result: Result<i32, TopicError>| result.map(drop).map_err(AdminError::from);
        results.into_iter().map(answer).collect()
    }

    fn highest_epoch(&self, state: &MetaState, id: Uuid) -> i32 {
        let places = state
            .topics()
            .by_id(id)
            .map(|topic| topic.partitions.clone())
            .unwrap_or_default();
        places
            .iter()
            .map(|place| self.partitions.shard(place.shard).leader_epoch(*place))
            .max()
            .unwrap_or(0)
    }

    /// Gives a topic more partitions; answers when they have leaders.
    pub async fn grow_topic(
        &self,
        name: &str,
        count: i32,
        assignments: Option<&[Vec<i32>]>,
        validate_only: bool,
        patience: Duration,
    ) -> Result<(), AdminError> {
        let is_up = |node| self.partitions.is_up(node);
        if validate_only {
            topics::grow(&self.meta.read(), name, count, assignments, &is_up)?;
            return Ok(());
        }
        let id = self
            .meta
            .change(|state| {
                let commands = topics::grow(state, name, count, assignments, &is_up)?;
                let id = state.topics().get(name).map(|topic| topic.id);
                Ok::<_, TopicError>((
                    commands,
                    id.ok_or_else(|| TopicError::Unknown(name.to_owned()))?,
                ))
            })
            .await?;
        let patience = patience.clamp(MIN_ATTACH_WAIT, MAX_ATTACH_WAIT);
        let attached = tokio::time::timeout(patience, self.partitions.attached(id)).await;
        Ok(attached.unwrap_or(Err(AttachError::TimedOut))?)
    }

    /// Changes a topic's settings: all of `alters`, or nothing. `replace`: settings that are not named go.
    pub async fn alter_topic(
        &self,
        name: &str,
        alters: &[Alter],
        replace: bool,
        validate_only: bool,
    ) -> Result<(), AdminError> {
        let draft = self.design_existing(name, alters, replace).await?;
        let decide = |state: &MetaState| {
            let unknown = || TopicError::Unknown(name.to_owned());
            let topic = state.topics().get(name).ok_or_else(unknown)?;
            Ok::<_, TopicError>(configs::alter_topic(
                self.layers(state),
                topic,
                alters,
                replace,
                draft.as_ref(),
            )?)
        };
        if validate_only {
            decide(&self.meta.read())?;
            return Ok(());
        }
        Ok(self
            .meta
            .change(|state| Ok::<_, TopicError>((decide(state)?, ())))
            .await?)
    }

    /// The definition of the table that an existing topic becomes by these changes, if it does.
    async fn design_existing(
        &self,
        name: &str,
        alters: &[Alter],
        replace: bool,
    ) -> Result<Option<TableDraft>, AdminError> {
        let (topic, settings) = {
            let state = self.meta.read();
            let layers = self.layers(&state);
            let Some(topic) = state.topics().get(name).cloned() else {
                // What is wrong with the settings comes before what is wrong with the topic.
                configs::altered(layers, &Configs::new(), alters, replace)?;
                return Err(TopicError::Unknown(name.to_owned()).into());
            };
            let configs = configs::altered_topic(layers, &topic, alters, replace)?;
            if topic.table.is_some() || !configs::wants_table(layers, &configs) {
                return Ok(None);
            }
            (topic, TopicSettings::resolve(layers, &configs))
        };
        let designed = self
            .tables
            .design(name, Some(topic.id), topic.partition_count(), &settings)
            .await;
        Ok(Some(designed.map_err(ConfigError::Table)?))
    }

    /// Changes broker settings: of one broker, or of all (`None`).
    pub async fn alter_broker(
        &self,
        broker_id: Option<i32>,
        alters: &[Alter],
        replace: bool,
        validate_only: bool,
    ) -> Result<(), AdminError> {
        if validate_only {
            configs::alter_broker(self.layers(&self.meta.read()), broker_id, alters, replace)?;
            return Ok(());
        }
        let decide = |state: &MetaState| {
            configs::alter_broker(self.layers(state), broker_id, alters, replace)
        };
        Ok(self
            .meta
            .change(|state| Ok::<_, ConfigError>((decide(state)?, ())))
            .await?)
    }
}

#[cfg(test)]
pub mod testing;
#[cfg(test)]
mod tests;
