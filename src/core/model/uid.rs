//! Uids.

use std::fmt;

use super::name::Name;

/// An object's uid. Those that the API server gives are numbers of 128 bits, and take no more than that.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Uid(Form);

#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
enum Form {
    /// Written in the usual way.
    Number([u8; 16]),
    /// Any other text.
    Text(Name),
}

/// Where the usual way of writing has a dash, in bytes of text.
const DASHES: [usize; 4] = [8, 13, 18, 23];

impl From<&str> for Uid {
    fn from(text: &str) -> Self {
        Self(number(text).map_or_else(|| Form::Text(text.into()), Form::Number))
    }
}

/// The number that is written so: 32 lower-case digits with dashes. `None`: it would be written otherwise, or is none.
fn number(text: &str) -> Option<[u8; 16]> {
    let bytes: &[u8; 36] = text.as_bytes().try_into().ok()?;
    let mut number = [0; 16];
    let mut digits = 0;
    for (place, byte) in bytes.iter().enumerate() {
        if DASHES.contains(&place) {
            if *byte != b'-' {
                return None;
            }
            continue;
        }
        let digit = match byte {
            b'0'..=b'9' => byte - b'0',
            b'a'..=b'f' => byte - b'a' + 10,
            _ => return None,
        };
        let to = number.get_mut(digits / 2)?;
        *to = *to << 4 | digit;
        digits += 1;
    }
    Some(number)
}

impl fmt::Display for Uid {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.0 {
            Form::Text(text) => f.write_str(text),
            Form::Number(number) => {
                for (place, byte) in number.iter().enumerate() {
                    if matches!(place, 4 | 6 | 8 | 10) {
                        f.write_str("-")?;
                    }
                    write!(f, "{byte:02x}")?;
                }
                Ok(())
            }
        }
    }
}

impl fmt::Debug for Uid {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl Uid {
    /// As the API server writes it.
    pub fn name(&self) -> Name {
        match &self.0 {
            Form::Text(text) => text.clone(),
            Form::Number(_) => self.to_string().into(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_uid_is_told_as_it_was_read_and_takes_no_room_of_its_own() {
        let usual = "0123abcd-4567-89ef-0123-456789abcdef";
        for text in
            [usual, "", "uid-web", "0123ABCD-4567-89ef-0123-456789abcdef", "0123abcd+4567-89ef-0123-456789abcdef"]
        {
            let uid = Uid::from(text);
            assert_eq!((&*uid.name(), uid.to_string().as_str()), (text, text));
            assert_eq!(matches!(uid.0, Form::Number(_)), text == usual, "{text}");
            assert_eq!(uid, Uid::from(text));
        }
        assert_ne!(Uid::from(usual), Uid::from("0123abcd-4567-89ef-0123-456789abcdee"));
        assert!(size_of::<Uid>() <= 24);
    }
}
