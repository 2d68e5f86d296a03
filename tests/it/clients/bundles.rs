//! Files as authorities, editors and shells leave them: served with the whole chain, or refused with what to do.

use std::fs;
use std::path::PathBuf;

use crate::clients::openssl::{assert_page, s_client};
use crate::clients::{Site, run};
use crate::common::certificates::{Delivery, p256};
use crate::common::{Ended, maintd, require_tool};

/// A certificate file and a key file, with the files that an authority delivered.
struct Files {
    delivery: Delivery,
    cert: PathBuf,
    key: PathBuf,
}

impl Files {
    /// With the files as delivered; `None` without openssl.
    fn new() -> Option<Self> {
        if !require_tool("openssl") {
            return None;
        }
        let delivery = Delivery::new();
        let files = Self {
            cert: delivery.directory().join("cert.pem"),
            key: delivery.directory().join("key.pem"),
            delivery,
        };
        fs::write(&files.cert, files.delivery.fullchain()).unwrap();
        fs::write(&files.key, &files.delivery.key).unwrap();
        Some(files)
    }

    fn flags(&self) -> [&str; 4] {
        let [cert, key] = [&self.cert, &self.key].map(|path| path.to_str().unwrap());
        ["--cert", cert, "--key", key]
    }

    /// A client that knows the root alone gets the page; returns the subjects of what it is sent.
    #[track_caller]
    fn assert_served(&self) -> Vec<String> {
        let site = Site::with_flags(&self.flags());
        let root = self.delivery.directory().join("root.pem");
        let root = root.to_str().unwrap();
        let ended = s_client(
            &site,
            &["-CAfile", root, "-verify_return_error", "-showcerts"],
        );
        assert_page(&ended);
        let lines = ended.stdout.lines().map(str::trim_start);
        let subjects = lines.filter_map(|line| line.split_once(" s:"));
        subjects
            .map(|(_, subject)| subject.replace("CN = ", ""))
            .collect()
    }

    /// Both `serve` and `check` refuse it with this message, in which `DIR` stands for the directory.
    #[track_caller]
    fn assert_refused(&self, line: &str) {
        let directory = self.delivery.directory();
        let line = line.replace("DIR", directory.to_str().unwrap());
        for command in ["check", "serve"] {
            let ended = self.maintd(command);
            assert_eq!(ended.status, Some(1), "{}", ended.all());
            let last = ended.stderr.lines().last().unwrap();
            assert_eq!(last, format!("maintd: {line}"), "{}", ended.all());
        }
    }

    /// What `check` warns of, without the name of the file.
    fn warnings(&self) -> Vec<String> {
        let ended = self.maintd("check");
        assert_eq!(ended.status, Some(0), "{}", ended.all());
        let file = format!("maintd: warning: certificate \"{}\"", self.cert.display());
        let warnings = ended
            .stderr
            .lines()
            .filter_map(|line| line.strip_prefix(&file));
        warnings.map(str::to_owned).collect()
    }

    fn maintd(&self, command: &str) -> Ended {
        let mut maintd = maintd();
        maintd.args([command, "--tls-listen", "127.0.0.1:0"]);
        run(maintd.args(self.flags()), "")
    }
}

const BOM: &str = "\u{feff}";

#[test]
fn bundles_as_they_are_delivered_are_served_whole() {
    let Some(files) = Files::new() else { return };
    let Delivery {
        leaf, intermediate, ..
    } = &files.delivery;
    let show = |name: &str| {
        let line = format!("x509 -in {name}.pem -text");
        files.delivery.openssl(&line)
    };
    let export = "pkcs12 -export -in cert.pem -inkey leaf.key -passout pass:x -out site.p12";
    files.delivery.openssl(export);
    let bag = "pkcs12 -in site.p12 -passin pass:x -nodes";
    for (name, text) in [
        ("certbot", files.delivery.fullchain()),
        ("openssl x509 -text", show("leaf") + &show("intermediate")),
        ("openssl pkcs12", files.delivery.openssl(bag)),
        ("BOMs", format!("{BOM}{leaf}{BOM}{intermediate}")),
        (
            "DOS",
            format!("{BOM}{leaf}\r\n{intermediate}").replace('\n', "\r\n"),
        ),
        (
            "blanks",
            format!("{leaf}{intermediate}").replace('\n', "  \n\n\t"),
        ),
        (
            "older labels",
            format!("{leaf}{intermediate}").replace(" CERTIFICATE", " X509 CERTIFICATE"),
        ),
        (
            "trusted",
            files
                .delivery
                .openssl("x509 -in leaf.pem -addtrust serverAuth -trustout")
                + &files
                    .delivery
                    .openssl("x509 -in intermediate.pem -trustout"),
        ),
    ] {
        fs::write(&files.cert, text).unwrap();
        assert_eq!(
            files.assert_served(),
            ["localhost", "Intermediate"],
            "{name}"
        );
        assert!(files.warnings().is_empty(), "{name}");
    }
}

#[test]
fn keys_as_they_are_delivered_are_used() {
    let Some(files) = Files::new() else { return };
    let key = &files.delivery.key;
    let older = files.delivery.openssl("ec -in leaf.key");
    let parameters = files.delivery.openssl("ecparam -name prime256v1");
    let text = files.delivery.openssl("pkey -in leaf.key -text");
    for (name, text) in [
        ("text", text),
        ("parameters", format!("{parameters}{older}")),
        ("BOM and DOS", format!("{BOM}{key}").replace('\n', "\r\n")),
        ("blanks", key.replace('\n', " \n\n\t")),
        ("certificates before it", files.delivery.fullchain() + key),
        (
            "attributes",
            format!("Bag Attributes\n    localKeyID: 01\nKey Attributes: <No Attributes>\n{key}"),
        ),
    ] {
        fs::write(&files.key, text).unwrap();
        assert_eq!(
            files.assert_served(),
            ["localhost", "Intermediate"],
            "{name}"
        );
    }
}

#[test]
fn a_damaged_bundle_is_refused_at_its_line() {
    let Some(files) = Files::new() else { return };
    let Delivery {
        leaf, intermediate, ..
    } = &files.delivery;
    let end = leaf.lines().count();
    let second = end + 1;
    let glued = leaf.trim_end().to_owned() + intermediate;
    let copy = format!("copy the CERTIFICATE of line {second} again");
    for (text, line) in [
        (
            glued,
            format!(
                "DIR/cert.pem:{end}: \"-----BEGIN ...\" within a line; put it on a line of its own"
            ),
        ),
        (
            format!("{leaf}-{intermediate}"),
            format!(
                "DIR/cert.pem:{second}: a damaged marker; write \"-----BEGIN LABEL-----\" or \"-----END LABEL-----\" alone on the line"
            ),
        ),
        (
            format!("{leaf}{}", &intermediate[1..]),
            format!(
                "DIR/cert.pem:{second}: a damaged marker; write \"-----BEGIN LABEL-----\" or \"-----END LABEL-----\" alone on the line"
            ),
        ),
        (
            format!("{leaf}{}", intermediate.replacen("\nMI", "\nM.", 1)),
            format!("DIR/cert.pem:{}: \".\" is not base64; {copy}", second + 1),
        ),
        (
            format!("{leaf}{}", &intermediate[..200]),
            format!(
                "DIR/cert.pem:{second}: \"-----BEGIN CERTIFICATE-----\" without its end; copy the file again, or add \"-----END CERTIFICATE-----\""
            ),
        ),
        (
            // A line of its base64 is missing.
            format!("{leaf}{}{}", &intermediate[..28], &intermediate[28 + 65..]),
            format!("DIR/cert.pem:{second}: not a certificate, or a damaged one; copy it again"),
        ),
    ] {
        fs::write(&files.cert, text).unwrap();
        files.assert_refused(&line);
    }
}

#[test]
fn other_formats_are_refused_with_the_command_that_converts_them() {
    let Some(files) = Files::new() else { return };
    let delivery = &files.delivery;
    for line in [
        "x509 -in leaf.pem -outform DER -out leaf.der",
        "crl2pkcs7 -nocrl -certfile cert.pem -out chain.p7b",
        "crl2pkcs7 -nocrl -certfile cert.pem -outform DER -out chain.p7b.der",
        "pkcs12 -export -in cert.pem -inkey leaf.key -passout pass:x -out site.p12",
        "pkey -in leaf.key -outform DER -out key.der",
        "ec -in leaf.key -outform DER -out older.der",
        "pkey -in leaf.key -aes256 -passout pass:x -out locked.key",
        "ec -in leaf.key -aes256 -passout pass:x -out older-locked.key",
    ] {
        delivery.openssl(line);
    }
    let utf_16: Vec<u8> = BOM
        .encode_utf16()
        .chain(delivery.leaf.encode_utf16())
        .flat_map(u16::to_le_bytes)
        .collect();
    fs::write(delivery.directory().join("utf-16.pem"), utf_16).unwrap();
    let convert = |command: &str| format!("it is not PEM; convert it with \"openssl {command}\"");
    let locked = "it is encrypted; decrypt it with \"openssl pkey -in FILE -out FILE.pem\"";
    let iconv = "it is UTF-16; convert it with \"iconv -f UTF-16 -t UTF-8 FILE > FILE.pem\"";
    for (is_key, name, cause) in [
        (false, "leaf.der", convert("x509 -inform DER -in FILE -out FILE.pem")),
        (false, "chain.p7b.der", convert("pkcs7 -inform DER -print_certs -in FILE -out FILE.pem")),
        (false, "site.p12", convert("pkcs12 -in FILE -nokeys -out FILE.pem")),
        (false, "chain.p7b", "no CERTIFICATE in it but PKCS7; convert it with \"openssl pkcs7 -print_certs -in FILE -out FILE.pem\"".to_owned()),
        (false, "leaf.csr", "no CERTIFICATE in it but CERTIFICATE REQUEST; give another file".to_owned()),
        (false, "utf-16.pem", iconv.to_owned()),
        (true, "key.der", convert("pkey -inform DER -in FILE -out FILE.pem")),
        (true, "older.der", convert("pkey -inform DER -in FILE -out FILE.pem")),
        (true, "site.p12", convert("pkcs12 -in FILE -nocerts -nodes -out FILE.pem")),
        (true, "locked.key", locked.to_owned()),
        (true, "older-locked.key", locked.to_owned()),
    ] {
        let (what, file, right) = if is_key {
            ("key", &files.key, "leaf.key")
        } else {
            ("certificate", &files.cert, "leaf.pem")
        };
        fs::copy(delivery.directory().join(name), file).unwrap();
        files.assert_refused(&format!("cannot read {what} \"{}\": {cause}", file.display()));
        fs::copy(delivery.directory().join(right), file).unwrap();
    }
}

/// nginx refuses it as well: the first certificate is the server's.
#[test]
fn the_certificate_that_a_key_belongs_to_is_named() {
    let Some(files) = Files::new() else { return };
    let Delivery {
        leaf, intermediate, ..
    } = &files.delivery;
    fs::write(&files.cert, format!("{intermediate}{leaf}")).unwrap();
    let line = intermediate.lines().count() + 1;
    files.assert_refused(&format!(
        "key \"DIR/key.pem\" belongs to certificate 2 of \"DIR/cert.pem\" (\"CN=localhost\", line {line}), \
         not to the first; move that one to the top"
    ));
    // What is wrong is not the chain behind the first.
    let ended = files.maintd("check");
    assert!(!ended.stderr.contains("warning"), "{}", ended.all());

    fs::write(&files.cert, files.delivery.fullchain()).unwrap();
    fs::copy(files.delivery.directory().join("root.key"), &files.key).unwrap();
    files.assert_refused(
        "key \"DIR/key.pem\" is not the key of certificate \"DIR/cert.pem\" (\"CN=localhost\"); \
         give the key of this certificate",
    );

    // The keys of two pairs are exchanged.
    let other = p256(&["other.example"]);
    let mut maintd = maintd();
    maintd.args(["check", "--tls-listen", "127.0.0.1:0"]);
    for (cert, key) in [(&other.cert, &files.key), (&files.cert, &other.key)] {
        maintd.arg("--cert").arg(cert).arg("--key").arg(key);
    }
    fs::write(&files.key, &files.delivery.key).unwrap();
    let ended = run(&mut maintd, "");
    for (key, its, given) in [
        (&files.key, &files.cert, &other.cert),
        (&other.key, &other.cert, &files.cert),
    ] {
        let [key, its, given] = [key, its, given].map(|path| path.display());
        let line = format!(
            "maintd: key \"{key}\" belongs to certificate \"{its}\", not to \"{given}\"; give each certificate its own key\n"
        );
        assert!(ended.stderr.contains(&line), "{}", ended.all());
    }
}

#[test]
fn an_rsa_key_that_is_too_small_is_refused_by_its_size() {
    let Some(files) = Files::new() else { return };
    for form in ["", " -traditional"] {
        let line = "req -x509 -newkey rsa:1024 -nodes -subj /CN=a -keyout key.pem -out cert.pem";
        files.delivery.openssl(line);
        files
            .delivery
            .openssl(&format!("rsa -in key.pem -out key.pem{form}"));
        files.assert_refused(
            "cannot use key \"DIR/key.pem\": RSA key of 1024 bits is too small; \
             make one of 2048 bits, and a certificate for it",
        );
    }
}

#[test]
fn a_chain_in_the_wrong_order_is_sent_in_the_right_one() {
    let Some(files) = Files::new() else { return };
    let Delivery {
        leaf,
        intermediate,
        root,
        ..
    } = &files.delivery;
    let lines = leaf.lines().count();
    let (second, third) = (lines + 1, lines + root.lines().count() + 1);
    fs::write(&files.cert, format!("{leaf}{root}{intermediate}")).unwrap();
    assert_eq!(files.assert_served(), ["localhost", "Intermediate", "Root"]);
    assert_eq!(
        files.warnings(),
        [
            format!(
                ": its chain is in the wrong order; it is sent in the correct one: \"CN=localhost\" (line 1), \
                 \"CN=Intermediate\" (line {third}), \"CN=Root\" (line {second})"
            ),
            format!(
                ": \"CN=Root\" (line {second}) is the root, which clients already have; delete it"
            ),
        ]
    );
}

#[test]
fn check_warns_of_what_is_missing_from_a_bundle_and_of_what_is_too_much() {
    let Some(files) = Files::new() else { return };
    let Delivery {
        leaf, intermediate, ..
    } = &files.delivery;
    fs::write(&files.cert, leaf).unwrap();
    assert_eq!(
        files.warnings(),
        [
            ": the certificate of its issuer \"CN=Intermediate\" is missing; append it from \
          http://ca.example/intermediate.crt, unless clients trust it as a root"
        ]
    );

    // What is no part of the chain is sent behind it, and each certificate once.
    let other = fs::read_to_string(p256(&["other.example"]).cert).unwrap();
    fs::write(&files.cert, format!("{leaf}{other}{intermediate}{leaf}")).unwrap();
    assert_eq!(
        files.assert_served(),
        ["localhost", "Intermediate", "other.example"]
    );
    let (second, fourth) = (
        leaf.lines().count() + 1,
        format!("{leaf}{other}{intermediate}").lines().count() + 1,
    );
    let unrelated = "does not belong to its chain; delete it";
    assert_eq!(
        files.warnings(),
        [
            format!(": \"CN=other.example\" (line {second}) {unrelated}"),
            format!(": line {fourth} repeats the certificate of line 1; delete it"),
        ]
    );
}

#[test]
fn check_warns_of_an_ed25519_certificate_that_stands_alone() {
    let Some(files) = Files::new() else { return };
    let line =
        "req -x509 -newkey ed25519 -nodes -days 30 -subj /CN=a -keyout key.pem -out cert.pem";
    files.delivery.openssl(line);
    let warning =
        " has an Ed25519 key, which browsers do not support; add an ECDSA or RSA certificate";
    assert_eq!(files.warnings(), [warning]);
    let other = p256(&["a"]);
    let mut maintd = maintd();
    maintd.args(["check", "--tls-listen", "127.0.0.1:0"]);
    let ended = run(maintd.args(files.flags()).args(other.flags()), "");
    assert!(!ended.stderr.contains(warning), "{}", ended.all());
}
