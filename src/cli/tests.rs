//! What needs to see inside.

use super::{
    definition,
    output::{
        redaction::Redaction,
        table::{Form, Page, Section, sections},
        text::{one_line, printable, wrap},
    },
};
use crate::core::compare::FieldChange;

#[test]
fn the_command_line_is_sound() {
    definition().debug_assert();
}

#[test]
fn a_redaction_depends_on_its_key_and_shows_equal_values_as_equal() {
    let redaction = Redaction::with_key(&[7; 32]);
    assert_eq!(redaction.secret("hunter2"), "<masked 326eb4f6>");
    assert_eq!(redaction.secret("hunter2"), redaction.clone().secret("hunter2"));
    assert_ne!(redaction.secret("hunter2"), redaction.secret("hunter3"));
    assert_ne!(redaction.secret("hunter2"), Redaction::with_key(&[8; 32]).secret("hunter2"));
    assert_ne!(Redaction::random().unwrap().secret("hunter2"), Redaction::random().unwrap().secret("hunter2"));
}

#[test]
fn only_images_and_placement_are_shown() {
    let redaction = Redaction::with_key(&[7; 32]);
    let both = |pointer: &str| FieldChange {
        pointer: pointer.to_owned(),
        plain: None,
        running: Some("a".into()),
        rendered: None,
    };
    let open = Some("a".to_owned());
    assert_eq!(redaction.change(&both("/image")), (open.clone(), None));
    assert_eq!(redaction.change(&both("/placement")).0, open);
    assert_ne!(redaction.change(&both("/env/image")).0, open);
    assert_eq!(redaction.collateral(&both("/app/image")).0, open);
    assert_ne!(redaction.collateral(&both("/image/args/0")).0, open);
    assert_ne!(redaction.collateral(&both("/image")).0, open);
    assert_eq!(Redaction::none().change(&both("/env/A/value")).0, open);
}

#[test]
fn nothing_from_the_cluster_moves_the_cursor() {
    assert_eq!(printable("a\u{1b}[2Jb\rc\nd"), "a\\u{1b}[2Jb\\rc\nd");
    assert_eq!(one_line(" a\n\tb  c\u{7}"), "a b c\\u{7}");
}

#[test]
fn lines_are_broken_between_words_only() {
    assert_eq!(wrap("one two three", Some(8), "  "), "one two\n  three");
    assert_eq!(wrap("one unbreakable two", Some(5), ""), "one\nunbreakable\ntwo");
    assert_eq!(wrap("one two", None, ""), "one two");
    // By the room that characters take, not by their number.
    assert_eq!(wrap("日本 日本", Some(8), ""), "日本\n日本");
    assert_eq!(wrap("日本 日本", Some(9), ""), "日本 日本");
}

#[test]
fn a_table_without_colours_has_no_escapes() {
    let row = vec!["drifted".to_owned(), "not\u{1b}[2J a word".to_owned()];
    let section = [Section { heading: "1 workload".to_owned(), columns: &["VERDICT", "MESSAGE"], rows: vec![row] }];
    let text = sections(&section, Page { width: Some(40), colour: false, form: Form::Plain, headers: true });
    assert_eq!(text, "1 workload\n  VERDICT  MESSAGE\n  drifted  not\\u{1b}[2J a word\n\n");
}

#[test]
fn an_empty_section_is_left_out() {
    let section = [Section { heading: "0 workloads".to_owned(), columns: &["VERDICT"], rows: vec![] }];
    assert_eq!(sections(&section, Page { width: None, colour: false, form: Form::Plain, headers: true }), "");
}
