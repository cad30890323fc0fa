//! The few options of a bench: `cargo bench --bench NAME -- --rounds 7`.

use std::str::FromStr;

/// The value behind `--name`, or `default`. Ends the process when it can't be read.
pub(crate) fn value<T: FromStr>(name: &str, default: T) -> T {
    let flag = format!("--{name}");
    let mut arguments = std::env::args().skip_while(|argument| *argument != flag);
    if arguments.next().is_none() {
        return default;
    }
    match arguments.next().map(|text| text.parse()) {
        Some(Ok(value)) => value,
        Some(Err(_)) | None => {
            eprintln!("{flag} needs a value of another form; see docs/benchmarks.md");
            std::process::exit(2);
        }
    }
}

/// Several numbers, with commas between them.
pub(crate) struct List(pub(crate) Vec<usize>);

impl FromStr for List {
    type Err = std::num::ParseIntError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let numbers = text.split(',').map(|number| number.trim().parse());
        Ok(Self(numbers.collect::<Result<_, _>>()?))
    }
}
