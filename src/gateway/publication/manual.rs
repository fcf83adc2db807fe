//! Publication by the operator, who is told what to do elsewhere.

use std::future::ready;

use super::{Change, PublishFuture, Published, Publisher, Way};

/// Makes no change.
#[derive(Debug, Clone, Copy, Default)]
pub struct Manual;

impl Publisher for Manual {
    fn publish<'a>(&'a self, _changes: &'a [Change]) -> PublishFuture<'a> {
        Box::pin(ready(Ok(Published::ByHand)))
    }

    fn way(&self) -> Way {
        Way::Manual
    }
}
