//! Redirects and their locations.

use super::*;

fn location(redirect: &Redirect, matcher: PathMatch, mut head: RequestHead) -> String {
    let matcher = RouteMatch::new(matcher);
    redirect.rewrite(&matcher, &mut head, false, &mut Scratch::new());
    let mut out = Vec::new();
    redirect.write_location(&head, head.scheme(), &mut out);
    String::from_utf8(out).expect("UTF-8")
}

fn regex(pattern: &str, substitution: &str) -> PathRewrite {
    PathRewrite::Regex(RegexRewrite::new(pattern, substitution).expect("a valid rewrite"))
}

fn prefix(text: &str) -> PathRewrite {
    PathRewrite::Prefix(text.as_bytes().into())
}

fn text(text: &str) -> Box<str> {
    Box::from(text)
}

#[test]
fn each_part_of_a_location() {
    let base = Redirect::default;
    let https = || Some(text("https"));
    for (redirect, expected) in [
        (base(), "http://h/m?a=b"),
        (Redirect { scheme: https(), ..base() }, "https://h/m?a=b"),
        (Redirect { scheme: Some(text("FTP")), ..base() }, "FTP://h/m?a=b"),
        (Redirect { port: Some(8443), ..base() }, "http://h:8443/m?a=b"),
        (Redirect { port: Some(443), scheme: https(), ..base() }, "https://h:443/m?a=b"),
        (Redirect { host: text("n.com"), port: Some(81), ..base() }, "http://n.com:81/m?a=b"),
        (Redirect { host: text("n.com:99"), ..base() }, "http://n.com:99/m?a=b"),
        (Redirect { path: text("/p"), ..base() }, "http://h/p?a=b"),
        (Redirect { path: text("p"), ..base() }, "http://h/p?a=b"),
        (Redirect { path: text("/p?own=1"), ..base() }, "http://h/p?own=1"),
        (Redirect { path: text("?x=1"), ..base() }, "http://h/?x=1"),
        (Redirect { path: text("/p#f"), ..base() }, "http://h/p#f?a=b"),
        (Redirect { strip_query: true, host: text("s.com"), ..base() }, "http://s.com/m"),
        (Redirect { strip_query: true, path: text("/p?own=1"), ..base() }, "http://h/p?own=1"),
        (Redirect { strip_query: true, path: text("/p"), ..base() }, "http://h/p"),
        (Redirect { path_rewrite: prefix("/newpre"), ..base() }, "http://h/newpre?a=b"),
        (Redirect { path_rewrite: prefix("n"), ..base() }, "http://h/n?a=b"),
        (Redirect { path_rewrite: prefix("/n?x=1"), ..base() }, "http://h/n?x=1?a=b"),
        (Redirect { path_rewrite: prefix("/n?x"), strip_query: true, ..base() }, "http://h/n"),
        (Redirect { path_rewrite: regex("/(m)", r"/y/\1"), ..base() }, "http://h/y/m?a=b"),
        (Redirect { path_rewrite: regex(".*", "q"), ..base() }, "http://h/q?a=b"),
    ] {
        let head = get("/m?a=b", &[]);
        assert_eq!(location(&redirect, PathMatch::prefix("/m"), head), expected, "{redirect:?}");
    }
}

#[test]
fn default_ports_go_when_the_scheme_changes() {
    let redirect = |scheme: Option<&str>, port| Redirect {
        scheme: scheme.map(Box::from),
        port,
        ..Redirect::default()
    };
    let (https, http) = (|| redirect(Some("https"), None), || redirect(Some("http"), None));
    for (redirect, host, protocol, expected) in [
        (https(), "h:80", "http", "https://h/"),
        (https(), "h:80", "https", "https://h:80/"),
        (https(), "h:443", "http", "https://h:443/"),
        (https(), "h:443", "https", "https://h:443/"),
        (http(), "h:80", "http", "http://h:80/"),
        (http(), "h:443", "https", "http://h/"),
        (https(), "h:8080", "http", "https://h:8080/"),
        (https(), "[::1]:80", "http", "https://[::1]/"),
        (https(), "[::1]", "http", "https://[::1]/"),
        (https(), "::1", "http", "https://::1/"),
        (https(), "h:", "http", "https://h:/"),
        (redirect(None, Some(8443)), "h:80", "http", "http://h:8443/"),
        (redirect(None, Some(8443)), "[::1]:80", "http", "http://[::1]:8443/"),
        (redirect(None, Some(8443)), "[::1]", "http", "http://[::1]:8443/"),
        (redirect(None, Some(8443)), "h:", "http", "http://h:8443/"),
        (redirect(None, None), "h:80", "http", "http://h:80/"),
    ] {
        let fields = [("x-forwarded-proto", protocol), (":scheme", protocol)];
        let head = request(host, "/", &fields);
        let actual = location(&redirect, PathMatch::prefix("/"), head);
        assert_eq!(actual, expected, "{host} {protocol} {redirect:?}");
    }
}

#[test]
fn a_rewritten_path_is_kept_for_the_log() {
    let redirect = Redirect { path_rewrite: prefix("/n"), ..Redirect::default() };
    let matcher = RouteMatch::new(PathMatch::prefix("/m"));
    let mut head = get("/m?a", &[]);
    redirect.rewrite(&matcher, &mut head, false, &mut Scratch::new());
    assert_eq!(lines(&head.fields), "x-envoy-original-path: /m?a");
    assert_eq!(head.path(), b"/n?a");
}

#[test]
fn statuses() {
    use RedirectStatus::{Found, MovedPermanently, PermanentRedirect, SeeOther, TemporaryRedirect};
    let all = [MovedPermanently, Found, SeeOther, TemporaryRedirect, PermanentRedirect];
    assert_eq!(all.map(RedirectStatus::code), [301, 302, 303, 307, 308]);
    assert_eq!(Redirect::default().status(), 301);
}

#[test]
fn the_redirect_to_tls_keeps_the_port() {
    let mut out = Vec::new();
    write_tls_location(&request("h:80", "/a?b", &[]), &mut out);
    assert_eq!(out, b"https://h:80/a?b");
}

#[test]
fn direct_responses_that_name_the_url() {
    for (status, expected) in [(200, false), (201, true), (302, true), (304, true), (404, false)] {
        let direct = DirectResponse { status, body: [].into(), body_format: None };
        assert_eq!(direct.needs_location(), expected, "{status}");
    }
    let head = get("/x/y?z", &[]);
    let unchanged = Redirect::unchanged();
    assert_eq!(location(&unchanged, PathMatch::prefix("/"), head), "http://h/x/y?z");
}
