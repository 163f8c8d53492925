//! Figures over time: CSV and HdrHistogram log, one line a second, written while the run goes on.

use std::fs::File;
use std::io::{self, BufWriter, Write};
use std::path::Path;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use hdrhistogram::serialization::V2DeflateSerializer;
use hdrhistogram::serialization::interval_log::IntervalLogWriterBuilder;

use crate::record::Record;

/// Takes each second of a run.
pub(crate) trait Series {
    /// The measured time begins at this time of the wall clock.
    fn begin(&mut self, measured_from: SystemTime) -> io::Result<()>;
    /// What happened in `seconds` from `from`, both in seconds after the beginning.
    fn add(&mut self, from: f64, seconds: f64, record: &Record) -> io::Result<()>;
    /// Nothing more will come.
    fn end(&mut self) -> io::Result<()>;
}

/// Comma-separated values with a head line; times in microseconds.
#[derive(Debug)]
pub(crate) struct Csv<W: Write> {
    out: W,
}

impl Csv<BufWriter<File>> {
    pub(crate) fn create(path: &Path) -> io::Result<Self> {
        Ok(Self { out: BufWriter::new(File::create(path)?) })
    }
}

impl<W: Write> Series for Csv<W> {
    fn begin(&mut self, _: SystemTime) -> io::Result<()> {
        let names = "second,requests_per_second,errors,received_bytes,sent_bytes,mean_us";
        writeln!(self.out, "{names},p50_us,p90_us,p99_us,p99.9_us,max_us")
    }

    fn add(&mut self, from: f64, seconds: f64, record: &Record) -> io::Result<()> {
        let times = &record.latency;
        let us = |ns: u64| ns as f64 / 1e3;
        let at = |quantile| us(times.value_at_quantile(quantile));
        writeln!(
            self.out,
            "{:.2},{:.1},{},{},{},{:.1},{:.1},{:.1},{:.1},{:.1},{:.1}",
            from + seconds,
            record.right() as f64 / seconds,
            record.failures.total(),
            record.bytes_received,
            record.bytes_sent,
            times.mean() / 1e3,
            at(0.5),
            at(0.9),
            at(0.99),
            at(0.999),
            us(times.max())
        )
    }

    fn end(&mut self) -> io::Result<()> {
        self.out.flush()
    }
}

/// The log that HdrHistogram's own tools read: latency in nanoseconds, with the maximum of each
/// line in milliseconds, as is the custom.
pub(crate) struct HdrLog<W: Write> {
    out: W,
    serializer: V2DeflateSerializer,
}

impl HdrLog<BufWriter<File>> {
    pub(crate) fn create(path: &Path) -> io::Result<Self> {
        Ok(Self::new(BufWriter::new(File::create(path)?)))
    }
}

impl<W: Write> HdrLog<W> {
    fn new(out: W) -> Self {
        Self { out, serializer: V2DeflateSerializer::new() }
    }
}

/// Maximum values of the log are in milliseconds.
const MAX_VALUE_DIVISOR: f64 = 1e6;

impl<W: Write> Series for HdrLog<W> {
    fn begin(&mut self, measured_from: SystemTime) -> io::Result<()> {
        let since_epoch = measured_from.duration_since(UNIX_EPOCH).unwrap_or_default();
        writeln!(self.out, "#[Logged with ringway-load {}]", env!("CARGO_PKG_VERSION"))?;
        writeln!(self.out, "#[Histogram log format version 1.3]")?;
        writeln!(self.out, "#[MaxValueDivisor: {MAX_VALUE_DIVISOR:.3}]")?;
        writeln!(self.out, "#[StartTime: {:.3} (seconds since epoch)]", since_epoch.as_secs_f64())?;
        let legend = "StartTimestamp,Interval_Length,Interval_Max,Interval_Compressed_Histogram";
        let quoted: Vec<_> = legend.split(',').map(|name| format!("\"{name}\"")).collect();
        writeln!(self.out, "{}", quoted.join(","))
    }

    fn add(&mut self, from: f64, seconds: f64, record: &Record) -> io::Result<()> {
        let mut lines = Vec::new();
        IntervalLogWriterBuilder::new()
            .with_max_value_divisor(MAX_VALUE_DIVISOR)
            .begin_log_with(&mut lines, &mut self.serializer)?
            .write_histogram(
                &record.latency,
                Duration::from_secs_f64(from),
                Duration::from_secs_f64(seconds),
                None,
            )
            .map_err(|error| io::Error::other(format!("{error:?}")))?;
        // The builder repeats a comment on the divisor, which is said once.
        for line in lines.split_inclusive(|byte| *byte == b'\n').filter(|l| !l.starts_with(b"#")) {
            self.out.write_all(line)?;
        }
        Ok(())
    }

    fn end(&mut self) -> io::Result<()> {
        self.out.flush()
    }
}

#[cfg(test)]
mod tests {
    use hdrhistogram::Histogram;
    use hdrhistogram::serialization::Deserializer;
    use hdrhistogram::serialization::interval_log::{IntervalLogIterator, LogEntry};

    use super::*;

    fn record(ms: u64) -> Record {
        let mut record = Record::new(0);
        (1..=ms).for_each(|n| record.latency.saturating_record(n * 1_000_000));
        record
    }

    fn write(mut series: impl Series) {
        series.begin(UNIX_EPOCH + Duration::from_secs(1000)).expect("begun");
        series.add(0.0, 1.0, &record(10)).expect("added");
        series.add(1.0, 0.5, &record(20)).expect("added");
        series.end().expect("ended");
    }

    #[test]
    fn the_log_is_read_by_the_standard_reader() {
        let mut bytes = Vec::new();
        write(HdrLog::new(&mut bytes));
        let (mut intervals, mut start) = (Vec::new(), None);
        for entry in IntervalLogIterator::new(&bytes) {
            match entry.expect("an entry") {
                LogEntry::StartTime(time) => start = Some(time.as_secs()),
                LogEntry::Interval(interval) => {
                    let mut encoded = interval.encoded_histogram().as_bytes();
                    let histogram = decode(&mut encoded);
                    let at = interval.start_timestamp().as_secs_f64();
                    let took = interval.duration().as_secs_f64();
                    intervals.push((at, took, interval.max().round(), histogram.len()));
                }
                LogEntry::BaseTime(_) => panic!("there is none"),
            }
        }
        assert_eq!(start, Some(1000));
        assert_eq!(intervals, [(0.0, 1.0, 10.0, 10), (1.0, 0.5, 20.0, 20)]);
    }

    fn decode(encoded: &mut &[u8]) -> Histogram<u64> {
        let bytes = base64(encoded);
        Deserializer::new().deserialize(&mut bytes.as_slice()).expect("a histogram")
    }

    /// Standard base64, for the test's own reading.
    fn base64(text: &[u8]) -> Vec<u8> {
        let digit = |byte: u8| match byte {
            b'A'..=b'Z' => byte - b'A',
            b'a'..=b'z' => byte - b'a' + 26,
            b'0'..=b'9' => byte - b'0' + 52,
            b'+' => 62,
            _ => 63,
        };
        let (mut out, mut bits, mut count) = (Vec::new(), 0_u32, 0);
        for byte in text.iter().filter(|byte| **byte != b'=') {
            bits = bits << 6 | u32::from(digit(*byte));
            count += 6;
            if count >= 8 {
                count -= 8;
                out.push((bits >> count) as u8);
            }
        }
        out
    }

    #[test]
    fn csv_has_a_name_for_each_column() {
        let mut out = Vec::new();
        write(Csv { out: &mut out });
        let text = String::from_utf8(out).expect("text");
        let lines: Vec<Vec<&str>> = text.lines().map(|line| line.split(',').collect()).collect();
        assert_eq!(lines.len(), 3);
        assert!(lines.iter().all(|line| line.len() == lines[0].len()), "{text}");
        assert_eq!((lines[2][0], lines[2][1]), ("1.50", "40.0"));
    }
}
