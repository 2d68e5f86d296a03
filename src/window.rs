//! The maintenance window: what is announced of it. Nothing ever switches by itself.

/// Until when a maintenance is to last, and what its administrator says.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Window {
    /// The end, in seconds since 1970.
    pub until: Option<u64>,
    /// The administrator's words, as they were typed.
    pub message: Option<String>,
}
