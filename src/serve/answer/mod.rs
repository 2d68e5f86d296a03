//! The answers: 503 pages that are rendered before the first request, refusals and preflight answers that are rendered when
//! they are sent.

mod answers;
pub(crate) mod charset;
mod compress;
mod content;
pub(crate) mod load;
pub(crate) mod media_type;
pub mod page;
mod preflight;
mod refusal;
mod render;
mod response_head;
pub(crate) mod retry_after;
pub mod select;
pub mod sites;
mod variants;

pub use crate::serve::answer::answers::Answers;
pub use crate::serve::answer::content::{Content, Representation};
pub use crate::serve::answer::preflight::preflight;
pub use crate::serve::answer::refusal::refusal;
pub use crate::serve::answer::response_head::Persistence;
pub use crate::serve::answer::variants::Ready;

#[cfg(test)]
mod tests;
