//! What was spent, by whatever is asked for.

use std::collections::{BTreeSet, HashMap, HashSet};
use std::path::{Path, PathBuf};

use jiff::Timestamp;
use jiff::tz::TimeZone;
use rusqlite::params;

use super::counts::Counts;
use super::error::UsageError;
use super::prices::{ModelPrices, Price, Prices};
use super::store::{Store, date_of, day_of};
use super::whose::Place;
use crate::project::Env;

/// What figures are added up by.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum By {
    /// A session with its sub-agents.
    Session,
    /// An agent program.
    Agent,
    /// A model.
    Model,
    /// A git branch.
    Branch,
    /// A person.
    Person,
    /// A day.
    Day,
    /// A project, or a directory without one.
    Project,
}

/// What is asked for.
#[derive(Clone, Debug)]
pub struct Question {
    /// What figures are added up by.
    pub by: By,
    /// Nothing before this.
    pub since: Option<Timestamp>,
    /// Only what belongs to this repository.
    pub repo: Option<String>,
    /// Where days begin.
    pub zone: TimeZone,
}

/// A figure.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Spend {
    /// Answers of models.
    pub answers: u64,
    /// Their tokens.
    pub counts: Counts,
    /// What they cost.
    pub price: Price,
}

impl Spend {
    fn add(&mut self, answers: u64, counts: Counts, price: Price) {
        self.answers += answers;
        self.counts += counts;
        self.price += price;
    }
}

/// What a group has in common.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Group {
    /// What it is called; empty where that is not known.
    pub name: String,
    /// The program, of a session.
    pub agent: String,
    /// The directory, of a project.
    pub root: String,
}

/// The answer to a question.
#[derive(Clone, Debug, Default)]
pub struct Report {
    /// The groups, the dearest first; days in their order.
    pub groups: Vec<(Group, Spend)>,
    /// All of them together.
    pub total: Spend,
    /// Models without a price for something of theirs.
    pub unpriced: BTreeSet<String>,
}

/// An answer that a figure is made of.
#[derive(Clone, Debug, PartialEq)]
pub struct Record {
    /// The group whose figure it is part of.
    pub group: Group,
    /// The program.
    pub agent: String,
    /// What that knows the answer by.
    pub answer: String,
    /// The thread that asked for it.
    pub thread: String,
    /// The model.
    pub model: String,
    /// When.
    pub time: Timestamp,
    /// The file that tells it.
    pub file: PathBuf,
    /// Which session in it, of a file that has several.
    pub part: String,
    /// Where its record begins, in bytes; of a compressed file in what was compressed.
    pub offset: Option<u64>,
    /// Its tokens.
    pub counts: Counts,
    /// What it cost.
    pub price: Price,
}

/// What is looked up for many rows.
struct Tables<'p> {
    models: HashMap<i64, (String, ModelPrices<'p>)>,
    places: HashMap<i64, Place>,
    /// Those in question; none: all.
    wanted: Option<HashSet<i64>>,
    /// Threads with their sessions and programs, by their numbers; only where they are asked for.
    threads: Vec<(i64, String, usize)>,
    programs: Vec<String>,
}

/// What an answer is grouped by.
#[derive(Clone, Copy)]
struct Of {
    thread: i64,
    model: i64,
    place: i64,
    day: i64,
}

impl Tables<'_> {
    fn is_wanted(&self, place: i64) -> bool {
        self.wanted.as_ref().is_none_or(|wanted| wanted.contains(&place))
    }

    fn model(&self, id: i64) -> &str {
        self.models.get(&id).map_or("", |(name, _)| name)
    }

    fn price(&self, of: Of, band: usize, counts: &Counts) -> Price {
        match self.models.get(&of.model) {
            Some((_, prices)) => prices.price(date_of(of.day), band, counts),
            None => Price { has_unknown: true, ..Price::default() },
        }
    }

    fn group(&self, by: By, of: Of) -> Group {
        let named = |name: &str| Group { name: name.to_owned(), ..Group::default() };
        let thread = self.threads.binary_search_by_key(&of.thread, |(id, ..)| *id);
        let thread = thread.ok().map(|at| &self.threads[at]);
        let agent = thread.and_then(|(.., program)| self.programs.get(*program)).map_or("", String::as_str);
        let place = self.places.get(&of.place);
        match by {
            By::Session => {
                Group { agent: agent.to_owned(), ..named(thread.map_or("", |(_, session, _)| session)) }
            }
            By::Agent => named(agent),
            By::Model => named(self.model(of.model)),
            By::Branch => named(place.map_or("", |place| &place.branch)),
            By::Person => named(place.map_or("", |place| &place.person)),
            By::Day => named(&date_of(of.day).to_string()),
            By::Project => place.map(project).unwrap_or_default(),
        }
    }
}

/// The project of a place. Where there is none, the directory stands for it.
fn project(place: &Place) -> Group {
    match place.repo.as_str() {
        "" => Group { name: place.cwd.clone(), root: place.cwd.clone(), ..Group::default() },
        repo => Group { name: repo.to_owned(), root: String::new(), ..Group::default() },
    }
}

impl Store {
    /// Answers a question. `person` says who works in a directory.
    ///
    /// # Errors
    /// The database cannot be used.
    pub fn report(
        &self,
        question: &Question,
        prices: &Prices,
        env: &Env,
        person: &dyn Fn(&Path) -> String,
    ) -> Result<Report, UsageError> {
        self.add_up(question, prices, env, person).map_err(|e| self.error(e))
    }

    /// The answers that the figures of a question are made of, in the order of their times.
    ///
    /// # Errors
    /// The database cannot be used.
    pub fn records(
        &self,
        question: &Question,
        prices: &Prices,
        env: &Env,
        person: &dyn Fn(&Path) -> String,
    ) -> Result<Vec<Record>, UsageError> {
        self.look_up(question, prices, env, person).map_err(|e| self.error(e))
    }

    fn add_up(
        &self,
        question: &Question,
        prices: &Prices,
        env: &Env,
        person: &dyn Fn(&Path) -> String,
    ) -> rusqlite::Result<Report> {
        let places = self.places(env, person)?;
        let _one_state = self.conn.unchecked_transaction()?;
        let tables = self.tables(question, prices, places)?;
        // Of the day that it begins in, answers are looked at one by one.
        let first = question.since.map(|since| day_of(&question.zone, since.as_millisecond()));
        let mut report = Report::default();
        // Which group each thread, model, place or day belongs to.
        let many = tables.threads.len();
        let mut by_key: HashMap<i64, usize> = HashMap::with_capacity(many);
        let mut by_group: HashMap<Group, usize> = HashMap::with_capacity(many);
        let mut spends: Vec<Spend> = Vec::with_capacity(many);
        let mut add = |of: Of, band: usize, answers: u64, counts: Counts| {
            if !tables.is_wanted(of.place) {
                return;
            }
            let price = tables.price(of, band, &counts);
            if price.has_unknown {
                report.unpriced.insert(tables.model(of.model).to_owned());
            }
            let key = match question.by {
                By::Session | By::Agent => of.thread,
                By::Model => of.model,
                By::Branch | By::Person | By::Project => of.place,
                By::Day => of.day,
            };
            let at = *by_key.entry(key).or_insert_with(|| {
                *by_group.entry(tables.group(question.by, of)).or_insert_with(|| {
                    spends.push(Spend::default());
                    spends.len() - 1
                })
            });
            spends[at].add(answers, counts, price);
            report.total.add(answers, counts, price);
        };
        let mut rows = self.conn.prepare_cached(
            "SELECT thread, model, place, day, band, answers,
                    input, cached, cache_written, cache_written_long, output, reasoning
             FROM spend WHERE day > ?1",
        )?;
        let mut rows = rows.query([first.unwrap_or(i64::MIN)])?;
        while let Some(row) = rows.next()? {
            let of = Of { thread: row.get(0)?, model: row.get(1)?, place: row.get(2)?, day: row.get(3)? };
            let answers = row.get::<_, i64>(5)?.unsigned_abs();
            add(of, row.get::<_, u32>(4)? as usize, answers, Counts::of_row(row, 6)?);
        }
        if let (Some(day), Some(since)) = (first, question.since) {
            let mut rows = self.conn.prepare_cached(
                "SELECT a.thread, a.model, a.place, a.time,
                        a.input, a.cached, a.cache_written, a.cache_written_long, a.output, a.reasoning
                 FROM (SELECT DISTINCT thread FROM spend WHERE day = ?1) s JOIN answers a ON a.thread = s.thread
                 WHERE a.time >= ?2",
            )?;
            let mut rows = rows.query(params![day, since.as_millisecond()])?;
            while let Some(row) = rows.next()? {
                if day_of(&question.zone, row.get(3)?) == day {
                    let of = Of { thread: row.get(0)?, model: row.get(1)?, place: row.get(2)?, day };
                    let counts = Counts::of_row(row, 4)?;
                    add(of, counts.band(), 1, counts);
                }
            }
        }
        let mut groups: Vec<(Group, usize)> = by_group.into_iter().collect();
        for (group, _) in &mut groups {
            name_root(question.by, group, &tables.places);
        }
        sort(question.by, &mut groups, &spends);
        let with_spend = |(group, at): (Group, usize)| (group, std::mem::take(&mut spends[at]));
        report.groups = groups.into_iter().map(with_spend).collect();
        Ok(report)
    }

    fn look_up(
        &self,
        question: &Question,
        prices: &Prices,
        env: &Env,
        person: &dyn Fn(&Path) -> String,
    ) -> rusqlite::Result<Vec<Record>> {
        let places = self.places(env, person)?;
        let _one_state = self.conn.unchecked_transaction()?;
        let tables = self.tables(question, prices, places)?;
        let mut rows = self.conn.prepare_cached(
            "SELECT a.thread, a.model, a.place, a.time, a.answer, a.offset, t.kind, t.thread, f.path, f.part,
                    a.input, a.cached, a.cache_written, a.cache_written_long, a.output, a.reasoning
             FROM answers a JOIN threads t ON t.id = a.thread JOIN files f ON f.id = a.file
             WHERE a.time >= ?1 ORDER BY a.time, a.key",
        )?;
        let since = question.since.map_or(i64::MIN, Timestamp::as_millisecond);
        let mut rows = rows.query([since])?;
        let mut records = Vec::new();
        while let Some(row) = rows.next()? {
            let time: i64 = row.get(3)?;
            let day = day_of(&question.zone, time);
            let of = Of { thread: row.get(0)?, model: row.get(1)?, place: row.get(2)?, day };
            if !tables.is_wanted(of.place) {
                continue;
            }
            let counts = Counts::of_row(row, 10)?;
            let mut group = tables.group(question.by, of);
            name_root(question.by, &mut group, &tables.places);
            records.push(Record {
                group,
                agent: row.get(6)?,
                answer: row.get(4)?,
                thread: row.get(7)?,
                model: tables.model(of.model).to_owned(),
                time: Timestamp::from_millisecond(time).unwrap_or_default(),
                file: PathBuf::from(row.get::<_, String>(8)?),
                part: row.get(9)?,
                offset: row.get::<_, Option<i64>>(5)?.map(i64::cast_unsigned),
                price: tables.price(of, counts.band(), &counts),
                counts,
            });
        }
        Ok(records)
    }

    fn tables<'p>(
        &self,
        question: &Question,
        prices: &'p Prices,
        places: HashMap<i64, Place>,
    ) -> rusqlite::Result<Tables<'p>> {
        let wanted = question
            .repo
            .as_ref()
            .map(|repo| places.iter().filter(|(_, place)| place.repo == *repo).map(|(id, _)| *id).collect());
        let mut models = HashMap::new();
        let mut rows = self.conn.prepare_cached("SELECT id, name FROM models")?;
        let mut rows = rows.query([])?;
        while let Some(row) = rows.next()? {
            let name: String = row.get(1)?;
            let of_model = prices.of(&name);
            models.insert(row.get(0)?, (name, of_model));
        }
        let (mut threads, mut programs) = (Vec::new(), Vec::<String>::new());
        if matches!(question.by, By::Session | By::Agent) {
            let mut rows = self.conn.prepare_cached("SELECT id, session, kind FROM threads ORDER BY id")?;
            let mut rows = rows.query([])?;
            while let Some(row) = rows.next()? {
                let program = row.get_ref(2)?.as_str()?;
                let at = programs.iter().position(|known| known == program).unwrap_or_else(|| {
                    programs.push(program.to_owned());
                    programs.len() - 1
                });
                threads.push((row.get(0)?, row.get(1)?, at));
            }
        }
        Ok(Tables { models, places, wanted, threads, programs })
    }
}

/// Of several directories of one project the first by name.
fn name_root(by: By, group: &mut Group, places: &HashMap<i64, Place>) {
    if by == By::Project && group.root.is_empty() {
        let of_it = places.values().filter(|place| place.repo == group.name && !place.root.is_empty());
        group.root = of_it.map(|place| &place.root).min().cloned().unwrap_or_default();
    }
}

/// Sorts groups, each with the place of its figure.
fn sort(by: By, groups: &mut [(Group, usize)], spends: &[Spend]) {
    let costs: Vec<_> = spends.iter().map(|spend| (spend.price.known, spend.counts.total())).collect();
    groups.sort_unstable_by(|(one, a), (other, b)| {
        let by_cost = costs[*b].cmp(&costs[*a]).then_with(|| one.cmp(other));
        if by == By::Day { one.cmp(other) } else { by_cost }
    });
}
