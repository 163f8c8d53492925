//! Times as text, in UTC.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

/// A compiled time format.
#[derive(Debug)]
pub(super) enum TimeFormat {
    /// `2026-01-02T03:04:05.678Z`, the default.
    Iso,
    /// What a format string names.
    Pieces(Vec<Piece>),
}

/// A piece of a time format (strftime's letters, and Envoy's).
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Piece {
    Literal(Box<[u8]>),
    Year,
    YearOfCentury,
    Century,
    Month,
    MonthName {
        full: bool,
    },
    Day,
    DayPadded,
    DayOfYear,
    Weekday {
        full: bool,
    },
    WeekdayNumber {
        monday_is_one: bool,
    },
    Hour,
    Hour12,
    Minute,
    Second,
    AmPm([&'static str; 2]),
    /// What is the same for all times, since all are UTC.
    Text(&'static str),
    /// Whole seconds since 1970.
    Epoch,
    Fraction(Digits),
    /// `03`, or `03.5` with as many digits as there are.
    SecondAndFraction,
}

/// How many digits of a second are written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Digits {
    /// So many, 1 to 9.
    Fixed(usize),
    /// Without the zeros at the end, but at least one.
    Needed,
}

/// A moment taken apart.
struct Civil {
    year: u64,
    month: u64,
    day: u64,
    /// 0 is 1 January.
    day_of_year: u64,
    /// 0 is Sunday.
    weekday: u64,
    second_of_day: u64,
}

const DAYS: [&str; 7] =
    ["Sunday", "Monday", "Tuesday", "Wednesday", "Thursday", "Friday", "Saturday"];
const MONTHS: [&str; 12] = [
    "January",
    "February",
    "March",
    "April",
    "May",
    "June",
    "July",
    "August",
    "September",
    "October",
    "November",
    "December",
];

/// 31 December 9999, 23:59:59: the last second that a year of four digits can name.
const LAST_SECOND: u64 = 253_402_300_799;

impl TimeFormat {
    /// Reads a format string; an error says what it does not know.
    pub(super) fn parse(source: &str) -> Result<Self, String> {
        let mut pieces = Vec::new();
        let mut literal = Vec::new();
        let mut rest = source;
        while let Some(at) = rest.find('%') {
            literal.extend_from_slice(&rest.as_bytes()[..at]);
            rest = &rest[at + 1..];
            if let Some(behind) = rest.strip_prefix('%') {
                literal.push(b'%');
                rest = behind;
                continue;
            }
            flush(&mut literal, &mut pieces);
            rest = conversion(rest, &mut pieces)?;
        }
        literal.extend_from_slice(rest.as_bytes());
        flush(&mut literal, &mut pieces);
        Ok(Self::Pieces(pieces))
    }

    /// Appends the time. Times before 1970 are written as 1970, those after 9999 as its end.
    pub(super) fn write(&self, time: SystemTime, out: &mut Vec<u8>) {
        let since = time.duration_since(UNIX_EPOCH).unwrap_or(Duration::ZERO);
        let civil = Civil::new(since.as_secs().min(LAST_SECOND));
        match self {
            Self::Iso => civil.write_iso(since.subsec_millis(), out),
            Self::Pieces(pieces) => {
                for piece in pieces {
                    piece.write(&civil, since, out);
                }
            }
        }
    }
}

fn flush(literal: &mut Vec<u8>, pieces: &mut Vec<Piece>) {
    if !literal.is_empty() {
        pieces.push(Piece::Literal(std::mem::take(literal).into_boxed_slice()));
    }
}

/// Reads what follows a `%`, and returns what follows that.
fn conversion<'a>(rest: &'a str, pieces: &mut Vec<Piece>) -> Result<&'a str, String> {
    for (text, piece) in COMPOUND {
        if let Some(behind) = rest.strip_prefix(text) {
            pieces.push(piece.clone());
            return Ok(behind);
        }
    }
    // `%E3S`, `%E3f`, `%3f`, `%3s`: so many digits of a second.
    let plain = rest.strip_prefix('E').unwrap_or(rest);
    let digits = plain.bytes().take_while(u8::is_ascii_digit).count();
    let (width, behind_width) = plain.split_at(digits);
    let Some(letter) = behind_width.chars().next() else {
        return Err("the time format ends within a conversion".to_owned());
    };
    let behind = &behind_width[letter.len_utf8()..];
    match (width, letter) {
        ("", letter) if plain.len() == rest.len() => simple(letter, pieces)?,
        (width, 'f') => pieces.push(Piece::Fraction(Digits::Fixed(fraction_width(width)?))),
        (width, 'S') if plain.len() < rest.len() => {
            let digits = Digits::Fixed(fraction_width(width)?);
            pieces.extend([
                Piece::Second,
                Piece::Literal(b"."[..].into()),
                Piece::Fraction(digits),
            ]);
        }
        // The digits have no effect on whole seconds, in Envoy either.
        (_, 's') if plain.len() == rest.len() => pieces.push(Piece::Epoch),
        _ => return Err(format!("unknown conversion %{width}{letter} in the time format")),
    }
    Ok(behind)
}

/// Conversions of several characters.
const COMPOUND: [(&str, Piece); 6] = [
    ("E*S", Piece::SecondAndFraction),
    ("E*f", Piece::Fraction(Digits::Needed)),
    ("E4Y", Piece::Year),
    ("Ez", Piece::Text("+00:00")),
    ("E*z", Piece::Text("+00:00:00")),
    (":z", Piece::Text("+00:00")),
];

fn fraction_width(width: &str) -> Result<usize, String> {
    match width.parse() {
        Ok(digits @ 1..=9) => Ok(digits),
        _ => Err(format!("\"{width}\" digits of a second: 1 to 9 can be had")),
    }
}

fn simple(letter: char, pieces: &mut Vec<Piece>) -> Result<(), String> {
    pieces.push(match letter {
        'Y' => Piece::Year,
        'y' => Piece::YearOfCentury,
        'C' => Piece::Century,
        'm' => Piece::Month,
        'B' => Piece::MonthName { full: true },
        'b' | 'h' => Piece::MonthName { full: false },
        'd' => Piece::Day,
        'e' => Piece::DayPadded,
        'j' => Piece::DayOfYear,
        'A' => Piece::Weekday { full: true },
        'a' => Piece::Weekday { full: false },
        'u' => Piece::WeekdayNumber { monday_is_one: true },
        'w' => Piece::WeekdayNumber { monday_is_one: false },
        'H' => Piece::Hour,
        'I' => Piece::Hour12,
        'M' => Piece::Minute,
        'S' => Piece::Second,
        'p' => Piece::AmPm(["AM", "PM"]),
        'P' => Piece::AmPm(["am", "pm"]),
        'z' => Piece::Text("+0000"),
        'Z' => Piece::Text("UTC"),
        's' => Piece::Epoch,
        'f' => Piece::Fraction(Digits::Fixed(9)),
        't' => Piece::Text("\t"),
        'F' => return several("%Y-%m-%d", pieces),
        'T' | 'X' => return several("%H:%M:%S", pieces),
        'R' => return several("%H:%M", pieces),
        'r' => return several("%I:%M:%S %p", pieces),
        'D' | 'x' => return several("%m/%d/%y", pieces),
        'c' => return several("%a %b %e %H:%M:%S %Y", pieces),
        // A line break within a line of the log: Envoy refuses it, too.
        other => return Err(format!("unknown conversion %{other} in the time format")),
    });
    Ok(())
}

fn several(format: &str, pieces: &mut Vec<Piece>) -> Result<(), String> {
    if let TimeFormat::Pieces(more) = TimeFormat::parse(format)? {
        pieces.extend(more);
    }
    Ok(())
}

impl Piece {
    fn write(&self, civil: &Civil, since: Duration, out: &mut Vec<u8>) {
        let hour = civil.second_of_day / 3600;
        match self {
            Self::Literal(text) => out.extend_from_slice(text),
            Self::Year => padded(civil.year, 4, out),
            Self::YearOfCentury => padded(civil.year % 100, 2, out),
            Self::Century => padded(civil.year / 100, 2, out),
            Self::Month => padded(civil.month, 2, out),
            Self::MonthName { full } => name(MONTHS[civil.month as usize - 1], *full, out),
            Self::Day => padded(civil.day, 2, out),
            Self::DayPadded => {
                out.push(if civil.day < 10 { b' ' } else { b'0' + (civil.day / 10) as u8 });
                out.push(b'0' + (civil.day % 10) as u8);
            }
            Self::DayOfYear => padded(civil.day_of_year + 1, 3, out),
            Self::Weekday { full } => name(DAYS[civil.weekday as usize], *full, out),
            Self::WeekdayNumber { monday_is_one } => {
                let sunday = if *monday_is_one { 7 } else { 0 };
                padded(if civil.weekday == 0 { sunday } else { civil.weekday }, 1, out);
            }
            Self::Hour => padded(hour, 2, out),
            Self::Hour12 => padded((hour + 11) % 12 + 1, 2, out),
            Self::Minute => padded(civil.second_of_day / 60 % 60, 2, out),
            Self::Second => padded(civil.second_of_day % 60, 2, out),
            Self::AmPm([am, pm]) => {
                out.extend_from_slice(if hour < 12 { am } else { pm }.as_bytes());
            }
            Self::Text(text) => out.extend_from_slice(text.as_bytes()),
            Self::Epoch => {
                super::operator::number(since.as_secs(), out);
            }
            Self::Fraction(digits) => write_fraction(since.subsec_nanos(), *digits, out),
            Self::SecondAndFraction => {
                padded(civil.second_of_day % 60, 2, out);
                if since.subsec_nanos() > 0 {
                    out.push(b'.');
                    write_fraction(since.subsec_nanos(), Digits::Needed, out);
                }
            }
        }
    }
}

fn write_fraction(nanos: u32, digits: Digits, out: &mut Vec<u8>) {
    match digits {
        Digits::Fixed(digits) => {
            let cut = 9_u32.saturating_sub(digits as u32);
            padded(u64::from(nanos / 10_u32.pow(cut)), digits, out);
        }
        Digits::Needed => {
            let start = out.len();
            padded(u64::from(nanos), 9, out);
            while out.len() > start + 1 && out.last() == Some(&b'0') {
                out.pop();
            }
        }
    }
}

fn name(full_name: &str, full: bool, out: &mut Vec<u8>) {
    let end = if full { full_name.len() } else { 3 };
    out.extend_from_slice(&full_name.as_bytes()[..end]);
}

fn padded(value: u64, digits: usize, out: &mut Vec<u8>) {
    let start = out.len();
    out.resize(start + digits, b'0');
    let mut rest = value;
    for digit in out[start..].iter_mut().rev() {
        *digit = b'0' + (rest % 10) as u8;
        rest /= 10;
    }
}

impl Civil {
    /// The Gregorian date, counted in eras of 400 years that begin in March, so that the leap day
    /// is the last of its year.
    fn new(unix_seconds: u64) -> Self {
        let unix_days = unix_seconds / 86_400;
        let days = unix_days + 719_468;
        let era = days / 146_097;
        let day_of_era = days % 146_097;
        let year_of_era =
            (day_of_era - day_of_era / 1460 + day_of_era / 36_524 - day_of_era / 146_096) / 365;
        let from_march = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
        let month_from_march = (5 * from_march + 2) / 153;
        let month = if month_from_march < 10 { month_from_march + 3 } else { month_from_march - 9 };
        let year = year_of_era + era * 400 + u64::from(month <= 2);
        let leap = u64::from(
            year.is_multiple_of(4) && (!year.is_multiple_of(100) || year.is_multiple_of(400)),
        );
        // January and February are days 306 to 365 of the year that began in March.
        let day_of_year = if month <= 2 { from_march - 306 } else { from_march + 59 + leap };
        Self {
            year,
            month,
            day: from_march - (153 * month_from_march + 2) / 5 + 1,
            day_of_year,
            weekday: (unix_days + 4) % 7,
            second_of_day: unix_seconds % 86_400,
        }
    }

    fn write_iso(&self, millis: u32, out: &mut Vec<u8>) {
        let mut text = *b"0000-00-00T00:00:00.000Z";
        let mut put = |at: usize, value: u64| {
            text[at] = b'0' + (value / 10 % 10) as u8;
            text[at + 1] = b'0' + (value % 10) as u8;
        };
        put(0, self.year / 100);
        put(2, self.year % 100);
        put(5, self.month);
        put(8, self.day);
        put(11, self.second_of_day / 3600);
        put(14, self.second_of_day / 60 % 60);
        put(17, self.second_of_day % 60);
        put(20, u64::from(millis / 10));
        text[22] = b'0' + (millis % 10) as u8;
        out.extend_from_slice(&text);
    }
}
