//! The statistics for a browser: the text form on a page.

use std::fmt::Write;

use super::{Buckets, text};
use crate::admin::commands::escape;
use crate::telemetry::Reading;

/// A page that loads itself again every `refresh` seconds, if given.
pub(super) fn render(reading: &Reading, buckets: Buckets, refresh: Option<u32>) -> String {
    let mut page = String::from("<!DOCTYPE html>\n<html lang='en'>\n<head>\n");
    page.push_str("<title>Ringway statistics</title>\n");
    if let Some(seconds) = refresh {
        // Writing to a string cannot fail.
        let _ = writeln!(page, "<meta http-equiv='refresh' content='{seconds}'>");
    }
    page.push_str("</head>\n<body>\n<pre>\n");
    page.push_str(&escape(&text::render(reading, buckets)));
    page.push_str("</pre>\n</body>\n</html>\n");
    page
}
