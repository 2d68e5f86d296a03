//! 15,000 idle connections.

use crate::common::{Port, process};
use crate::{Crowd, alone, assert_answers, descriptors_suffice, start, tcp_from};

const IDLE: usize = 15_000;

#[test]
fn idle_connections_are_held_while_new_ones_are_answered() {
    let _alone = alone();
    if !descriptors_suffice(15_200) {
        return;
    }
    let (mut server, _page) = start();
    let address = server.http;
    let mut crowd = Crowd::new(move |number| tcp_from(number, address));
    while crowd.held.len() < IDLE {
        crowd.grow(1000);
        assert_answers(&server, Port::Plaintext);
        assert_answers(&server, Port::Tls);
    }
    // The server holds them too, not only the client.
    assert!(process::open_descriptors(server.worker()) > IDLE);
    crowd.assert_all_held();
    assert!(server.is_running());
}
