use std::fs;

use ringway_bridge::log_ring::Batch;
use ringway_bridge::stats::Total;

use super::*;

/// Far more than a loaded machine needs.
const LIMIT: Duration = Duration::from_secs(30);

fn counter(catalog: &Catalog, name: &str) -> u64 {
    match catalog.total(name) {
        Some(Total::Counter(value)) => value,
        other => panic!("{name}: {other:?}"),
    }
}

fn send(sender: &LogSender, sink: SinkId, line: &str) {
    let mut bytes = sender.buffer();
    bytes.extend_from_slice(line.as_bytes());
    sender.send(Batch { sink: sink.0, bytes });
}

#[test]
fn lines_of_all_workers_reach_one_file_that_is_opened_once() {
    let folder = tempfile::tempdir().expect("a folder");
    let target = LogTarget::File(folder.path().join("access.log"));
    let catalog = Catalog::default();
    let (mut writer, senders) = LogWriter::start(&catalog, 2).expect("started");
    let sink = writer.open(&target).expect("opened");
    assert_eq!(writer.open(&target).expect("again"), sink);
    send(&senders[0], sink, "one\n");
    send(&senders[0], sink, "two\n");
    send(&senders[1], sink, "three\n");
    writer.flush(LIMIT).expect("flushed");
    let text = fs::read_to_string(folder.path().join("access.log")).expect("read");
    assert_eq!(text, "one\ntwo\nthree\n");
    assert_eq!(counter(&catalog, "filesystem.write_completed"), 3);
    assert_eq!(counter(&catalog, "filesystem.write_buffered"), 3);
    assert_eq!(counter(&catalog, "filesystem.write_failed"), 0);
}

#[test]
fn reopening_follows_the_name_and_loses_nothing() {
    let folder = tempfile::tempdir().expect("a folder");
    let (path, moved) = (folder.path().join("access.log"), folder.path().join("access.log.1"));
    let (mut writer, senders) = LogWriter::start(&Catalog::default(), 1).expect("started");
    let sink = writer.open(&LogTarget::File(path.clone())).expect("opened");
    send(&senders[0], sink, "before\n");
    writer.flush(LIMIT).expect("flushed");
    fs::rename(&path, &moved).expect("moved");
    send(&senders[0], sink, "between\n");
    writer.reopen().expect("reopened");
    writer.flush(LIMIT).expect("flushed");
    send(&senders[0], sink, "after\n");
    writer.flush(LIMIT).expect("flushed");
    assert_eq!(fs::read_to_string(&moved).expect("read"), "before\nbetween\n");
    assert_eq!(fs::read_to_string(&path).expect("read"), "after\n");
}

#[test]
fn a_file_that_cannot_be_opened_again_keeps_the_old_one() {
    let folder = tempfile::tempdir().expect("a folder");
    let inner = folder.path().join("inner");
    fs::create_dir(&inner).expect("created");
    let catalog = Catalog::default();
    let (mut writer, senders) = LogWriter::start(&catalog, 1).expect("started");
    let sink = writer.open(&LogTarget::File(inner.join("access.log"))).expect("opened");
    fs::rename(&inner, folder.path().join("gone")).expect("moved");
    writer.reopen().expect("ordered");
    send(&senders[0], sink, "still\n");
    writer.flush(LIMIT).expect("flushed");
    let text = fs::read_to_string(folder.path().join("gone/access.log")).expect("read");
    assert_eq!(text, "still\n");
    assert_eq!(counter(&catalog, "filesystem.reopen_failed"), 1);
}

#[test]
fn failures_are_counted_and_other_sinks_go_on() {
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("access.log");
    let catalog = Catalog::default();
    let (mut writer, senders) = LogWriter::start(&catalog, 1).expect("started");
    let full = writer.open(&LogTarget::File("/dev/full".into())).expect("opened");
    let good = writer.open(&LogTarget::File(path.clone())).expect("opened");
    send(&senders[0], full, "lost\n");
    send(&senders[0], good, "kept\n");
    writer.flush(LIMIT).expect("flushed");
    assert_eq!(counter(&catalog, "filesystem.write_failed"), 1);
    assert_eq!(fs::read_to_string(&path).expect("read"), "kept\n");
}

#[test]
fn the_end_writes_what_is_queued() {
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("access.log");
    let (mut writer, senders) = LogWriter::start(&Catalog::default(), 1).expect("started");
    let sink = writer.open(&LogTarget::File(path.clone())).expect("opened");
    (0..100).for_each(|n| send(&senders[0], sink, &format!("{n}\n")));
    drop(writer);
    let expected: String = (0..100).map(|n| format!("{n}\n")).collect();
    assert_eq!(fs::read_to_string(&path).expect("read"), expected);
}

#[test]
fn a_file_in_no_folder_is_an_error_at_once() {
    let (mut writer, _senders) = LogWriter::start(&Catalog::default(), 1).expect("started");
    let target = LogTarget::File("/nonexistent/access.log".into());
    let error = writer.open(&target).expect_err("no such folder");
    assert_eq!(error.kind(), io::ErrorKind::NotFound);
}
