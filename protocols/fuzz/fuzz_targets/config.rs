//! Configurations as text: each is read, or refused with errors that point into it; and what is
//! read is printed so that it reads the same.
#![no_main]

use libfuzzer_sys::fuzz_target;
use ringway_config::{ConfigError, Format, Source, Support, load, print};

fn read(text: &str, format: Format) -> Result<load::Loaded, Vec<ConfigError>> {
    let source = Source { name: "x".into(), text: text.into(), format };
    Ok(load::read(&[source], &Support::built_in())?)
}

fuzz_target!(|data: &[u8]| {
    let Some((flags, data)) = data.split_first() else { return };
    let Ok(text) = str::from_utf8(data) else { return };
    let format = if flags & 1 == 0 { Format::Yaml } else { Format::Json };
    match read(text, format) {
        Ok(loaded) => {
            let printed = print::compact(&loaded.message);
            let again = read(&printed, Format::Json).unwrap_or_else(|e| panic!("{printed}: {e:?}"));
            assert!(loaded.message == again.message, "{printed}");
        }
        Err(errors) => {
            // To YAML a lone CR ends a line, too (YAML 1.2.2 section 5.4); 1.1 knew three more.
            let ends = ['\r', '\n', '\u{85}', '\u{2028}', '\u{2029}'];
            let lines = text.matches(ends).count() as u32 + 2;
            assert!(!errors.is_empty());
            for error in errors {
                assert!(error.line <= lines && !error.to_string().contains('\n'), "{error}");
            }
        }
    }
});
