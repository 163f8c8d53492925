//! Runs a corpus on both programs and reports every difference at once.

use std::fmt::Write;
use std::thread;

use ringway_test_support::{Make, envoy, skip};

use crate::differences;
use crate::exchange::Corpus;
use crate::play::{Outcome, play};

/// Fails with a report when the programs differ where they should not, or agree where a difference
/// is on record.
pub(crate) fn check(corpus: &Corpus) {
    if envoy().is_none() {
        return skip("nothing to compare with");
    }
    let (reference, subject) = thread::scope(|scope| {
        let reference = scope.spawn(|| play(corpus, Make::Envoy));
        let subject = play(corpus, Make::subject());
        (reference.join().expect("the reference's side does not panic"), subject)
    });
    let mut reference = reference.unwrap_or_else(|why| panic!("Envoy on {}: {why}", corpus.name));
    if std::env::var_os("RINGWAY_DIFF_PRINT").is_some() {
        print(corpus, &reference);
    }
    let mut subject = subject.unwrap_or_else(|why| panic!("{:?}: {why}", Make::subject()));
    keep_shown(&mut reference, &mut subject);
    let report = report(corpus, &reference, &subject);
    assert!(report.is_empty(), "{report}");
}

/// The names of what follows the last exchange.
const AFTERWARDS: [&str; 2] = ["access log", "statistics"];

/// Envoy shows many statistics of what Ringway does not have, and makes some only when they are
/// first counted: compared are those that Ringway shows, and it may show none above zero that
/// Envoy has not.
fn keep_shown(reference: &mut [Outcome], subject: &mut [Outcome]) {
    let ([.., reference], [.., subject]) = (reference, subject) else { return };
    let is_statistic = |line: &str| line.starts_with("http.main.") || line.starts_with("cluster.");
    let name = |line: &String| line.split(": ").next().unwrap_or("").to_owned();
    let (theirs, ours): (Vec<String>, Vec<String>) =
        (reference.iter().map(name).collect(), subject.iter().map(name).collect());
    reference.retain(|line| !is_statistic(line) || ours.contains(&name(line)));
    let uncounted = |line: &String| line.ends_with(": 0") && !theirs.contains(&name(line));
    subject.retain(|line| !is_statistic(line) || !uncounted(line));
}

fn print(corpus: &Corpus, outcomes: &[Outcome]) {
    for (exchange, outcome) in corpus.exchanges.iter().zip(outcomes) {
        let steps: Vec<String> = exchange.steps.iter().map(|step| format!("> {step}")).collect();
        let (steps, outcome) = (steps.join("\n"), outcome.join("\n"));
        println!("=== {} / {}\n{steps}\n{outcome}\n", corpus.name, exchange.name);
    }
    for (name, lines) in AFTERWARDS.iter().zip(&outcomes[corpus.exchanges.len()..]) {
        println!("=== {} / {name}\n{}\n", corpus.name, lines.join("\n"));
    }
}

fn report(corpus: &Corpus, reference: &[Outcome], subject: &[Outcome]) -> String {
    let mut report = String::new();
    let mut differing = 0;
    for index in 0..reference.len() {
        let exchange = corpus.exchanges.get(index);
        let afterwards = || AFTERWARDS[index - corpus.exchanges.len()];
        let name = exchange.map_or_else(afterwards, |exchange| &exchange.name);
        let known = differences::reason(corpus.name, name);
        // Envoy does not differ from itself.
        let known = known.filter(|_| Make::subject() == Make::Ringway);
        let equal = reference[index] == subject[index];
        if equal == known.is_none() {
            continue;
        }
        differing += 1;
        let _ = writeln!(report, "=== {} / {name}", corpus.name);
        if let Some(known) = known {
            let _ = writeln!(report, "no difference any more, but on record: {known}");
            continue;
        }
        for step in exchange.iter().flat_map(|exchange| &exchange.steps) {
            let _ = writeln!(report, "    > {step}");
        }
        draw(&mut report, &reference[index], &subject[index]);
    }
    if differing > 0 {
        let of = corpus.exchanges.len();
        let _ = writeln!(report, "{differing} of {of} exchanges differ ( - Envoy, + subject )");
    }
    report
}

/// Both outcomes in one column, by their longest common subsequence of lines.
fn draw(report: &mut String, reference: &[String], subject: &[String]) {
    let (rows, columns) = (reference.len(), subject.len());
    let mut common = vec![vec![0usize; columns + 1]; rows + 1];
    for row in (0..rows).rev() {
        for column in (0..columns).rev() {
            common[row][column] = match reference[row] == subject[column] {
                true => common[row + 1][column + 1] + 1,
                false => common[row + 1][column].max(common[row][column + 1]),
            };
        }
    }
    let (mut row, mut column) = (0, 0);
    while row < rows || column < columns {
        let both = row < rows && column < columns;
        if both && reference[row] == subject[column] {
            let _ = writeln!(report, "      {}", reference[row]);
            (row, column) = (row + 1, column + 1);
        } else if column >= columns
            || (row < rows && common[row + 1][column] >= common[row][column + 1])
        {
            let _ = writeln!(report, "    - {}", reference[row]);
            row += 1;
        } else {
            let _ = writeln!(report, "    + {}", subject[column]);
            column += 1;
        }
    }
}

#[test]
fn a_difference_is_seen_and_drawn() {
    let mut report = String::new();
    let lines = |text: &str| text.lines().map(str::to_owned).collect::<Vec<_>>();
    draw(&mut report, &lines("200\na\nb\nopen"), &lines("200\nb\na\nclosed"));
    let drawn: Vec<&str> = report.lines().map(str::trim).collect();
    assert_eq!(drawn, ["200", "- a", "b", "- open", "+ a", "+ closed"]);
}
