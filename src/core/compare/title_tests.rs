//! The short texts.

use crate::core::{
    compare::*,
    model::{Name, words::Difference},
};

fn image(from: &str, to: &str) -> String {
    title(&[changed("proxy", &[("/image", from, to)])])
}

fn changed(sidecar: &str, fields: &[(&str, &str, &str)]) -> SidecarDifference {
    let fields = fields.iter().map(|(pointer, running, rendered)| FieldChange {
        pointer: (*pointer).to_owned(),
        plain: None,
        running: Some((*running).into()),
        rendered: Some((*rendered).into()),
    });
    SidecarDifference { sidecar: Name::from(sidecar), difference: Difference::Changed, fields: fields.collect() }
}

#[test]
fn images_are_as_short_as_they_can_be_without_lying() {
    assert_eq!(image("x/proxy:1.27.0", "x/proxy:1.27.1"), "proxy image 1.27.0 → 1.27.1");
    assert_eq!(image("x:5000/p:1@sha256:aa", "x:5000/p:2@sha256:bb"), "proxy image 1 → 2");
    assert_eq!(image("x/p:1", "y/p:1"), "proxy image x/p:1 → y/p:1");
    assert_eq!(image("x/p:1", "y/p:2"), "proxy image x/p:1 → y/p:2");
    assert_eq!(image("x:5000/p", "x:5000/p:2"), "proxy image x:5000/p → x:5000/p:2");
    assert_eq!(
        image("p:1@sha256:0123456789abcdef", "p:1@sha256:fedcba9876543210"),
        "proxy image sha256:0123456789ab → sha256:fedcba987654"
    );
    let (one, other) = ("sha256:0123456789abcdef", "sha256:fedcba9876543210");
    for (from, to) in [("x/p@", "y/p@"), ("x/p:1@", "y/p:1@"), ("p@", "p:1@")] {
        let (from, to) = (format!("{from}{one}"), format!("{to}{other}"));
        assert_eq!(image(&from, &to), format!("proxy image {from} → {to}"), "the digest is not all that changed");
    }
    assert_eq!(image("p:1", "p:1@sha256:aa"), "proxy image p:1 → p:1@sha256:aa");
    let mut added = changed("proxy", &[("/image", "", "p:1")]);
    added.fields[0].running = None;
    assert_eq!(title(&[added]), "proxy image none → p:1");
}

#[test]
fn what_others_wrote_is_one_line_cut_and_harmless_in_a_heading() {
    let hostile = "mesh:v0\nThe breaker opened: call 555 \u{202e}\u{9b}2J";
    let heading = image("mesh:v1", hostile);
    assert!(!heading.contains(|c: char| c.is_control() || c == '\u{202e}'), "{heading:?}");
    assert!(heading.contains("v0 The breaker opened"), "{heading}");
    assert!(image("mesh:v1", &"x".repeat(100_000)).len() < 600);
    let of = |name: &str| title(&[changed(name, &[("/env/A\nB/value", "1", "2")])]);
    assert_eq!(of("pro\nxy"), "pro xy env A B");

    // A Pod of 3,000 sidecars has a heading like any other, and that of another one is another.
    let many = |last: &str| {
        let names = (0..3000).map(|n| format!("sidecar-{n}")).chain([last.to_owned()]);
        title(&names.map(|name| changed(&name, &[("/args/0", "1", "2")])).collect::<Vec<_>>())
    };
    assert!(many("z").len() <= 512, "{}", many("z").len());
    assert_ne!(many("z"), many("zz"));
}

#[test]
fn other_fields_are_named_without_their_values() {
    let of = |fields: &[(&str, &str, &str)]| title(&[changed("proxy", fields)]);
    assert_eq!(of(&[("/args/0", "secret", "other"), ("/args/1", "a", "b")]), "proxy args");
    assert_eq!(of(&[("/command/0", "a", "b"), ("/envFrom/0/configMapRef/name", "a", "b")]), "proxy command, envFrom");
    assert_eq!(of(&[("/env/PROXY_CONFIG/value/port", "1", "2")]), "proxy env PROXY_CONFIG");
    assert_eq!(of(&[("/env/A/value", "1", "2"), ("/env/A/encoding", "1", "2")]), "proxy env A");
    assert_eq!(of(&[("/env/A/value", "1", "2"), ("/env/B/value", "1", "2")]), "proxy env (2)");
    assert_eq!(
        of(&[("/args", "1", "2"), ("/image", "p:1", "p:2"), ("/env/A/value", "1", "2")]),
        "proxy image 1 → 2, args, env A"
    );
}

#[test]
fn no_heading_is_without_a_subject() {
    let of = |fields: &[(&str, &str, &str)]| title(&[changed("proxy", fields)]);
    assert_eq!(of(&[("/imagePullPolicy", "Always", "IfNotPresent")]), "proxy imagePullPolicy");
    assert_eq!(of(&[("/resources/limits/cpu", "1", "2"), ("/resources/limits/memory", "1", "2")]), "proxy resources");
    assert_eq!(
        of(&[
            ("/volumeMounts/~1etc/name", "a", "b"),
            ("/image", "p:1", "p:2"),
            ("/livenessProbe/periodSeconds", "1", "2")
        ]),
        "proxy image 1 → 2, livenessProbe, volumeMounts"
    );
    assert_eq!(of(&[("/env", "a", "b")]), "proxy env");
    assert_eq!(of(&[("/imagePullPolicy", "a", "b"), ("/args/0", "a", "b")]), "proxy args, imagePullPolicy");
}

#[test]
fn sidecars_are_joined() {
    let a = changed("a", &[("/image", "p:1", "p:2")]);
    let b = changed("b", &[("/image", "p:1", "p:2")]);
    let c = changed("c", &[("/args/0", "1", "2")]);
    assert_eq!(title(&[a.clone(), b, c.clone()]), "a + b image 1 → 2 + c args");
    assert_eq!(title(&[c, a.clone(), a]), "a image 1 → 2 + c args", "of several Pods, in any order");
}
