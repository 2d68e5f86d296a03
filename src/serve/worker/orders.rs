//! Orders of the supervisor to a worker, one byte each, through a pipe. When the pipe is closed, the worker exits at once.

use std::io::{self, Read, Write};

/// An order, which cannot be taken back.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Order {
    /// Accept no more; answer the next request of every connection as its last one; exit after the last connection.
    Retire,
    /// The same, but close idle connections at once.
    Quit,
}

impl Order {
    const fn byte(self) -> u8 {
        match self {
            Self::Retire => b'r',
            Self::Quit => b'q',
        }
    }

    /// Sends the order.
    ///
    /// # Errors
    /// Those of the pipe: the worker may have exited.
    pub fn send(self, orders: &mut impl Write) -> io::Result<()> {
        orders.write_all(&[self.byte()])
    }

    /// Receives the next order; `None` if the pipe is closed.
    ///
    /// # Errors
    /// `WouldBlock` if there is no order.
    pub(crate) fn receive(orders: &mut impl Read) -> io::Result<Option<Self>> {
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
    fn an_order_is_received_as_it_was_sent() {
        let mut pipe = Vec::new();
        for order in [Order::Retire, Order::Quit] {
            order.send(&mut pipe).unwrap();
        }
        let mut end = pipe.as_slice();
        assert_eq!(Order::receive(&mut end).unwrap(), Some(Order::Retire));
        assert_eq!(Order::receive(&mut end).unwrap(), Some(Order::Quit));
        assert_eq!(Order::receive(&mut end).unwrap(), None);
    }
}
