//! The program's own log: patterns as in spdlog, levels that can be changed while running.

use std::fmt::{self, Write as _};
use std::fs::OpenOptions;
use std::io::{self, Write};
use std::path::Path;
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, AtomicU8, Ordering};

use ringway_config::ConfigError;
use ringway_control::admin::Level;
use time::OffsetDateTime;
use tracing::field::{Field, Visit};
use tracing::level_filters::LevelFilter;
use tracing::{Event, Metadata, Subscriber};
use tracing_subscriber::layer::{Context, Layer};
use tracing_subscriber::prelude::*;

/// Envoy's default of `--log-format`.
pub(crate) const DEFAULT_PATTERN: &str = "[%Y-%m-%d %T.%e][%t][%l][%n] [%g:%#] %v";

/// Levels per logger, shared by the layer and `/logging`.
static LEVELS: Levels = Levels::new();

/// Whether the log goes to a file, so that whoever started the process does not see it.
static TO_FILE: AtomicBool = AtomicBool::new(false);

/// The field that makes an error a critical one, a level that `tracing` does not have.
const CRITICAL: &str = "critical";

/// How to log.
#[derive(Debug)]
pub(crate) struct LogOptions<'a> {
    /// Level of every logger.
    pub(crate) level: Level,
    /// Levels of single loggers.
    pub(crate) components: Vec<(&'static str, Level)>,
    /// spdlog pattern, or `json`.
    pub(crate) pattern: &'a str,
    /// Line ends in messages are written as `\n`.
    pub(crate) escaped: bool,
    /// A file instead of the standard error.
    pub(crate) path: Option<&'a Path>,
}

/// Starts logging; fails when the log file cannot be opened.
pub(crate) fn start(options: &LogOptions<'_>) -> io::Result<()> {
    let out: Box<dyn Write + Send> = match options.path {
        Some(path) => Box::new(OpenOptions::new().create(true).append(true).open(path)?),
        None => Box::new(io::stderr()),
    };
    TO_FILE.store(options.path.is_some(), Ordering::Relaxed);
    LEVELS.set_all(options.level);
    let layer = PatternLayer {
        pattern: Pattern::new(options.pattern),
        escaped: options.escaped,
        out: Mutex::new(out),
    };
    // Only a second start could fail, and there is none.
    let _ = tracing_subscriber::registry().with(layer).try_init();
    set_levels(&options.components);
    Ok(())
}

/// Says why the process cannot go on: to whoever started it, and in the log where that is a file.
pub(crate) fn refuse(message: &str) {
    eprintln!("{message}");
    if TO_FILE.load(Ordering::Relaxed) {
        tracing::error!(target: "main", critical = true, "{message}");
    }
}

/// The same for one of several reasons, each an error of the configuration.
pub(crate) fn refuse_configuration(error: &ConfigError) {
    eprintln!("{error}");
    if TO_FILE.load(Ordering::Relaxed) {
        tracing::error!(target: "config", "{error}");
    }
}

/// The level of that name.
pub(crate) fn parse_level(name: &str) -> Result<Level, String> {
    Level::parse(name).ok_or_else(|| {
        format!("error: invalid log level specified '{name}'; levels: {}", crate::cli::LOG_LEVELS)
    })
}

/// `--component-log-level`: `upstream:debug,config:trace`.
pub(crate) fn parse_components(list: &str) -> Result<Vec<(&'static str, Level)>, String> {
    let parts = list.split(',').map(str::trim).filter(|part| !part.is_empty());
    parts.map(parse_component).collect()
}

fn parse_component(part: &str) -> Result<(&'static str, Level), String> {
    let Some((name, level)) = part.split_once(':') else {
        return Err(format!("error: component log level not correctly specified '{part}'"));
    };
    let known = ringway_control::admin::LOGGERS.iter().find(|known| **known == name);
    let known = known.ok_or_else(|| format!("error: invalid component specified '{name}'"))?;
    Ok((known, parse_level(level)?))
}

/// Changes levels of loggers.
pub(crate) fn set_levels(levels: &[(&'static str, Level)]) {
    for (name, level) in levels {
        LEVELS.set(name, *level);
    }
    // Each line remembers whether it is wanted, so that one that is not costs nothing.
    tracing::callsite::rebuild_interest_cache();
}

/// One atomic per logger of `/logging`; others follow the first, `main`.
struct Levels([AtomicU8; ringway_control::admin::LOGGERS.len()]);

impl Levels {
    const fn new() -> Self {
        Self([const { AtomicU8::new(Level::Info as u8) }; ringway_control::admin::LOGGERS.len()])
    }

    fn set_all(&self, level: Level) {
        for cell in &self.0 {
            cell.store(level as u8, Ordering::Relaxed);
        }
    }

    fn set(&self, name: &str, level: Level) {
        self.cell(name).store(level as u8, Ordering::Relaxed);
    }

    fn cell(&self, name: &str) -> &AtomicU8 {
        let position = |wanted| ringway_control::admin::LOGGERS.iter().position(|n| *n == wanted);
        // `main` is in the list.
        &self.0[position(name).or_else(|| position("main")).unwrap_or(0)]
    }

    /// The most that any logger writes.
    fn most(&self) -> LevelFilter {
        let lowest = self.0.iter().map(|cell| cell.load(Ordering::Relaxed)).min();
        match lowest {
            Some(level) if level == Level::Trace as u8 => LevelFilter::TRACE,
            Some(level) if level == Level::Debug as u8 => LevelFilter::DEBUG,
            Some(level) if level == Level::Info as u8 => LevelFilter::INFO,
            Some(level) if level == Level::Warning as u8 => LevelFilter::WARN,
            Some(level) if level <= Level::Critical as u8 => LevelFilter::ERROR,
            _ => LevelFilter::OFF,
        }
    }

    fn allows(&self, metadata: &Metadata<'_>) -> bool {
        let own = match *metadata.level() {
            tracing::Level::TRACE => Level::Trace,
            tracing::Level::DEBUG => Level::Debug,
            tracing::Level::INFO => Level::Info,
            tracing::Level::WARN => Level::Warning,
            tracing::Level::ERROR if is_critical(metadata) => Level::Critical,
            tracing::Level::ERROR => Level::Error,
        };
        own as u8 >= self.cell(logger(metadata.target())).load(Ordering::Relaxed)
    }
}

/// The logger of a target: targets are loggers' names, or module paths of crates.
fn logger(target: &str) -> &str {
    match target.split("::").next().unwrap_or(target) {
        "ringway_proxy" => "http",
        "ringway_control" => "admin",
        "ringway_config" => "config",
        "ringway_runtime" => "io",
        "ringway" => "main",
        other => other,
    }
}

struct PatternLayer {
    pattern: Pattern,
    escaped: bool,
    out: Mutex<Box<dyn Write + Send>>,
}

impl<S: Subscriber> Layer<S> for PatternLayer {
    fn enabled(&self, metadata: &Metadata<'_>, _: Context<'_, S>) -> bool {
        LEVELS.allows(metadata)
    }

    fn max_level_hint(&self) -> Option<LevelFilter> {
        Some(LEVELS.most())
    }

    fn on_event(&self, event: &Event<'_>, _: Context<'_, S>) {
        let mut message = Message::default();
        event.record(&mut message);
        let mut text = message.text + &message.fields;
        if self.escaped {
            text = text.replace('\\', "\\\\").replace('\n', "\\n").replace('\r', "\\r");
        }
        let mut line = String::new();
        self.pattern.write(&mut line, event.metadata(), &text);
        line.push('\n');
        if let Ok(mut out) = self.out.lock() {
            // A log that cannot be written has nowhere to complain.
            let _ = out.write_all(line.as_bytes());
            let _ = out.flush();
        }
    }
}

#[derive(Default)]
struct Message {
    text: String,
    fields: String,
}

impl Visit for Message {
    fn record_debug(&mut self, field: &Field, value: &dyn fmt::Debug) {
        // Writing to a string cannot fail.
        let _ = match field.name() {
            "message" => write!(self.text, "{value:?}"),
            CRITICAL => Ok(()),
            name => write!(self.fields, " {name}={value:?}"),
        };
    }
}

/// A compiled pattern.
enum Pattern {
    Json,
    Text(Vec<Piece>),
}

enum Piece {
    Literal(String),
    Flag(char),
}

impl Pattern {
    fn new(source: &str) -> Self {
        if source == "json" {
            return Self::Json;
        }
        let mut pieces = Vec::new();
        let mut literal = String::new();
        let mut chars = source.chars();
        while let Some(next) = chars.next() {
            if next != '%' {
                literal.push(next);
                continue;
            }
            match chars.next() {
                Some('%') => literal.push('%'),
                Some(flag) => {
                    pieces.push(Piece::Literal(std::mem::take(&mut literal)));
                    pieces.push(Piece::Flag(flag));
                }
                None => literal.push('%'),
            }
        }
        pieces.push(Piece::Literal(literal));
        Self::Text(pieces)
    }

    fn write(&self, line: &mut String, metadata: &Metadata<'_>, message: &str) {
        let now = OffsetDateTime::now_utc();
        match self {
            Self::Json => {
                let mut time = String::new();
                write_iso(&now, &mut time);
                *line = serde_json::json!({
                    "time": time,
                    "level": level_name(metadata),
                    "logger": logger(metadata.target()),
                    "message": message,
                })
                .to_string();
            }
            Self::Text(pieces) => {
                for piece in pieces {
                    match piece {
                        Piece::Literal(text) => line.push_str(text),
                        Piece::Flag(flag) => write_flag(line, *flag, &now, metadata, message),
                    }
                }
            }
        }
    }
}

fn is_critical(metadata: &Metadata<'_>) -> bool {
    metadata.fields().field(CRITICAL).is_some()
}

fn level_name(metadata: &Metadata<'_>) -> &'static str {
    match *metadata.level() {
        tracing::Level::TRACE => "trace",
        tracing::Level::DEBUG => "debug",
        tracing::Level::INFO => "info",
        tracing::Level::WARN => "warning",
        tracing::Level::ERROR if is_critical(metadata) => "critical",
        tracing::Level::ERROR => "error",
    }
}

/// The flags of spdlog that Envoy's users have in their patterns; another one is written as it is.
fn write_flag(
    line: &mut String,
    flag: char,
    now: &OffsetDateTime,
    metadata: &Metadata<'_>,
    message: &str,
) {
    let file = metadata.file().unwrap_or_default();
    let short = file.rsplit('/').next().unwrap_or_default();
    // Writing to a string cannot fail.
    let _ = match flag {
        'Y' => write!(line, "{:04}", now.year()),
        'm' => write!(line, "{:02}", u8::from(now.month())),
        'd' => write!(line, "{:02}", now.day()),
        'H' => write!(line, "{:02}", now.hour()),
        'M' => write!(line, "{:02}", now.minute()),
        'S' => write!(line, "{:02}", now.second()),
        'T' | 'X' => write!(line, "{:02}:{:02}:{:02}", now.hour(), now.minute(), now.second()),
        'e' => write!(line, "{:03}", now.millisecond()),
        'f' => write!(line, "{:06}", now.microsecond()),
        'F' => write!(line, "{:09}", now.nanosecond()),
        'E' => write!(line, "{}", now.unix_timestamp()),
        'z' => write!(line, "+00:00"),
        't' => write!(line, "{}", std::thread::current().name().unwrap_or("?")),
        'P' => write!(line, "{}", std::process::id()),
        'l' => write!(line, "{}", level_name(metadata)),
        'L' => write!(line, "{}", level_name(metadata)[..1].to_uppercase()),
        'n' => write!(line, "{}", logger(metadata.target())),
        'g' => write!(line, "{file}"),
        's' => write!(line, "{short}"),
        '#' => write!(line, "{}", metadata.line().unwrap_or(0)),
        '@' => write!(line, "{file}:{}", metadata.line().unwrap_or(0)),
        'v' | '_' | 'j' => write!(line, "{message}"),
        '^' | '$' => Ok(()),
        other => write!(line, "%{other}"),
    };
}

/// The pieces of a time that are no flag of their own in both forms.
fn write_iso(now: &OffsetDateTime, out: &mut String) {
    let (date, (hour, minute, second)) = (now.date(), now.to_hms());
    let millis = now.millisecond();
    // Writing to a string cannot fail.
    let _ = write!(out, "{date}T{hour:02}:{minute:02}:{second:02}.{millis:03}Z");
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_pattern_keeps_what_it_does_not_know() {
        let Pattern::Text(pieces) = Pattern::new("a%%b%v%") else { panic!("text") };
        assert_eq!(pieces.len(), 3);
        assert!(matches!(&pieces[0], Piece::Literal(text) if text == "a%b"));
        assert!(matches!(&pieces[2], Piece::Literal(text) if text == "%"));
    }
}
