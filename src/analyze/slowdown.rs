//! Whether a bench shows a program slower, or its tables larger, than an earlier bench of the same questions did.

use thiserror::Error;

use crate::model::measured::{MeasuredBench, MeasuredSpeed, Spread};

/// Tables may grow by so much: a percent is noise of layout, not a change worth a look.
const MEMORY_ALLOWED: f64 = 1.01;

/// What was compared.
#[derive(Clone, Debug, Eq, PartialEq)]
pub enum Figure {
    /// Operations a second of a subject, on so many threads.
    Speed {
        /// In the word of the results.
        subject: String,
        /// How many.
        threads: u64,
    },
    /// Seconds to compile the network.
    CompileTime,
    /// Bytes of the compiled tables.
    Memory,
}

/// A figure of both benches.
#[derive(Clone, Debug, PartialEq)]
pub struct Compared {
    /// Which.
    pub figure: Figure,
    /// What it was.
    pub old: Spread,
    /// What it is.
    pub new: Spread,
    /// New median by old median.
    pub ratio: f64,
    /// Whether it became worse by more than it spreads.
    pub is_regression: bool,
}

/// A speed that one bench alone took.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Uncompared {
    /// What.
    pub subject: String,
    /// On how many threads.
    pub threads: u64,
    /// The new bench took it, not the old one.
    pub is_new: bool,
}

/// What came of a comparison.
#[derive(Clone, Debug, PartialEq)]
pub struct Slowdown {
    /// Each figure of both, speeds in the order of the old bench.
    pub compared: Vec<Compared>,
    /// Speeds of one alone.
    pub uncompared: Vec<Uncompared>,
}

/// Why two benches cannot be compared.
#[derive(Clone, Debug, Error, PartialEq)]
pub enum Incomparable {
    /// They asked other questions.
    #[error("{what} differs: `{old}` and `{new}`: expected benches that asked the same")]
    Asked {
        /// What they differ in.
        what: String,
        /// What the old bench asked.
        old: String,
        /// What the new one asked.
        new: String,
    },
    /// They have no speed in common.
    #[error("no speed is in both: expected one of the same subject and number of threads")]
    NothingShared,
}

/// Compares two benches.
///
/// # Errors
///
/// Fails on benches of other networks, tags, facts, assumptions, seeds or skews, and on those without a common speed.
pub fn compare(old: &MeasuredBench, new: &MeasuredBench) -> Result<Slowdown, Incomparable> {
    same_questions(old, new)?;
    let mut compared = Vec::new();
    let mut uncompared = Vec::new();
    for speed in &old.measures {
        let Some(now) = same_speed(new, speed) else {
            uncompared.push(alone(speed, false));
            continue;
        };
        let what = || format!("number of operations of `{}`", speed.subject);
        same(what, &speed.operations, &now.operations)?;
        let (old, new) = (speed.per_second, now.per_second);
        let figure = Figure::Speed { subject: speed.subject.clone(), threads: speed.threads };
        // Worse beyond doubt: even the best round of now is behind the worst one of then.
        compared.push(pair(figure, old, new, new.most < old.least));
    }
    if compared.is_empty() {
        return Err(Incomparable::NothingShared);
    }
    uncompared.extend(
        new.measures.iter().filter(|speed| same_speed(old, speed).is_none()).map(|speed| alone(speed, true)),
    );
    let is_slower = new.compile_s.least > old.compile_s.most;
    compared.push(pair(Figure::CompileTime, old.compile_s, new.compile_s, is_slower));
    let (old, new) = (old.memory_bytes as f64, new.memory_bytes as f64);
    let is_larger = new > old * MEMORY_ALLOWED;
    compared.push(pair(Figure::Memory, Spread::once(old), Spread::once(new), is_larger));
    Ok(Slowdown { compared, uncompared })
}

fn same_questions(old: &MeasuredBench, new: &MeasuredBench) -> Result<(), Incomparable> {
    let names = old.inputs.keys().chain(new.inputs.keys().filter(|name| !old.inputs.contains_key(*name)));
    let of = |bench: &MeasuredBench, name: &String| {
        bench.inputs.get(name).cloned().unwrap_or_else(|| "none".to_owned())
    };
    for name in names {
        same(|| format!("input `{name}`"), &of(old, name), &of(new, name))?;
    }
    same(|| "seed".to_owned(), &old.seed, &new.seed)?;
    let skew = |bench: &MeasuredBench| {
        bench.skew.map_or_else(|| "none".to_owned(), |exponent| format!("zipf:{exponent}"))
    };
    same(|| "skew".to_owned(), &skew(old), &skew(new))
}

fn same<T: PartialEq + ToString>(what: impl Fn() -> String, old: &T, new: &T) -> Result<(), Incomparable> {
    if old == new {
        return Ok(());
    }
    Err(Incomparable::Asked { what: what(), old: old.to_string(), new: new.to_string() })
}

fn same_speed<'a>(bench: &'a MeasuredBench, speed: &MeasuredSpeed) -> Option<&'a MeasuredSpeed> {
    bench.measures.iter().find(|other| other.subject == speed.subject && other.threads == speed.threads)
}

fn alone(speed: &MeasuredSpeed, is_new: bool) -> Uncompared {
    Uncompared { subject: speed.subject.clone(), threads: speed.threads, is_new }
}

fn pair(figure: Figure, old: Spread, new: Spread, is_regression: bool) -> Compared {
    Compared { figure, old, new, ratio: new.median / old.median, is_regression }
}

#[cfg(test)]
mod tests {
    use super::{Figure, Incomparable, Slowdown, Uncompared, compare};
    use crate::model::measured::{MeasuredBench, MeasuredSpeed, Spread};

    fn spread([least, median, most]: [f64; 3]) -> Spread {
        Spread { median, least, most }
    }

    fn bench(speed: [f64; 3], compile_s: [f64; 3], memory_bytes: u64) -> MeasuredBench {
        let per_second = spread(speed);
        MeasuredBench {
            version: None,
            machine: None,
            seed: 1,
            skew: None,
            inputs: [("network".to_owned(), "blake3:00".to_owned())].into(),
            measures: vec![MeasuredSpeed {
                subject: "compiled".to_owned(),
                threads: 1,
                operations: 10,
                per_second,
            }],
            compile_s: spread(compile_s),
            memory_bytes,
        }
    }

    fn base() -> MeasuredBench {
        bench([90.0, 100.0, 110.0], [1.0, 2.0, 3.0], 1000)
    }

    fn regressions(new: &MeasuredBench) -> Vec<Figure> {
        let Slowdown { compared, .. } = compare(&base(), new).unwrap();
        assert_eq!(compared.len(), 3);
        compared.into_iter().filter(|one| one.is_regression).map(|one| one.figure).collect()
    }

    #[test]
    fn a_bench_is_no_slower_than_itself() {
        assert_eq!(regressions(&base()), []);
    }

    #[test]
    fn speeds_regress_where_the_spreads_are_apart_and_the_new_one_is_lower() {
        let speed = |figures| regressions(&bench(figures, [1.0, 2.0, 3.0], 1000));
        assert_eq!(speed([50.0, 60.0, 90.0]), []);
        let compiled = Figure::Speed { subject: "compiled".to_owned(), threads: 1 };
        assert_eq!(speed([50.0, 60.0, 89.0]), [compiled]);
        assert_eq!(speed([200.0, 300.0, 400.0]), []);
    }

    #[test]
    fn compile_times_regress_upwards_and_memory_beyond_a_percent() {
        let other = |compile_s, bytes| regressions(&bench([90.0, 100.0, 110.0], compile_s, bytes));
        assert_eq!(other([3.0, 4.0, 5.0], 1010), []);
        assert_eq!(other([3.1, 4.0, 5.0], 1011), [Figure::CompileTime, Figure::Memory]);
        assert_eq!(other([0.1, 0.2, 0.3], 10), []);
    }

    #[test]
    fn ratios_are_new_by_old() {
        let new = bench([40.0, 50.0, 60.0], [4.0, 5.0, 6.0], 2000);
        let ratios: Vec<f64> = compare(&base(), &new).unwrap().compared.iter().map(|one| one.ratio).collect();
        assert_eq!(ratios, [0.5, 2.5, 2.0]);
    }

    #[test]
    fn a_speed_of_one_bench_alone_is_told() {
        let mut new = base();
        new.measures.push(MeasuredSpeed { threads: 2, ..new.measures[0].clone() });
        let alone = |is_new| vec![Uncompared { subject: "compiled".to_owned(), threads: 2, is_new }];
        assert_eq!(compare(&base(), &new).unwrap().uncompared, alone(true));
        assert_eq!(compare(&new, &base()).unwrap().uncompared, alone(false));
        new.measures.remove(0);
        assert_eq!(compare(&base(), &new), Err(Incomparable::NothingShared));
    }

    #[test]
    fn benches_that_asked_something_else_are_not_compared() {
        let told = |change: fn(&mut MeasuredBench)| {
            let mut new = base();
            change(&mut new);
            compare(&base(), &new).unwrap_err().to_string()
        };
        let network = told(|bench| *bench.inputs.get_mut("network").unwrap() = "blake3:01".to_owned());
        assert_eq!(
            network,
            "input `network` differs: `blake3:00` and `blake3:01`: expected benches that asked the same"
        );
        let facts = told(|bench| {
            bench.inputs.insert("facts".to_owned(), "blake3:02".to_owned());
        });
        assert!(facts.starts_with("input `facts` differs: `none` and `blake3:02`"), "{facts}");
        assert!(told(|bench| bench.seed = 2).starts_with("seed differs: `1` and `2`"));
        assert!(told(|bench| bench.skew = Some(1.5)).starts_with("skew differs: `none` and `zipf:1.5`"));
        let operations = told(|bench| bench.measures[0].operations = 20);
        assert!(operations.starts_with("number of operations of `compiled` differs: `10` and `20`"));
    }
}
