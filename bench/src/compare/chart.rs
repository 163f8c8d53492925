//! The comparison as a drawing: CPU time per request, one bar for each peer and workload.

use std::fmt::Write as _;

use super::report::{Outcome, Report};

const WIDTH: f64 = 900.0;
/// Where bars begin and how long the longest is.
const LEFT: f64 = 90.0;
const LONGEST: f64 = 680.0;
const BAR: f64 = 16.0;
const GAP: f64 = 4.0;
const TITLE: f64 = 30.0;

/// An SVG of the whole report.
pub(super) fn draw(report: &Report) -> String {
    let mut body = String::new();
    let mut y = 46.0;
    for outcome in &report.workloads {
        y = workload(&mut body, outcome, y);
    }
    let head = format!(
        "<svg xmlns=\"http://www.w3.org/2000/svg\" width=\"{WIDTH}\" height=\"{y}\" \
         font-family=\"sans-serif\" font-size=\"12\">\n\
         <rect width=\"100%\" height=\"100%\" fill=\"white\"/>\n"
    );
    let title = "CPU microseconds per request: less is better (dark: user, light: kernel)";
    let host = escape(&report.host.line());
    format!(
        "{head}<text x=\"10\" y=\"20\" font-size=\"15\">{title}</text>\n\
         <text x=\"10\" y=\"36\" fill=\"#666\">{host}</text>\n{body}</svg>\n"
    )
}

/// Draws one workload below `y`; returns where the next one begins.
fn workload(body: &mut String, outcome: &Outcome, mut y: f64) -> f64 {
    let most = outcome.rows.iter().map(|row| row.median(|s| s.cpu_us)).fold(1e-9, f64::max);
    let title = escape(&format!("{}: {}", outcome.name, outcome.title));
    y += TITLE;
    let _ =
        writeln!(body, "<text x=\"10\" y=\"{:.0}\" font-weight=\"bold\">{title}</text>", y - 8.0);
    for row in &outcome.rows {
        let (all, user) = (row.median(|s| s.cpu_us), row.median(|s| s.user_us));
        let (wide, dark) = (all / most * LONGEST, user / most * LONGEST);
        let (light_colour, dark_colour) = colours(&row.peer);
        let base = y + BAR - GAP;
        let _ = writeln!(
            body,
            "<text x=\"10\" y=\"{base:.0}\">{}</text>\
             <rect x=\"{LEFT}\" y=\"{y:.0}\" width=\"{wide:.1}\" height=\"{BAR}\" \
             fill=\"{light_colour}\"/>\
             <rect x=\"{LEFT}\" y=\"{y:.0}\" width=\"{dark:.1}\" height=\"{BAR}\" \
             fill=\"{dark_colour}\"/>\
             <text x=\"{:.0}\" y=\"{base:.0}\">{all:.2}</text>",
            escape(&row.peer),
            LEFT + wide + GAP,
        );
        y += BAR + GAP;
    }
    y
}

fn colours(peer: &str) -> (&'static str, &'static str) {
    match peer {
        "floor" => ("#c9c9c9", "#8a8a8a"),
        "ringway" | "ringway-epoll" => ("#7fb3e6", "#1f6fbf"),
        _ => ("#e6c79c", "#b9812f"),
    }
}

fn escape(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;")
}

#[cfg(test)]
mod tests {
    use super::super::report::tests;
    use super::*;

    #[test]
    fn the_longest_bar_is_the_dearest_peer() {
        let svg = draw(&tests::report());
        assert_eq!(svg.matches("<rect").count(), 1 + 2 * 4);
        assert!(svg.contains("width=\"680.0\""), "{svg}");
        assert!(svg.starts_with("<svg") && svg.ends_with("</svg>\n"));
        assert_eq!(escape("a<b>&c"), "a&lt;b&gt;&amp;c");
    }
}
