//! What is said in one exchange: the bytes of the client and the answer of the origin.

use ringway_test_support::{Bootstrap, Origin, Refuser, Reply};

/// The peers that a configuration may name. All answer as the exchange says.
pub(crate) struct Peers {
    pub(crate) origins: Vec<(&'static str, Origin)>,
    pub(crate) refuser: Refuser,
}

impl Peers {
    pub(crate) fn new() -> Self {
        let origins = ["a", "b"].map(|name| (name, Origin::named(name)));
        Self { origins: origins.into(), refuser: Refuser::bind() }
    }

    pub(crate) fn a(&self) -> std::net::SocketAddr {
        self.origins[0].1.address()
    }

    pub(crate) fn b(&self) -> std::net::SocketAddr {
        self.origins[1].1.address()
    }
}

/// One configuration with what is said under it.
pub(crate) struct Corpus {
    pub(crate) name: &'static str,
    pub(crate) bootstrap: fn(&Peers) -> Bootstrap,
    pub(crate) exchanges: Vec<Exchange>,
}

#[derive(Clone, Debug)]
pub(crate) enum Step {
    /// The client sends these bytes.
    Send(Vec<u8>),
    /// The client sends these bytes one by one.
    Dribble(Vec<u8>),
    /// The client waits until an origin hears of the request.
    Heard,
    /// The client sends FIN.
    Finish,
    /// The client sends RST, and that is the end.
    Reset,
    /// The client reads the head of a response.
    Head,
    /// The client reads a response to a request of that method.
    Response(String),
}

#[derive(Clone, Debug)]
pub(crate) struct Exchange {
    pub(crate) name: String,
    pub(crate) listener: &'static str,
    pub(crate) steps: Vec<Step>,
    pub(crate) reply: Option<Reply>,
}

impl Exchange {
    /// Sends one request, `\n` standing for CRLF, and reads one response.
    pub(crate) fn ask(name: impl Into<String>, request: &str) -> Self {
        Self::bytes(name, request.replace('\n', "\r\n"))
    }

    /// Sends these bytes as they are, and reads one response.
    pub(crate) fn bytes(name: impl Into<String>, request: impl Into<Vec<u8>>) -> Self {
        let request = request.into();
        let method = request.split(|byte| *byte == b' ').next().unwrap_or_default();
        let response = Step::Response(String::from_utf8_lossy(method).into_owned());
        let steps = vec![Step::Send(request), response];
        Self { name: name.into(), listener: "main", steps, reply: None }
    }

    /// A GET of that path with `host: a` and these further fields, each ending with `\n`.
    pub(crate) fn get(name: impl Into<String>, path: &str, fields: &str) -> Self {
        Self::ask(name, &format!("GET {path} HTTP/1.1\nhost: a\n{fields}\n"))
    }

    /// On another listener than `main`.
    pub(crate) fn on(mut self, listener: &'static str) -> Self {
        self.listener = listener;
        self
    }

    /// The origins answer so instead of their 200.
    pub(crate) fn reply(mut self, reply: Reply) -> Self {
        self.reply = Some(reply);
        self
    }

    /// The origins answer with these bytes, `\n` standing for CRLF.
    pub(crate) fn told(self, response: &str) -> Self {
        self.reply(Reply::raw(response.replace('\n', "\r\n")))
    }

    /// The bytes go one by one.
    pub(crate) fn dribbled(mut self) -> Self {
        for step in &mut self.steps {
            if let Step::Send(bytes) = step {
                *step = Step::Dribble(std::mem::take(bytes));
            }
        }
        self
    }

    /// One more response is read.
    pub(crate) fn and_response(mut self) -> Self {
        self.steps.push(Step::Response("GET".into()));
        self
    }

    /// Then these bytes are sent, `\n` standing for CRLF.
    pub(crate) fn then(mut self, bytes: &str) -> Self {
        self.steps.push(Step::Send(bytes.replace('\n', "\r\n").into_bytes()));
        self
    }

    /// The client sends FIN before it reads.
    pub(crate) fn finishing(mut self) -> Self {
        self.steps.insert(1, Step::Finish);
        self
    }

    /// The client sends FIN when the request has reached an origin, before it reads.
    pub(crate) fn abandoned(mut self) -> Self {
        self.steps.insert(1, Step::Heard);
        self.steps.insert(2, Step::Finish);
        self
    }

    /// The client sends FIN when the head of the response has come.
    pub(crate) fn left(mut self) -> Self {
        self.steps.truncate(1);
        self.steps.extend([Step::Head, Step::Finish]);
        self
    }

    /// The client sends RST when the head of the response has come.
    pub(crate) fn torn_in_response(mut self) -> Self {
        self.steps.truncate(1);
        self.steps.extend([Step::Head, Step::Reset]);
        self
    }

    /// These bytes follow, `\n` standing for CRLF, when the request has reached an origin.
    pub(crate) fn continued(mut self, bytes: &str) -> Self {
        let rest = Step::Send(bytes.replace('\n', "\r\n").into_bytes());
        self.steps.splice(1..1, [Step::Heard, rest]);
        self
    }

    /// The client sends RST when the request has reached an origin.
    pub(crate) fn torn(mut self) -> Self {
        self.steps.truncate(1);
        self.steps.extend([Step::Heard, Step::Reset]);
        self
    }
}

/// A POST of that path with a sized body.
pub(crate) fn post(name: impl Into<String>, path: &str, body: &str) -> Exchange {
    let length = body.len();
    let request = format!("POST {path} HTTP/1.1\nhost: a\ncontent-length: {length}\n\n");
    Exchange::bytes(name, request.replace('\n', "\r\n") + body)
}

impl std::fmt::Display for Step {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let shown = |bytes: &[u8]| match bytes.len() {
            0..=2000 => ringway_test_support::escape(bytes),
            length => format!("{}... {length} bytes", ringway_test_support::escape(&bytes[..200])),
        };
        match self {
            Self::Send(bytes) => write!(f, "{}", shown(bytes)),
            Self::Dribble(bytes) => write!(f, "byte by byte: {}", shown(bytes)),
            Self::Heard => write!(f, "(waits until the origin hears of it)"),
            Self::Finish => write!(f, "FIN"),
            Self::Reset => write!(f, "RST"),
            Self::Head => write!(f, "(reads a head)"),
            Self::Response(_) => write!(f, "(reads a response)"),
        }
    }
}
