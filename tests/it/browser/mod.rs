//! The embedded page in real browsers: layout, accessibility, and the return to the site.
//!
//! `.ci/screenshots` runs this to make the pictures of the README, with axe-core from npm.

mod chromium;
mod firefox;
mod returns;
mod sent;

use std::env;
use std::fs;
use std::net::SocketAddr;
use std::path::PathBuf;

use crate::browser::chromium::Chromium;
use crate::common::{Server, require_tool};
use serde_json::json;
use tempfile::TempDir;

/// The page as it is while a maintenance is announced.
fn announced() -> String {
    let mut page = include_str!("../../../www/maintenance.html").to_owned();
    let start = page.find("{{^until}}").unwrap();
    let end = page.find("{{/until}}").unwrap() + "{{/until}}".len();
    page.replace_range(start..end, "");
    for (name, value) in [
        ("until", "2026-11-25 21:00 (UTC+01:00)"),
        (
            "message",
            "We are moving to larger disks. Orders placed before eight o\u{2019}clock are safe.",
        ),
    ] {
        for sign in ["#", "/"] {
            page = page.replace(&format!("{{{{{sign}{name}}}}}"), "");
        }
        page = page.replace(&format!("{{{{{name}}}}}"), value);
    }
    page
}

struct View {
    name: &'static str,
    size: (u32, u32),
    scheme: &'static str,
}

const VIEWS: [View; 4] = [
    View {
        name: "phone-light",
        size: (390, 844),
        scheme: "light",
    },
    View {
        name: "phone-dark",
        size: (390, 844),
        scheme: "dark",
    },
    View {
        name: "desktop-light",
        size: (1280, 800),
        scheme: "light",
    },
    View {
        name: "desktop-dark",
        size: (1280, 800),
        scheme: "dark",
    },
];

#[test]
fn layout_is_right_in_every_view() {
    if !require_tool("chromium") {
        return;
    }
    let directory = TempDir::new().unwrap();
    let page = directory.path().join("page.html");
    fs::write(&page, announced()).unwrap();
    let pictures = env::var_os("MAINTD_SCREENSHOTS").map(PathBuf::from);
    let axe = env::var_os("MAINTD_AXE").map(|path| fs::read_to_string(path).unwrap());
    let mut chromium = Chromium::start();
    for (kind, flags) in [
        ("", vec![]),
        ("-announced", vec!["--page", page.to_str().unwrap()]),
    ] {
        let server = Server::start(&flags);
        let target = chromium.open("about:blank");
        let session = chromium.attach(&target);
        // Before the end that is announced.
        chromium.call(Some(&session), "Page.enable", json!({}));
        let clock = json!({"source": "Date.now = () => Date.UTC(2026, 10, 25)"});
        chromium.call(
            Some(&session),
            "Page.addScriptToEvaluateOnNewDocument",
            clock,
        );
        let go = json!({"url": format!("https://localhost:{}/some/where", server.https.port())});
        chromium.call(Some(&session), "Page.navigate", go);
        chromium.wait_until(
            &session,
            "location.protocol == 'https:' && document.readyState == 'complete'",
        );
        for view in &VIEWS {
            let (width, height) = view.size;
            let size = json!({"width": width, "height": height, "deviceScaleFactor": 1, "mobile": width < 500});
            chromium.call(Some(&session), "Emulation.setDeviceMetricsOverride", size);
            let features = json!({"features": [
                {"name": "prefers-color-scheme", "value": view.scheme},
                {"name": "prefers-reduced-motion", "value": "reduce"},
            ]});
            chromium.call(Some(&session), "Emulation.setEmulatedMedia", features);
            // Nothing is cut off.
            let fits = "document.documentElement.scrollWidth <= innerWidth";
            assert_eq!(
                chromium.evaluate(&session, fits),
                true,
                "{}{kind}",
                view.name
            );
            let shown = "document.querySelector('h1').innerText + document.querySelectorAll('main, [lang]').length";
            assert_eq!(chromium.evaluate(&session, shown), "Down for maintenance2");
            if let Some(axe) = &axe {
                chromium.evaluate(&session, &format!("{axe}; 0"));
                let found = chromium.evaluate(
                    &session,
                    "axe.run().then(it => JSON.stringify(it.violations))",
                );
                assert_eq!(found, "[]", "{}{kind}", view.name);
            }
            if let Some(pictures) = &pictures {
                let taken = chromium.call(
                    Some(&session),
                    "Page.captureScreenshot",
                    json!({"format": "png"}),
                );
                let path = pictures.join(format!("{}{kind}.png.base64", view.name));
                fs::write(path, taken["data"].as_str().unwrap()).unwrap();
            }
        }
        let date_time =
            chromium.evaluate(&session, "document.querySelector('time')?.dateTime ?? ''");
        let expected = if kind.is_empty() {
            ""
        } else {
            "2026-11-25T20:00:00.000Z"
        };
        assert_eq!(date_time, expected);
    }
}

/// A tab with the page of a plaintext server.
fn tab(chromium: &mut Chromium, address: SocketAddr) -> String {
    let target = chromium.open(&format!("http://{address}/tab"));
    let session = chromium.attach(&target);
    chromium.wait_until(
        &session,
        "document.title == 'Down for maintenance' && document.readyState == 'complete'",
    );
    session
}

#[test]
fn polling_survives_changes_of_the_clock() {
    if !require_tool("chromium") {
        return;
    }
    let server = Server::start(&[]);
    let mut chromium = Chromium::start();
    let session = tab(&mut chromium, server.http);
    // Set back by decades, it still polls; and an event too soon after that leaves the next poll scheduled.
    let counted =
        "Date.now = () => 0; performance.now = () => 1e6; asks = waits = 0; still = setTimeout;
        fetch = () => { asks++; return Promise.resolve({ status: 503 }); };
        setTimeout = (...what) => { waits++; return still(...what); };
        dispatchEvent(new Event('online')); dispatchEvent(new Event('focus')); `${asks} ${waits}`";
    assert_eq!(chromium.evaluate(&session, counted), "1 2");
}

#[test]
fn a_past_end_is_not_shown() {
    if !require_tool("chromium") {
        return;
    }
    let directory = TempDir::new().unwrap();
    let page = directory.path().join("page.html");
    fs::write(&page, announced().replace("2026-11-25", "2020-02-02")).unwrap();
    let server = Server::start(&["--page", page.to_str().unwrap()]);
    let mut chromium = Chromium::start();
    let session = tab(&mut chromium, server.http);
    let shown = chromium.evaluate(&session, "document.querySelector('p').innerText");
    assert_eq!(
        shown,
        "This site is being worked on and will be back shortly."
    );
    assert_eq!(
        chromium.evaluate(&session, "!document.querySelector('time')"),
        true
    );
}

#[test]
fn an_end_passes_while_the_page_is_open() {
    if !require_tool("chromium") {
        return;
    }
    let directory = TempDir::new().unwrap();
    let page = directory.path().join("page.html");
    fs::write(&page, announced().replace("2026-11-25", "2126-11-25")).unwrap();
    let server = Server::start(&["--page", page.to_str().unwrap()]);
    let mut chromium = Chromium::start();
    let session = tab(&mut chromium, server.http);
    let has_time = "!!document.querySelector('time')?.dateTime";
    assert_eq!(chromium.evaluate(&session, has_time), true);
    let later = "Date.now = () => Date.UTC(2126, 10, 26); dispatchEvent(new Event('focus')); 0";
    chromium.evaluate(&session, later);
    chromium.wait_until(
        &session,
        "!document.querySelector('time') && /back shortly/.test(document.querySelector('p').innerText)",
    );
}
