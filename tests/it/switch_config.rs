//! The block `switch { }` and `state_dir`: their values, and their errors.

use std::fs;
use std::path::Path;

use maintd::config::nginx::{ParsedConfig, read};
use maintd::config::switch::{Backend, Redirect};
use maintd::config::{Config, SwitchConfig};
use tempfile::TempDir;

const SERVER: &str = "server { listen 127.0.0.1:0; return 503 page; }\n";

fn parsed(text: &str) -> ParsedConfig {
    let directory = TempDir::new().unwrap();
    let file = directory.path().join("maintd.conf");
    fs::write(&file, format!("{text}\n{SERVER}")).unwrap();
    read(&file).unwrap()
}

fn config(text: &str) -> Config {
    let parsed = parsed(text);
    assert_eq!(parsed.errors, [], "{text}");
    assert_eq!(parsed.remarks, [], "{text}");
    parsed.config
}

#[test]
fn without_the_block_the_defaults_are_those_of_the_recipe() {
    assert_eq!(config("").switch, SwitchConfig::default());
    assert_eq!(config("switch { }").switch, SwitchConfig::default());
    assert_eq!(config("").state_dir, Path::new("/var/db/maintd"));
    let default = SwitchConfig {
        backend: Backend::Pf,
        ..SwitchConfig::default()
    };
    assert_eq!(default.table(), "maintenance");
    let default = SwitchConfig {
        backend: Backend::Nft,
        ..default
    };
    assert_eq!(default.table(), "maintd");
}

#[test]
fn every_directive_is_honoured() {
    let config = config(
        "state_dir /var/lib/maintd;\nswitch {\n  backend pf; table down; label_maintenance m-1; label_normal n_2;\n  \
         redirect 80 9080; redirect 8000 9000;\n  family inet6;\n  except 192.0.2.10 2001:db8::/32; except 198.51.100.0/24;\n  \
         live 203.0.113.5; live 2001:db8::5;\n}",
    );
    assert_eq!(config.state_dir, Path::new("/var/lib/maintd"));
    let switch = config.switch;
    assert_eq!(switch.backend, Backend::Pf);
    assert_eq!(switch.table(), "down");
    assert_eq!(
        (&*switch.label_maintenance, &*switch.label_normal),
        ("m-1", "n_2")
    );
    let redirects = [
        Redirect { from: 80, to: 9080 },
        Redirect {
            from: 8000,
            to: 9000,
        },
    ];
    assert_eq!(switch.redirects, redirects);
    let texts: Vec<_> = switch.except.iter().map(ToString::to_string).collect();
    assert_eq!(texts, ["192.0.2.10", "2001:db8::/32", "198.51.100.0/24"]);
    let texts: Vec<_> = switch.live.iter().map(ToString::to_string).collect();
    assert_eq!(texts, ["203.0.113.5", "2001:db8::5"]);
    let texts: Vec<_> = switch.families.iter().map(|family| family.name()).collect();
    assert_eq!(texts, ["inet6"]);
}

/// The error of a directive in the block, and its column in the second line.
#[test]
fn every_error_is_reported_at_its_position() {
    for (directive, column, expected) in [
        (
            "backend ipfw;",
            9,
            "wrong value \"ipfw\" for backend; give pf or nft",
        ),
        (
            "backend;",
            1,
            "backend takes one value; write backend VALUE;",
        ),
        (
            "table 1st;",
            7,
            "wrong value \"1st\" for table; give a name of at most 31 letters",
        ),
        ("table a b;", 1, "table takes one value"),
        (
            "label_normal 'a b';",
            14,
            "wrong value \"a b\" for label_normal; give a name of at most 63 letters",
        ),
        (
            "label_normal www-maintenance;",
            1,
            "both labels are the same",
        ),
        (
            "redirect 80;",
            1,
            "redirect takes two ports; write redirect 80 8080;",
        ),
        (
            "redirect 80 0;",
            13,
            "wrong value \"0\" for redirect; give a port from 1 to 65535",
        ),
        ("redirect x 80;", 10, "wrong value \"x\" for redirect"),
        (
            "redirect 80 80;",
            10,
            "port 80 cannot be redirected to itself",
        ),
        (
            "redirect 80 81; redirect 80 82;",
            26,
            "port 80 is redirected twice; delete one",
        ),
        (
            "family;",
            1,
            "family without a value; write family inet inet6;",
        ),
        (
            "family inet ipv6;",
            13,
            "wrong value \"ipv6\" for family; give inet, inet6 or both",
        ),
        (
            "except;",
            1,
            "except without an address; write except ADDR;",
        ),
        (
            "except example.org;",
            8,
            "\"example.org\" is not an address; write one as 192.0.2.10",
        ),
        (
            "except 192.0.2.0/33;",
            8,
            "\"192.0.2.0/33\" has too many bits",
        ),
        (
            "live 192.0.2.0/24;",
            1,
            "192.0.2.0/24 is a network; write live ADDR;",
        ),
        (
            "tabel x;",
            1,
            "unknown directive \"tabel\" in switch; write one of backend, table,",
        ),
    ] {
        let errors = parsed(&format!("switch {{\n{directive}\n}}")).errors;
        let [error] = errors.as_slice() else {
            panic!("{directive}: {errors:?}");
        };
        assert_eq!(
            (error.position.line, error.position.column),
            (2, column),
            "{directive}: {}",
            error.what
        );
        assert!(
            error.what.starts_with(expected),
            "{directive}: {}",
            error.what
        );
    }
}

#[test]
fn the_block_is_one_and_at_the_top() {
    let errors = parsed("switch on;").errors;
    assert_eq!(
        errors[0].what,
        "switch without a block; write switch { ... }"
    );
    let errors =
        parsed("server { listen 127.0.0.1:0; return 503 page; switch { backend pf; } }").errors;
    assert_eq!(errors.len(), 1, "{errors:?}");
    assert_eq!(
        errors[0].what,
        "switch belongs at the top level; move it out of server"
    );
}

/// For a host whose responder is another maintd, or without settings.
#[test]
fn a_file_may_have_the_switch_alone() {
    let directory = TempDir::new().unwrap();
    let file = directory.path().join("maintd.conf");
    fs::write(&file, "retry_after 60; switch { except 192.0.2.10; }").unwrap();
    let parsed = read(&file).unwrap();
    assert_eq!(parsed.errors, []);
    let default = Config::default();
    assert_eq!(parsed.config.endpoints, default.endpoints);
    assert_eq!(parsed.config.sites.len(), 1);
    assert_eq!(parsed.config.sites[0].retry_after.as_secs(), 60);
    fs::write(&file, "worker_processes 1; switch { except 192.0.2.10; }").unwrap();
    let errors = read(&file).unwrap().errors;
    assert!(errors[0].what.starts_with("no server; "), "{errors:?}");
}
