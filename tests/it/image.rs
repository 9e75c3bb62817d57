//! The image, as far as it can be checked without building it: its build context, and what the Dockerfile says that others say, too.

use std::{
    collections::BTreeSet,
    fs,
    io::Write as _,
    path::{Path, PathBuf},
    process::{Command, Stdio},
};

use anyhow::{Context as _, Result, ensure};

fn path(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join(name)
}

fn read(name: &str) -> Result<String> {
    fs::read_to_string(path(name)).with_context(|| name.to_owned())
}

/// Of these paths, those that a `.dockerignore` with this text leaves in.
fn left(ignore: &str, paths: &[&str]) -> Result<Vec<String>> {
    let folder = tempfile::tempdir()?;
    let file = folder.path().join("ignore");
    fs::write(&file, ignore)?;
    let mut awk = Command::new("awk")
        .arg("-f")
        .arg(path(".ci/dockerignore.awk"))
        .arg(&file)
        .arg("-")
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()?;
    awk.stdin.take().context("no stdin")?.write_all(paths.join("\n").as_bytes())?;
    let output = awk.wait_with_output()?;
    ensure!(output.status.success(), "awk: {}", output.status);
    Ok(String::from_utf8(output.stdout)?.lines().map(str::to_owned).collect())
}

#[test]
fn dockerignore_is_read_as_docker_reads_it() -> Result<()> {
    let paths = ["a", "b/c.rs", "b/d/c.rs", "b/d/e.html", "x+y/z", "f.rs"];
    let cases: [(&str, &[&str]); 11] = [
        ("", &paths),
        ("# b\n\n  \n", &paths),
        ("*", &[]),
        ("*\n!b", &["b/c.rs", "b/d/c.rs", "b/d/e.html"]),
        // The last one that matches decides.
        ("*\n!b\nb/d", &["b/c.rs"]),
        ("!b\n*", &[]),
        ("/b/\n./a", &["x+y/z", "f.rs"]),
        ("*.rs", &["a", "b/c.rs", "b/d/c.rs", "b/d/e.html", "x+y/z"]),
        ("**/*.rs", &["a", "b/d/e.html", "x+y/z"]),
        ("b/?/c.[rs]s\nx+y", &["a", "b/c.rs", "b/d/e.html", "f.rs"]),
        ("b/**\n! b/d/*.html", &["a", "b/d/e.html", "x+y/z", "f.rs"]),
    ];
    for (ignore, wanted) in cases {
        assert_eq!(left(ignore, &paths)?, wanted, "{ignore:?}");
    }
    Ok(())
}

#[test]
fn the_build_context_has_what_the_build_needs_and_nothing_that_is_large_or_secret() -> Result<()> {
    let needed = ["Cargo.lock", "LICENSE", "src/main.rs", "src/http/page/icon.svg", "templates/plan.html"];
    assert_eq!(left(&read(".dockerignore")?, &needed)?, needed);
    let others =
        ["target/release/x", ".git/config", ".github/workflows/ci.yaml", "kubeconfig", ".env", "docs/README.md"];
    assert_eq!(left(&read(".dockerignore")?, &others)?, [""; 0]);
    Ok(())
}

#[test]
fn an_image_whose_context_lacks_what_is_copied_is_not_built() -> Result<()> {
    let lacking = read(".dockerignore")?.replace("!templates\n", "");
    let folder = tempfile::tempdir()?;
    let file = folder.path().join("ignore");
    fs::write(&file, lacking)?;
    let output = Command::new(path(".ci/image"))
        .arg("build")
        .arg(folder.path().join("root"))
        .arg("fast")
        .env("DOCKERIGNORE", &file)
        .env("XDG_CACHE_HOME", folder.path())
        .output()?;
    let said = String::from_utf8(output.stderr)?;
    assert!(!output.status.success(), "it was built");
    assert!(said.contains("COPY templates templates: there is no templates in the build context"), "{said}");
    Ok(())
}

#[test]
fn the_dockerfile_builds_as_the_release_does() -> Result<()> {
    let (dockerfile, release) = (read("Dockerfile")?, read(".github/workflows/release.yaml")?);
    let toolchain = read("rust-toolchain.toml")?;
    let channel =
        toolchain.split("channel = \"").nth(1).and_then(|rest| rest.split('"').next()).context("no channel")?;
    assert!(dockerfile.contains(&format!("\nFROM docker.io/library/rust:{channel}-alpine")), "{channel}");
    let auditable = |text: &str| -> BTreeSet<String> {
        let words = text.split_whitespace().filter(|word| word.starts_with("cargo-auditable@"));
        words.map(str::to_owned).collect()
    };
    assert_eq!(auditable(&dockerfile).len(), 1);
    assert_eq!(auditable(&dockerfile), auditable(&release));
    let build = "cargo auditable build --locked --release --bin sidecar-drift";
    assert!(dockerfile.contains(build) && release.contains(build), "{build}");
    Ok(())
}

#[test]
fn a_release_is_built_from_what_cannot_be_moved() -> Result<()> {
    assert!(read(".github/workflows/release.yaml")?.contains(".ci/image pinned"));
    let dockerfile = "# syntax=docker/dockerfile:1\nFROM a:1 AS b\nFROM scratch\n";
    let digest = format!("@sha256:{}", "0123456789abcdef".repeat(4));
    let pinned = dockerfile.replace("dockerfile:1", &format!("dockerfile:1{digest}"));
    let all = pinned.replace("a:1", &format!("a:1{digest}"));
    for (text, unpinned) in [(dockerfile, "docker/dockerfile:1 a:1"), (&pinned, "a:1"), (&all, "")] {
        let folder = tempfile::tempdir()?;
        let file = folder.path().join("Dockerfile");
        fs::write(&file, text)?;
        let output = Command::new(path(".ci/image")).arg("pinned").env("DOCKERFILE", &file).output()?;
        let said = String::from_utf8(output.stderr)?;
        assert_eq!(output.status.success(), unpinned.is_empty(), "{said}");
        assert!(said.contains(unpinned), "{said}");
    }
    Ok(())
}
