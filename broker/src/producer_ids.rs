//! Producer ids, unique for ever (T7): a block at a time is taken from the metadata and handed out.

use std::ops::Range;

use tokio::sync::Mutex;

use crate::meta::{ChangeError, Meta, MetaCommand};

/// Ids per block, Kafka's size. What a block has left at a restart is never handed out.
const BLOCK: i64 = 1_000;

#[derive(Default)]
pub struct ProducerIds {
    block: Mutex<Range<i64>>,
}

impl ProducerIds {
    pub async fn next(&self, meta: &Meta) -> Result<i64, ChangeError<std::convert::Infallible>> {
        let mut block = self.block.lock().await;
        if block.is_empty() {
            let first = meta
                .change(|state| {
                    let first = state.next_producer_id();
                    Ok((
                        vec![MetaCommand::TakeProducerIds {
                            first,
                            count: BLOCK,
                        }],
                        first,
                    ))
                })
                .await?;
            *block = first..first + BLOCK;
        }
        Ok(block.next().expect("the block was just filled"))
    }
}
