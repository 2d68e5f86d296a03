//! What a supervisor tells a worker, through a pipe whose end means: end now.

use std::io::{self, Read, Write};

/// What a worker is told, once and for good.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Order {
    /// Accept no more; answer the next request of every connection as its last one; end when the last one has gone.
    Retire,
    /// The same, but close those at once that wait for no answer.
    Quit,
}

impl Order {
    const fn byte(self) -> u8 {
        match self {
            Self::Retire => b'r',
            Self::Quit => b'q',
        }
    }

    /// Gives the order.
    ///
    /// # Errors
    /// Those of the pipe: the worker may have gone.
    pub fn give(self, orders: &mut impl Write) -> io::Result<()> {
        orders.write_all(&[self.byte()])
    }

    /// Takes the next order; nothing at the end of the pipe, which is the order to end at once.
    ///
    /// # Errors
    /// `WouldBlock` where there is no order.
    pub(crate) fn take(orders: &mut impl Read) -> io::Result<Option<Self>> {
        let mut byte = [0];
        Ok(match orders.read(&mut byte)? {
            0 => None,
            _ if byte[0] == Self::Retire.byte() => Some(Self::Retire),
            _ => Some(Self::Quit),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_order_arrives_as_it_was_given() {
        let mut pipe = Vec::new();
        for order in [Order::Retire, Order::Quit] {
            order.give(&mut pipe).unwrap();
        }
        let mut end = pipe.as_slice();
        assert_eq!(Order::take(&mut end).unwrap(), Some(Order::Retire));
        assert_eq!(Order::take(&mut end).unwrap(), Some(Order::Quit));
        assert_eq!(Order::take(&mut end).unwrap(), None);
    }
}
