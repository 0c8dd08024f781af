//! What tokens cost by the makers' price lists: a table with dates, which a file of the user's overrides. What has no price there has none here.
//!
//! The file `prices.json`:
//!
//! ```json
//! {"models": [{"model": "my-model", "input": 1.5, "cached": 0.15, "cache_write": 1.9, "output": 6}]}
//! ```
//!
//! Prices are in US dollars for a million tokens. `model` is the id as transcripts have it, without a date behind it; with `*` at its end it
//! stands for all that begin so. A price that is left out is unknown. `from` is the first day of a price that has changed, `over` has the prices
//! of prompts of more than its `tokens` (one of 100000, 200000, 272000); where it names none they are unknown. All entries of the file for
//! a `model` take the place of all built-in ones for it.
//!
//! They are those of standard processing. What a maker takes off or adds for batches, priority, fast modes, regions and searches is in no
//! transcript, nor what a subscription costs.

use std::io;
use std::ops::AddAssign;
use std::path::Path;

use jiff::civil::Date;
use serde::Deserialize;
use serde::de::IgnoredAny;

use super::counts::{BANDS, Counts};
use super::error::UsageError;
use crate::kit::file;

const BUILT_IN: &str = include_str!("prices.json");
/// A larger file is none of prices, in bytes.
const FILE_MAX: usize = 1 << 20;
/// Dollars for a million tokens, in what [`Money`] counts, for one.
const UNIT: f64 = 1e6;

/// Dollars in units of 10⁻¹², so that sums are exact.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub struct Money(pub i128);

impl Money {
    /// In dollars.
    pub fn dollars(self) -> f64 {
        self.0 as f64 / 1e12
    }
}

impl AddAssign for Money {
    fn add_assign(&mut self, other: Money) {
        self.0 = self.0.saturating_add(other.0);
    }
}

/// What something costs, as far as it is known.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Price {
    /// What is known of it.
    pub known: Money,
    /// Tokens of it have a price.
    pub has_known: bool,
    /// Tokens of it have none.
    pub has_unknown: bool,
}

impl Price {
    /// At least this; none if nothing of it is known.
    pub fn at_least(&self) -> Option<Money> {
        (self.has_known || !self.has_unknown).then_some(self.known)
    }
}

impl AddAssign for Price {
    fn add_assign(&mut self, other: Price) {
        self.known += other.known;
        self.has_known |= other.has_known;
        self.has_unknown |= other.has_unknown;
    }
}

/// Dollars for a million tokens.
#[derive(Clone, Copy, Debug, Default)]
struct Rates {
    input: Option<f64>,
    cached: Option<f64>,
    cache_write: Option<f64>,
    cache_write_long: Option<f64>,
    output: Option<f64>,
}

impl Rates {
    fn all(&self) -> [Option<f64>; 5] {
        [self.input, self.cached, self.cache_write, self.cache_write_long, self.output]
    }

    fn of(&self, counts: &Counts) -> Price {
        let short = counts.cache_written.saturating_sub(counts.cache_written_long);
        let tokens = [counts.input, counts.cached, short, counts.cache_written_long, counts.output];
        let mut price = Price::default();
        for (tokens, rate) in tokens.into_iter().zip(self.all()).filter(|(tokens, _)| *tokens > 0) {
            match rate {
                Some(rate) => {
                    let each = (rate * UNIT).round() as i128;
                    price += Price {
                        known: Money(each * i128::from(tokens)),
                        has_known: true,
                        has_unknown: false,
                    };
                }
                None => price.has_unknown = true,
            }
        }
        price
    }
}

/// As the file has it. A key that is not known is a mistake in writing, by which a price would be lost.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Row {
    /// Of what is over: the number of tokens alone.
    #[serde(default)]
    model: String,
    #[serde(default)]
    tokens: u64,
    #[serde(default)]
    from: Option<Date>,
    #[serde(default)]
    over: Option<Box<Row>>,
    /// For people, as the next one.
    #[serde(default, rename = "maker")]
    _maker: IgnoredAny,
    #[serde(default, rename = "as_of")]
    _as_of: IgnoredAny,
    #[serde(default)]
    input: Option<f64>,
    #[serde(default)]
    cached: Option<f64>,
    #[serde(default)]
    cache_write: Option<f64>,
    #[serde(default)]
    cache_write_long: Option<f64>,
    #[serde(default)]
    output: Option<f64>,
}

impl Row {
    fn rates(&self) -> Result<Rates, String> {
        let all = [self.input, self.cached, self.cache_write, self.cache_write_long, self.output];
        if all.iter().flatten().any(|rate| !(0.0..1e6).contains(rate)) {
            return Err("a price is below 0 or above a million".to_owned());
        }
        let [input, cached, cache_write, cache_write_long, output] = all;
        Ok(Rates { input, cached, cache_write, cache_write_long, output })
    }
}

#[derive(Clone, Debug)]
struct Entry {
    model: String,
    /// The first day; of the first price there is none.
    from: Option<Date>,
    rates: Rates,
    /// From how many tokens of a prompt on it has others.
    over: Option<(u64, Rates)>,
}

impl Entry {
    fn of(row: Row) -> Result<Entry, String> {
        if row.model.trim_end_matches('*').is_empty() {
            return Err("a model has no name".to_owned());
        }
        let of_model = |why: String| format!("{}: {why}", row.model);
        let over = match &row.over {
            Some(over) if !BANDS.contains(&over.tokens) => {
                return Err(of_model("over.tokens must be 100000, 200000 or 272000".to_owned()));
            }
            Some(over) => Some((over.tokens, over.rates().map_err(of_model)?)),
            None => None,
        };
        Ok(Entry { rates: row.rates().map_err(of_model)?, over, from: row.from, model: row.model })
    }
}

#[derive(Debug, Deserialize)]
struct File {
    #[serde(default)]
    as_of: Option<Date>,
    models: Vec<Row>,
}

/// What a file has.
#[derive(Debug)]
struct Table {
    as_of: Option<Date>,
    entries: Vec<Entry>,
}

impl Table {
    fn parse(bytes: &[u8]) -> Result<Table, String> {
        let file: File = serde_json::from_slice(bytes).map_err(|e| e.to_string())?;
        let entries = file.models.into_iter().map(Entry::of).collect::<Result<_, _>>()?;
        Ok(Table { as_of: file.as_of, entries })
    }
}

/// The prices that hold.
#[derive(Debug)]
pub struct Prices {
    /// The user's first.
    entries: Vec<Entry>,
    own: usize,
    as_of: Date,
}

impl Prices {
    /// The built-in ones, and over them those of the user's file at `path` if it is there.
    ///
    /// # Errors
    /// The file is there and cannot be read.
    pub fn load(path: &Path) -> Result<Prices, UsageError> {
        let prices = |why: String| UsageError::Prices { path: path.to_owned(), why };
        let own = match file::read_capped(path, FILE_MAX) {
            Ok(bytes) => Table::parse(&bytes).map_err(prices)?.entries,
            Err(e) if e.kind() == io::ErrorKind::NotFound => Vec::new(),
            Err(e) => return Err(prices(e.to_string())),
        };
        let built_in = Table::parse(BUILT_IN.as_bytes()).map_err(prices)?;
        let mut entries = own;
        let count = entries.len();
        let is_replaced = |entry: &Entry| entries[..count].iter().any(|own| own.model == entry.model);
        let rest: Vec<Entry> = built_in.entries.into_iter().filter(|entry| !is_replaced(entry)).collect();
        entries.extend(rest);
        Ok(Prices { entries, own: count, as_of: built_in.as_of.unwrap_or_default() })
    }

    /// The built-in ones alone.
    pub fn built_in() -> Prices {
        let table = Table::parse(BUILT_IN.as_bytes()).unwrap_or(Table { as_of: None, entries: Vec::new() });
        Prices { entries: table.entries, own: 0, as_of: table.as_of.unwrap_or_default() }
    }

    /// The day on which the built-in ones were last looked up.
    pub fn as_of(&self) -> Date {
        self.as_of
    }

    /// How many entries are the user's.
    pub fn own(&self) -> usize {
        self.own
    }

    /// What tokens cost at most, whatever the model that has a price for them.
    pub fn dearest(&self, day: Date, counts: &Counts) -> Money {
        let prices = self.entries.iter().map(|entry| self.of(&entry.model).price(day, counts.band(), counts));
        prices.filter(|price| !price.has_unknown).map(|price| price.known).max().unwrap_or_default()
    }

    /// The entries of a model: those whose name is the most of it.
    pub fn of(&self, model: &str) -> ModelPrices<'_> {
        let best = self.entries.iter().filter_map(|entry| fit(&entry.model, model)).max();
        let mut entries: Vec<&Entry> =
            self.entries.iter().filter(|entry| best.is_some() && fit(&entry.model, model) == best).collect();
        // The newest first; of two of one day the user's.
        entries.sort_by_key(|entry| std::cmp::Reverse(entry.from));
        ModelPrices { entries }
    }
}

/// The prices of one model.
#[derive(Debug)]
pub struct ModelPrices<'p> {
    entries: Vec<&'p Entry>,
}

impl ModelPrices<'_> {
    /// What tokens of a day cost, all of whose prompts exceed as many of [`BANDS`] as `band` says.
    pub fn price(&self, day: Date, band: usize, counts: &Counts) -> Price {
        let entry = self.entries.iter().find(|entry| entry.from.is_none_or(|from| from <= day));
        let rates = entry.map(|entry| match &entry.over {
            Some((tokens, rates)) if BANDS.iter().take(band).any(|limit| limit == tokens) => rates,
            _ => &entry.rates,
        });
        match rates {
            Some(rates) => rates.of(counts),
            None => Price { has_unknown: counts.total() > 0, ..Price::default() },
        }
    }
}

/// How well the name of an entry fits a model: how much of it, and whether that is all; none if it does not.
fn fit(name: &str, model: &str) -> Option<(bool, usize)> {
    // Gateways set the maker before it.
    let model = model.rsplit('/').next().unwrap_or(model);
    if let Some(prefix) = name.strip_suffix('*') {
        return model.starts_with(prefix).then_some((false, prefix.len()));
    }
    let rest = model.strip_prefix(name)?;
    is_variant(rest).then_some((true, name.len()))
}

/// Whether what stands behind a model's name leaves it the same model: nothing, a date, or how large its window is.
fn is_variant(rest: &str) -> bool {
    let rest = rest.strip_suffix("[1m]").unwrap_or(rest);
    let Some(rest) = rest.strip_prefix(['-', '@']) else { return rest.is_empty() };
    let digits = rest.replace('-', "");
    rest == "latest" || (digits.len() == 8 && digits.bytes().all(|b| b.is_ascii_digit()))
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;

    const NONE: &str = "/nowhere/prices.json";

    fn million() -> Counts {
        Counts { input: 1_000_000, ..Counts::default() }
    }

    fn day(text: &str) -> Date {
        text.parse().unwrap()
    }

    fn dollars(prices: &Prices, model: &str, at: &str, band: usize, counts: &Counts) -> Option<f64> {
        prices.of(model).price(day(at), band, counts).at_least().map(Money::dollars)
    }

    #[test]
    fn a_model_has_the_price_of_its_name_its_day_and_its_prompts() {
        let prices = Prices::load(Path::new(NONE)).unwrap();
        let check = |model: &str, at: &str, band: usize, expected: Option<f64>| {
            assert_eq!(dollars(&prices, model, at, band, &million()), expected, "{model} {at} {band}");
        };
        check("claude-opus-5-5", "2026-11-30", 0, Some(4.0));
        check("claude-opus-5-5[1m]", "2026-11-30", 3, Some(4.0));
        check("claude-opus-4-5-20251101", "2026-11-30", 0, Some(5.0));
        check("anthropic/claude-haiku-4-5@20251001", "2026-11-30", 0, Some(1.0));
        check("claude-haiku-5-5", "2026-11-30", 0, Some(0.1));
        check("claude-haiku-5-5", "2026-11-30", 1, Some(0.5));
        check("gpt-5-mini-2025-08-07", "2026-01-01", 0, Some(0.25));
        check("gpt-5-unheard-of", "2026-01-01", 0, None);
        check("gpt-6-luna", "2026-11-30", 2, Some(0.1));
        check("gpt-6-luna", "2026-11-30", 3, None);
        check("gemini-4-carbon", "2026-11-30", 0, Some(2.0));
        check("gemini-4-carbon", "2026-12-01", 0, Some(4.0));
        check("fake", "2026-11-30", 0, None);
        check("", "2026-11-30", 0, None);
    }

    #[test]
    fn all_kinds_of_tokens_have_their_price_and_what_has_none_is_unknown() {
        let prices = Prices::load(Path::new(NONE)).unwrap();
        let counts = Counts {
            input: 10,
            cached: 100,
            cache_written: 1000,
            cache_written_long: 400,
            output: 7,
            reasoning: 5,
        };
        let price = prices.of("claude-opus-4-5").price(day("2026-11-30"), 0, &counts);
        let expected = 10.0 * 5.0 + 100.0 * 0.5 + 600.0 * 6.25 + 400.0 * 10.0 + 7.0 * 25.0;
        assert_eq!(price.known, Money((expected * 1e6) as i128));
        assert!(!price.has_unknown);
        // Of this one it is not known what writing to a cache costs.
        let price = prices.of("gpt-5").price(day("2026-11-30"), 0, &counts);
        assert!(price.has_known && price.has_unknown && price.at_least().is_some());
        let unknown = prices.of("fake").price(day("2026-11-30"), 0, &counts);
        assert_eq!((unknown.at_least(), unknown.has_unknown), (None, true));
        let nothing = prices.of("fake").price(day("2026-11-30"), 0, &Counts::default());
        assert_eq!((nothing.at_least(), nothing.has_unknown), (Some(Money(0)), false));
    }

    #[test]
    fn every_built_in_price_says_whose_it_is_and_of_which_day() {
        let table: serde_json::Value = serde_json::from_str(BUILT_IN).unwrap();
        for entry in table["models"].as_array().unwrap() {
            let list = &table["price_lists"][entry["maker"].as_str().unwrap()];
            assert!(list.as_str().unwrap().starts_with("https://"), "{entry}");
            assert!(entry["as_of"].as_str().unwrap() <= table["as_of"].as_str().unwrap(), "{entry}");
            assert!(entry["input"].is_number() && entry["output"].is_number(), "{entry}");
        }
    }

    #[test]
    fn a_file_of_the_users_takes_the_place_of_entries_and_adds_some() {
        let tmp = tempfile::tempdir().unwrap();
        let path = tmp.path().join("prices.json");
        let text = r#"{"models":[{"model":"fake*","input":7},{"model":"claude-sonnet-5-5","input":1},
            {"model":"fake-two","input":9,"over":{"tokens":200000,"input":11}}]}"#;
        fs::write(&path, text).unwrap();
        let prices = Prices::load(&path).unwrap();
        let of = |model, band| dollars(&prices, model, "2026-11-30", band, &million());
        assert_eq!((of("fake", 0), of("fake-three", 0)), (Some(7.0), Some(7.0)));
        assert_eq!(
            (of("fake-two", 0), of("fake-two", 2), of("fake-two", 3)),
            (Some(9.0), Some(11.0), Some(11.0))
        );
        assert_eq!((of("claude-sonnet-5-5", 0), of("claude-opus-5-5", 0)), (Some(1.0), Some(4.0)));
        assert_eq!(prices.own(), 3);
        for wrong in [
            "{",
            r#"{"models":[{"model":"x","input":-1}]}"#,
            r#"{"models":[{"model":"*"}]}"#,
            r#"{"models":[{"model":"x","over":{"tokens":5}}]}"#,
            r#"{"models":[{"model":"x","imput":1}]}"#,
        ] {
            fs::write(&path, wrong).unwrap();
            assert!(matches!(Prices::load(&path), Err(UsageError::Prices { .. })), "{wrong}");
        }
    }
}
