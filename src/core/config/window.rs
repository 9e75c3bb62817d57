//! Maintenance windows: when rollouts may be started.
//!
//! A window is written as people say it, `Mon-Fri 22:00-04:00 Europe/Berlin`: days (every day if none are named), a time
//! of the day to another, and a time zone by its IANA name. One that ends before it begins lasts over midnight and
//! belongs to the day on which it begins. A time that a change of clocks skips means the same time an hour later, and
//! one that comes twice means the first of the two.

use std::{fmt, str::FromStr, sync::LazyLock};

use jiff::{
    Timestamp, ToSpan,
    civil::{Date, DateTime, Time, Weekday},
    tz::{TimeZone, TimeZoneDatabase},
};
use serde::{Deserialize, Serialize};

/// The time zones that we carry with us: the core reads no files, and an image may have none.
static ZONES: LazyLock<TimeZoneDatabase> = LazyLock::new(TimeZoneDatabase::bundled);

/// The days as they are written, and in which order.
const DAYS: [(&str, Weekday); 7] = [
    ("Mon", Weekday::Monday),
    ("Tue", Weekday::Tuesday),
    ("Wed", Weekday::Wednesday),
    ("Thu", Weekday::Thursday),
    ("Fri", Weekday::Friday),
    ("Sat", Weekday::Saturday),
    ("Sun", Weekday::Sunday),
];

/// A window comes again after a week; one more day for those that began yesterday.
const HORIZON: i32 = 8;

/// Windows of several owners are searched for a time at which all are open, this many openings ahead.
const PATIENCE: usize = 100;

/// One maintenance window.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Window {
    /// Which days it begins on, Monday first.
    days: [bool; 7],
    start: Time,
    /// `None`: the end of the day.
    end: Option<Time>,
    zone: TimeZone,
    /// As it was written.
    text: String,
}

impl Window {
    /// Whether it is open then.
    pub fn is_open(&self, at: Timestamp) -> bool {
        self.around(at).any(|(start, end)| start <= at && at < end)
    }

    /// When it opens next, if it is closed then.
    pub fn opens(&self, at: Timestamp) -> Option<Timestamp> {
        self.around(at).map(|(start, _)| start).filter(|start| *start > at).min()
    }

    /// The windows that begin between yesterday and a week from then.
    fn around(&self, at: Timestamp) -> impl Iterator<Item = (Timestamp, Timestamp)> {
        let today = at.to_zoned(self.zone.clone()).date();
        (-1..=HORIZON).filter_map(move |days| {
            let day = today.checked_add(days.days()).ok()?;
            let begins = DAYS.iter().position(|(_, weekday)| *weekday == day.weekday())?;
            self.days.get(begins).filter(|wanted| **wanted)?;
            self.on(day).filter(|(start, end)| start < end)
        })
    }

    /// The window that begins on this day.
    fn on(&self, day: Date) -> Option<(Timestamp, Timestamp)> {
        let moment = |time: DateTime| Some(self.zone.to_zoned(time).ok()?.timestamp());
        let next = || day.checked_add(1.day()).ok();
        let end = match self.end {
            Some(end) if end > self.start => day.to_datetime(end),
            Some(end) => next()?.to_datetime(end),
            None => next()?.to_datetime(Time::midnight()),
        };
        Some((moment(day.to_datetime(self.start))?, moment(end)?))
    }
}

/// Windows of one owner: rollouts may be started while any of them is open. None: at any time.
pub type Windows = [Window];

/// When something may begin.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Opening {
    /// Now.
    Open,
    /// Not before then; `None`: not as far as can be seen.
    Closed(Option<Timestamp>),
}

/// Each owner has its windows, and all have to agree.
pub fn opening(owners: &[&Windows], now: Timestamp) -> Opening {
    let limited: Vec<_> = owners.iter().filter(|windows| !windows.is_empty()).collect();
    let closed = |at| limited.iter().find(|windows| !windows.iter().any(|window| window.is_open(at)));
    let mut at = now;
    for _ in 0..PATIENCE {
        let Some(windows) = closed(at) else {
            return if at == now { Opening::Open } else { Opening::Closed(Some(at)) };
        };
        let Some(next) = windows.iter().filter_map(|window| window.opens(at)).min() else { break };
        at = next;
    }
    Opening::Closed(None)
}

/// Reads windows that are written one after the other with `;` between them.
pub fn windows(text: &str) -> Result<Vec<Window>, String> {
    text.split(';').map(str::parse).collect()
}

impl FromStr for Window {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let words: Vec<_> = text.split_whitespace().collect();
        let (named, span, zone) = match words[..] {
            [days, span, zone] => (Some(days), span, zone),
            [span, zone] if span.contains(':') => (None, span, zone),
            _ => return Err("a window is written like `Mon-Fri 22:00-04:00 Europe/Berlin`".to_owned()),
        };
        let (start, end) = times(span)?;
        let zone = ZONES.get(zone).map_err(|_| {
            format!("`{zone}` is no time zone; the IANA name is wanted, such as `Europe/Berlin` or `UTC`")
        })?;
        let days = named.map_or(Ok([true; 7]), days)?;
        Ok(Self { days, start, end, zone, text: words.join(" ") })
    }
}

/// `Mon-Fri,Sun`
fn days(text: &str) -> Result<[bool; 7], String> {
    let day = |name: &str| {
        DAYS.iter()
            .position(|(known, _)| known.eq_ignore_ascii_case(name))
            .ok_or_else(|| format!("`{name}` is no day; Mon, Tue, Wed, Thu, Fri, Sat and Sun are, as in `Mon-Fri,Sun`"))
    };
    let mut days = [false; 7];
    for part in text.split(',') {
        let (first, last) = part.split_once('-').unwrap_or((part, part));
        let (first, last) = (day(first)?, day(last)?);
        let length = (last + DAYS.len() - first) % DAYS.len();
        for at in first..=first + length {
            if let Some(wanted) = days.get_mut(at % DAYS.len()) {
                *wanted = true;
            }
        }
    }
    Ok(days)
}

/// `22:00-04:00`
fn times(text: &str) -> Result<(Time, Option<Time>), String> {
    let wrong = || format!("`{text}` is no span of time; it is written like `22:00-04:00`, or `00:00-24:00` for a day");
    let time = |text: &str| {
        let (hour, minute) = text.split_once(':')?;
        let two = |digits: &str| (digits.len() == 2).then(|| digits.parse().ok()).flatten();
        Time::new(two(hour)?, two(minute)?, 0, 0).ok()
    };
    let (start, end) = text.split_once('-').ok_or_else(wrong)?;
    let start = time(start).ok_or_else(wrong)?;
    let end = if end == "24:00" { None } else { Some(time(end).ok_or_else(wrong)?) };
    if end == Some(start) {
        return Err(format!("`{text}` begins and ends at the same time; a whole day is `00:00-24:00`"));
    }
    Ok((start, end))
}

impl fmt::Display for Window {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

impl TryFrom<String> for Window {
    type Error = String;

    fn try_from(text: String) -> Result<Self, String> {
        text.parse()
    }
}

impl From<Window> for String {
    fn from(window: Window) -> Self {
        window.text
    }
}

#[cfg(test)]
mod tests;
