//! What runs of agents cost in money, by the price lists.

use jiff::tz::TimeZone;

use crate::agents::answer::Answer;
use crate::agents::budget::Cost;
use crate::agents::limits::{ANSWER_TOKENS, BYTES_A_TOKEN, OWN_TOKENS, PROMPT_MAX};
use crate::project::AgentWorker;
use crate::sessions::usage::{Counts, Money, Prices};
use crate::sync::Site;

/// The agent that is a server of the user's own: what has no price there costs nothing.
const CHAT: &str = "chat";
/// What [`Money`] counts, in a millionth of a dollar.
const MICRO: i128 = 1_000_000;

/// Prices: those of the user over the built-in ones. A file that cannot be read has none of its own.
fn prices(site: &Site) -> Prices {
    Prices::load(&site.dirs.prices()).unwrap_or_else(|e| {
        log::warn!("{e}; the built-in prices count");
        Prices::built_in()
    })
}

fn micro(money: Money) -> u64 {
    u64::try_from((money.0.max(0) + MICRO - 1) / MICRO).unwrap_or(u64::MAX)
}

/// What a run costs at most, in millionths of a dollar: by the price of its model. Where nobody says which that is the dearest one counts, if
/// what may be spent has a limit. None where it has one and there is no price to keep it by.
pub(super) fn most(site: &Site, worker: &AgentWorker, agent: &str) -> Option<u64> {
    let prices = prices(site);
    let (input, output) = (PROMPT_MAX / BYTES_A_TOKEN + OWN_TOKENS, ANSWER_TOKENS);
    let counts = Counts { input, output, ..Counts::default() };
    let model = if agent == CHAT { &worker.chat_model } else { &worker.model };
    let day = site.clock.now().wall.to_zoned(TimeZone::UTC).date();
    let known = prices.of(model).price(day, counts.band(), &counts);
    match known.at_least().filter(|_| !known.has_unknown) {
        Some(money) => Some(micro(money)),
        None if worker.max_micro_usd_per_day.is_none() => Some(0),
        // A server of one's own may ask anything for it.
        None if agent == CHAT => None,
        None => Some(micro(prices.dearest(day, &counts))),
    }
}

/// What a run has cost: as the program says, else by the prices, else [`most`]. None where nobody says what it has read: then all that it may
/// have counts.
pub(super) fn took(site: &Site, worker: &AgentWorker, agent: &str, answer: &Answer) -> Option<Cost> {
    let tokens = Some(answer.input_tokens).filter(|tokens| *tokens > 0)?;
    let by_price = || {
        let counts = Counts { input: tokens, output: answer.output_tokens, ..Counts::default() };
        let day = site.clock.now().wall.to_zoned(TimeZone::UTC).date();
        let prices = prices(site);
        let price = prices.of(&answer.model).price(day, counts.band(), &counts);
        price.at_least().filter(|_| !price.has_unknown).map(micro)
    };
    let micro_usd = answer.micro_usd.or_else(by_price).or_else(|| most(site, worker, agent)).unwrap_or(0);
    Some(Cost { tokens, micro_usd })
}
