use crate::core::config::window::*;

fn window(text: &str) -> Window {
    text.parse().expect(text)
}

fn at(text: &str) -> Timestamp {
    text.parse().expect(text)
}

/// Every change between open and closed in that time, to the minute, UTC.
fn changes(text: &str, from: &str, to: &str) -> Vec<String> {
    let (window, to) = (window(text), at(to));
    let (mut now, mut was) = (at(from), false);
    let mut seen = Vec::new();
    while now < to {
        let is = window.is_open(now);
        if is != was {
            seen.push(format!("{} {}", if is { "open" } else { "closed" }, now.strftime("%d %H:%M")));
            was = is;
        }
        now += 1.minute();
    }
    seen
}

#[test]
fn a_window_begins_on_its_days_and_may_last_over_midnight() {
    // 2026-03-02 is a Monday.
    let night = changes("Mon,Fri 22:00-04:00 UTC", "2026-03-02T00:00:00Z", "2026-03-09T00:00:00Z");
    assert_eq!(night, ["open 02 22:00", "closed 03 04:00", "open 06 22:00", "closed 07 04:00"]);
    let weekend = changes("Sat-Sun 00:00-24:00 UTC", "2026-03-02T00:00:00Z", "2026-03-10T00:00:00Z");
    assert_eq!(weekend, ["open 07 00:00", "closed 09 00:00"]);
    let over_the_week = changes("Sun-Mon 10:00-11:00 UTC", "2026-03-02T00:00:00Z", "2026-03-09T00:00:00Z");
    assert_eq!(over_the_week, ["open 02 10:00", "closed 02 11:00", "open 08 10:00", "closed 08 11:00"]);
    let daily = changes("10:00-10:30 UTC", "2026-03-02T00:00:00Z", "2026-03-04T00:00:00Z");
    assert_eq!(daily, ["open 02 10:00", "closed 02 10:30", "open 03 10:00", "closed 03 10:30"]);
}

#[test]
fn what_was_open_before_the_first_look_is_seen_too() {
    assert!(window("Sun 22:00-04:00 UTC").is_open(at("2026-03-02T03:59:59Z")));
    assert!(!window("Mon 22:00-04:00 UTC").is_open(at("2026-03-02T03:59:59Z")));
}

/// Clocks in Berlin go from 02:00 to 03:00 on 2026-03-29 and from 03:00 to 02:00 on 2026-10-25.
#[test]
fn over_a_change_of_clocks_in_berlin() {
    let zone = "Europe/Berlin";
    // As long as people's clocks say: an hour less, an hour more.
    let night = |from, to| changes(&format!("22:00-04:00 {zone}"), from, to);
    assert_eq!(night("2026-03-28T12:00:00Z", "2026-03-29T12:00:00Z"), ["open 28 21:00", "closed 29 02:00"]);
    assert_eq!(night("2026-10-24T12:00:00Z", "2026-10-25T12:00:00Z"), ["open 24 20:00", "closed 25 03:00"]);
    // The hour that is skipped is an hour later; of the hour that comes twice it is the first.
    let within = |from, to| changes(&format!("02:15-02:45 {zone}"), from, to);
    assert_eq!(within("2026-03-29T00:00:00Z", "2026-03-29T12:00:00Z"), ["open 29 01:15", "closed 29 01:45"]);
    assert_eq!(within("2026-10-25T00:00:00Z", "2026-10-25T12:00:00Z"), ["open 25 00:15", "closed 25 00:45"]);
}

/// Clocks in New York go forward on 2026-03-08 and back on 2026-11-01, both at 02:00.
#[test]
fn over_a_change_of_clocks_in_new_york() {
    let night = |from, to| changes("Sat 22:00-04:00 America/New_York", from, to);
    assert_eq!(night("2026-03-08T00:00:00Z", "2026-03-09T00:00:00Z"), ["open 08 03:00", "closed 08 08:00"]);
    assert_eq!(night("2026-11-01T00:00:00Z", "2026-11-02T00:00:00Z"), ["open 01 02:00", "closed 01 09:00"]);
}

/// Lord Howe Island is the other way round, and changes by half an hour: back on 2026-04-05, forward on 2026-10-04.
#[test]
fn over_a_change_of_clocks_by_half_an_hour() {
    let night = |from, to| changes("00:00-06:00 Australia/Lord_Howe", from, to);
    assert_eq!(night("2026-04-04T12:00:00Z", "2026-04-05T12:00:00Z"), ["open 04 13:00", "closed 04 19:30"]);
    assert_eq!(night("2026-10-03T12:00:00Z", "2026-10-04T12:00:00Z"), ["open 03 13:30", "closed 03 19:00"]);
}

#[test]
fn it_says_when_it_opens_next() {
    let friday = window("Fri 22:00-04:00 Europe/Berlin");
    assert_eq!(friday.opens(at("2026-03-02T12:00:00Z")), Some(at("2026-03-06T21:00:00Z")));
    assert_eq!(friday.opens(at("2026-03-06T21:00:00Z")), Some(at("2026-03-13T21:00:00Z")));
}

#[test]
fn all_owners_have_to_agree_and_one_without_windows_always_does() {
    let (nights, weekend) = (vec![window("22:00-04:00 UTC")], vec![window("Sat-Sun 00:00-24:00 UTC")]);
    let morning = vec![window("06:00-07:00 UTC")];
    let monday = at("2026-03-02T23:00:00Z");
    assert_eq!(opening(&[&nights, &[]], monday), Opening::Open);
    assert_eq!(opening(&[&nights, &weekend], monday), Opening::Closed(Some(at("2026-03-07T00:00:00Z"))));
    assert_eq!(
        opening(&[&nights, &weekend], at("2026-03-07T12:00:00Z")),
        Opening::Closed(Some(at("2026-03-07T22:00:00Z")))
    );
    assert_eq!(opening(&[&nights, &morning], monday), Opening::Closed(None), "they are never open together");
    let either = [nights, morning].concat();
    assert_eq!(opening(&[&either], at("2026-03-02T06:30:00Z")), Opening::Open);
}

#[test]
fn what_is_wrong_is_said_with_what_would_be_right() {
    let wrong = |text: &str| text.parse::<Window>().expect_err(text);
    assert_eq!(wrong("at night"), "a window is written like `Mon-Fri 22:00-04:00 Europe/Berlin`");
    assert!(wrong("Mon 22:00-04:00 Europe/Atlantis").contains("`Europe/Atlantis` is no time zone"));
    assert!(wrong("Mo 22:00-04:00 UTC").contains("`Mo` is no day"));
    for span in ["22-4", "25:00-26:00", "22:00-4:00", "22:00", "22:00-22:00", "24:00-01:00"] {
        assert!(wrong(&format!("Mon {span} UTC")).contains(&format!("`{span}`")), "{span}");
    }
    assert!(windows("10:00-11:00 UTC; never").is_err() && windows("").is_err());
}

#[test]
fn it_is_written_as_it_was_read() {
    let text = "Mon-Fri,Sun 22:00-24:00 Asia/Tokyo";
    assert_eq!(window(&format!("  {text} ")).to_string(), text);
    let json = serde_json::to_string(&window(text)).unwrap();
    assert_eq!(serde_json::from_str::<Window>(&json).unwrap(), window(text));
}
