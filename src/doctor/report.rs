//! What all checks found together, and its JSON.

use serde_json::{Map, Value, json};

use super::{Category, Check, FixLevel, Outcome, Remedy, Status};

/// All findings.
#[derive(Clone, Debug)]
pub struct Report {
    /// One row for each check.
    pub rows: Vec<Row>,
}

/// One check and what it found.
#[derive(Clone, Debug)]
pub struct Row {
    /// The check.
    pub check: Check,
    /// What it found.
    pub outcome: Outcome,
    /// What was done about it, or why that did not work.
    pub fixed: Option<Result<String, String>>,
}

impl Row {
    /// There is something that `--fix` would do.
    pub fn is_fixable(&self) -> bool {
        matches!(self.outcome.remedy, Some(Remedy::Fix(_))) && self.check.fix_level != FixLevel::CheckOnly
    }

    /// Somebody has to agree before that is done.
    pub fn needs_yes(&self) -> bool {
        let fix_does = matches!(&self.outcome.remedy, Some(Remedy::Fix(fix)) if fix.needs_yes());
        fix_does || self.check.fix_level == FixLevel::Confirm
    }
}

impl Report {
    /// How many checks came to this.
    pub fn count(&self, status: Status) -> usize {
        self.rows.iter().filter(|row| row.outcome.status == status).count()
    }

    /// At least one check failed.
    pub fn has_failed(&self) -> bool {
        self.count(Status::Failed) > 0
    }

    /// Applies the remedies that `wanted` agrees to, looks again, and notes what was done.
    pub fn fix(&mut self, cx: &super::Context, mut wanted: impl FnMut(&Row) -> bool) {
        for row in &mut self.rows {
            let Some(Remedy::Fix(fix)) = row.outcome.remedy.clone() else { continue };
            if !row.is_fixable() || !wanted(row) {
                continue;
            }
            row.fixed = Some(fix.apply(cx).map_err(|e| e.to_string()));
            cx.forget();
            if matches!(row.fixed, Some(Ok(_))) {
                row.outcome = (row.check.run)(cx);
            }
        }
    }

    /// The document of `ox doctor --json`.
    pub fn to_json(&self) -> Value {
        let categories: Vec<Value> = Category::ALL.iter().map(|c| self.category(*c)).collect();
        let fixes: Vec<Value> = self.rows.iter().filter(|r| r.is_fixable()).map(fix_json).collect();
        let mut all = Map::new();
        all.insert("categories".into(), categories.into());
        all.insert(
            "summary".into(),
            json!({
                "passed": self.count(Status::Passed),
                "warnings": self.count(Status::Warning),
                "failed": self.count(Status::Failed),
                "skipped": self.count(Status::Skipped),
                "has_failed": self.has_failed(),
            }),
        );
        if !fixes.is_empty() {
            all.insert("available_fixes".into(), fixes.into());
        }
        Value::Object(all)
    }

    fn category(&self, category: Category) -> Value {
        let rows = self.rows.iter().filter(|r| r.check.category == category);
        json!({ "name": category.name(), "checks": rows.map(check_json).collect::<Vec<_>>() })
    }
}

fn check_json(row: &Row) -> Value {
    let mut all = Map::new();
    let mut put = |key: &str, value: Value| all.insert(key.into(), value);
    put("name", row.check.name.into());
    put("slug", row.check.slug.into());
    put("status", row.outcome.status.name().into());
    if row.check.fix_level != FixLevel::CheckOnly {
        put("fix_level", row.check.fix_level.name().into());
    }
    put("message", row.outcome.message.clone().into());
    if !row.outcome.detail.is_empty() {
        put("detail", row.outcome.detail.join("\n").into());
    }
    if let Some(remedy) = &row.outcome.remedy {
        put("remedy", remedy.hint().into());
    }
    match &row.fixed {
        Some(Ok(done)) => put("fixed", done.clone().into()),
        Some(Err(why)) => put("fix_error", why.clone().into()),
        None => None,
    };
    Value::Object(all)
}

fn fix_json(row: &Row) -> Value {
    json!({ "slug": row.check.slug, "name": row.check.name, "fix_level": row.check.fix_level.name() })
}
