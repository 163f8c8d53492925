//! Paths and hosts: what is normalised has no dot segments, no backslash, no NUL.
#![no_main]

use libfuzzer_sys::fuzz_target;
use ringway_http::RequestHead;
use ringway_http::normalize::{
    merge_slashes, normalize_path, strip_any_host_port, strip_matching_host_port,
    strip_trailing_host_dot, unescape_slashes,
};

fn is_dotted(segment: &[u8]) -> bool {
    let name = segment.split(|byte| *byte == b';').next().unwrap_or_default();
    name == b"." || name == b".."
}

fuzz_target!(|data: &[u8]| {
    let (mut once, mut twice) = (Vec::new(), Vec::new());
    // A path with a fragment is refused before it comes here.
    if data.first() == Some(&b'/')
        && !data.contains(&b'#')
        && normalize_path(data, &mut once).is_ok()
    {
        let mut head = RequestHead::new();
        head.set_path(&once);
        let whole = head.path_without_query();
        assert!(whole.starts_with(b"/") && !whole.contains(&b'\\') && !whole.contains(&0));
        assert!(!whole.split(|byte| *byte == b'/').any(is_dotted), "{}", whole.escape_ascii());
        if !data.contains(&b'%') {
            assert_eq!(normalize_path(&once, &mut twice), Ok(false), "{}", once.escape_ascii());
        }
    }
    merge_slashes(data, &mut once);
    assert!(!merge_slashes(&once, &mut twice), "{}", once.escape_ascii());
    unescape_slashes(data, &mut once);
    assert!(once.len() <= data.len());
    let len = strip_any_host_port(data);
    assert!(len <= data.len() && strip_matching_host_port(data, 80) >= len);
    strip_trailing_host_dot(&mut data.to_vec());
});
