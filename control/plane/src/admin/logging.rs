//! `/logging`: the levels of the program's own log, per logger.

use std::fmt;
use std::sync::{Mutex, MutexGuard, PoisonError};

use super::query::Request;
use super::reply::Reply;
use super::state::AdminState;

/// Loggers by the names that Envoy gives the same parts.
pub const LOGGERS: &[&str] = &[
    "admin",
    "client",
    "config",
    "conn_handler",
    "connection",
    "dns",
    "file",
    "filter",
    "hc",
    "http",
    "io",
    "main",
    "pool",
    "router",
    "runtime",
    "stats",
    "upstream",
];

/// A level of Envoy's log.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[allow(missing_docs, reason = "the names say it")]
pub enum Level {
    Trace,
    Debug,
    Info,
    Warning,
    Error,
    Critical,
    Off,
}

impl Level {
    const ALL: [Self; 7] = [
        Self::Trace,
        Self::Debug,
        Self::Info,
        Self::Warning,
        Self::Error,
        Self::Critical,
        Self::Off,
    ];

    /// By its name; `warn` and `err` are short forms, as on Envoy's command line.
    pub fn parse(name: &str) -> Option<Self> {
        match name {
            "warn" => Some(Self::Warning),
            "err" => Some(Self::Error),
            _ => Self::ALL.into_iter().find(|level| level.name() == name),
        }
    }

    /// As Envoy spells it.
    pub fn name(self) -> &'static str {
        match self {
            Self::Trace => "trace",
            Self::Debug => "debug",
            Self::Info => "info",
            Self::Warning => "warning",
            Self::Error => "error",
            Self::Critical => "critical",
            Self::Off => "off",
        }
    }
}

type Levels = Vec<(&'static str, Level)>;
type Apply = Box<dyn Fn(&[(&'static str, Level)]) + Send + Sync>;

/// The level of each logger, and how to put a change into effect.
pub struct LogLevels {
    levels: Mutex<Levels>,
    apply: Apply,
}

impl fmt::Debug for LogLevels {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("LogLevels").field("levels", &self.levels).finish_non_exhaustive()
    }
}

impl LogLevels {
    /// All `loggers` begin at `level`; `apply` is called with all of them after each change.
    pub fn new(loggers: &[&'static str], level: Level, apply: Apply) -> Self {
        let levels = loggers.iter().map(|name| (*name, level)).collect();
        Self { levels: Mutex::new(levels), apply }
    }

    fn lock(&self) -> MutexGuard<'_, Levels> {
        // A list of levels is valid whenever a panic could have left it.
        self.levels.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Sets one logger, or all; nothing changes when one of the names is unknown.
    fn set(&self, changes: &[(&str, Level)]) -> Result<(), &'static str> {
        let mut levels = self.lock();
        let mut changed = levels.clone();
        for (name, level) in changes {
            let found = changed.iter_mut().find(|(own, _)| own == name);
            found.ok_or("unknown logger name")?.1 = *level;
        }
        (self.apply)(&changed);
        *levels = changed;
        Ok(())
    }

    fn set_all(&self, level: Level) {
        let mut levels = self.lock();
        levels.iter_mut().for_each(|(_, own)| *own = level);
        (self.apply)(&levels);
    }

    fn list(&self) -> String {
        let levels = self.lock();
        let lines = levels.iter().map(|(name, level)| format!("  {name}: {}\n", level.name()));
        format!("active loggers:\n{}\n", lines.collect::<String>())
    }
}

/// Lists the levels, after changing them if a parameter says so.
pub(crate) fn logging(state: &AdminState, request: &Request) -> Reply {
    let levels = &state.log_levels;
    match change(levels, request) {
        Ok(()) => Reply::text(levels.list()),
        Err(error) => Reply::bad_request(format!("error: {error}\n\n{USAGE}{}", levels.list())),
    }
}

const USAGE: &str = "usage: /logging?<name>=<level> (change single level)\n\
usage: /logging?paths=name1:level1,name2:level2,... (change multiple levels)\n\
usage: /logging?level=<level> (change all levels)\n\
usage: /logging?group=<group_name>:<level> (change group of loggers)\n\
levels: trace debug info warning error critical off \n";

fn change(levels: &LogLevels, request: &Request) -> Result<(), &'static str> {
    if request.params.len() > 1 {
        return Err("invalid number of parameters");
    }
    match request.params.iter().next() {
        None | Some(("paths" | "level", "")) => Ok(()),
        Some(("paths", list)) => levels.set(&paths(list)?),
        Some(("level", level)) => {
            levels.set_all(Level::parse(level).ok_or("unknown logger level")?);
            Ok(())
        }
        Some(("group", _)) => Err("group parameter requires fine-grain logging to be enabled"),
        Some((name, level)) => {
            let level = Level::parse(level).ok_or("unknown logger level")?;
            levels.set(&[(name, level)])
        }
    }
}

/// `name:level,name:level`
fn paths(list: &str) -> Result<Vec<(&str, Level)>, &'static str> {
    let pairs = list.split(',').map(|pair| {
        let (name, level) = pair.split_once(':').unwrap_or((pair, ""));
        if name.is_empty() || level.is_empty() {
            return Err("empty logger name or empty logger level");
        }
        Ok((name, Level::parse(level).ok_or("unknown logger level")?))
    });
    pairs.collect()
}

#[cfg(test)]
mod tests {
    use std::sync::{Arc, mpsc};

    use super::super::query::Params;
    use super::*;

    fn try_change(query: &str) -> (Result<(), &'static str>, Option<Levels>) {
        let (sender, applied) = mpsc::channel();
        let apply = move |levels: &[(&'static str, Level)]| {
            let _ = sender.send(levels.to_vec());
        };
        let levels = Arc::new(LogLevels::new(&["http", "main"], Level::Info, Box::new(apply)));
        let request = Request {
            method: hyper::Method::POST,
            path: "/logging".to_owned(),
            params: Params::parse(query),
        };
        (change(&levels, &request), applied.try_recv().ok())
    }

    #[test]
    fn levels_change_together_or_not_at_all() {
        let all = |http, main| Some(vec![("http", http), ("main", main)]);
        assert_eq!(try_change(""), (Ok(()), None));
        assert_eq!(try_change("level=debug"), (Ok(()), all(Level::Debug, Level::Debug)));
        assert_eq!(try_change("main=off"), (Ok(()), all(Level::Info, Level::Off)));
        let both = try_change("paths=http:error,main:warn");
        assert_eq!(both, (Ok(()), all(Level::Error, Level::Warning)));
        let half = try_change("paths=http:error,foo:warning");
        assert_eq!(half, (Err("unknown logger name"), None));
    }

    #[test]
    fn mistakes_are_named_as_envoy_names_them() {
        assert_eq!(try_change("level=xx").0, Err("unknown logger level"));
        assert_eq!(try_change("foo=bar").0, Err("unknown logger level"));
        assert_eq!(try_change("paths=http").0, Err("empty logger name or empty logger level"));
        assert_eq!(try_change("level=info&http=info").0, Err("invalid number of parameters"));
    }
}
