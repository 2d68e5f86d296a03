//! nginx's grammar: text to a tree of directives, each word with its position.
//!
//! The grammar is that of nginx 1.22 to 1.29 (`ngx_conf_read_token`): words between blanks, both quotes, backslashes, comments,
//! blocks. The meaning of the words is left to the other modules.

mod lexer;
mod parser;
mod printing;
mod tree;

pub use crate::config::nginx::syntax::parser::parse;
pub use crate::config::nginx::syntax::tree::{ConfigError, Directive, Position, Word};
