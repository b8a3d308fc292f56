//! The table: one row a figure, as Markdown for people and as JSON for programs.

use std::path::PathBuf;

use serde_json::{Value, json};

use super::cpu::Spent;

/// What must hold between ours and the reference, or of ours alone.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Goal {
    /// The ratio is at least this.
    AtLeast(f64),
    /// The ratio is at most this.
    AtMost(f64),
    /// Ours, in the row's unit, is at least this.
    OursAtLeast(f64),
    /// Ours, in the row's unit, is at most this.
    OursAtMost(f64),
    /// None: the row explains another one.
    Shown,
}

/// One measured side of a row.
#[derive(Clone, Debug, Default)]
pub struct Figure {
    /// The median over the rounds, in the row's unit.
    pub value: f64,
    /// Every round.
    pub rounds: Vec<f64>,
    /// CPU of one unit, in microseconds; `None` where the line does not say.
    pub cpu_us: Option<Spent<f64>>,
}

/// One row of the table.
#[derive(Clone, Debug)]
pub struct Row {
    /// What is measured.
    pub what: String,
    /// Of the figures.
    pub unit: &'static str,
    /// Ours.
    pub ours: Figure,
    /// What it is held against.
    pub reference: Option<Figure>,
    /// The median of the rounds' ratios.
    pub ratio: Option<f64>,
    /// What must hold.
    pub goal: Goal,
}

impl Row {
    /// Stands for a line that could not be measured.
    pub fn failed(what: &str) -> Row {
        let ours = Figure {
            value: f64::NAN,
            ..Figure::default()
        };
        Row {
            what: format!("{what}: FAILED"),
            unit: "",
            ours,
            reference: None,
            ratio: None,
            goal: Goal::OursAtLeast(0.0),
        }
    }

    /// The most memory that a process held: of several rounds, in MiB.
    pub fn memory(what: impl Into<String>, rounds: Vec<f64>, most: f64) -> Row {
        Row {
            what: what.into(),
            unit: "MiB",
            ours: Figure {
                value: rounds.iter().copied().fold(0.0, f64::max),
                rounds,
                cpu_us: None,
            },
            reference: None,
            ratio: None,
            goal: Goal::OursAtMost(most),
        }
    }

    /// Stands for a figure that cannot be had on this machine.
    pub fn absent(what: &str, why: &str) -> Row {
        Row {
            what: format!("{what}: not measured: {why}"),
            goal: Goal::Shown,
            ..Row::failed(what)
        }
    }

    /// Does the goal hold? `None` if there is none.
    fn holds(&self) -> Option<bool> {
        let ratio = self.ratio.unwrap_or(f64::NAN);
        match self.goal {
            Goal::AtLeast(least) => Some(ratio >= least),
            Goal::AtMost(most) => Some(ratio <= most),
            Goal::OursAtLeast(least) => Some(self.ours.value >= least),
            Goal::OursAtMost(most) => Some(self.ours.value <= most),
            Goal::Shown => None,
        }
    }

    fn goal_text(&self) -> String {
        let sign = match self.holds() {
            Some(true) => " met",
            Some(false) => " MISSED",
            None => "",
        };
        let text = match self.goal {
            Goal::AtLeast(least) => format!(">= {}x", shown(least)),
            Goal::AtMost(most) => format!("<= {}x", shown(most)),
            Goal::OursAtLeast(least) => format!(">= {} {}", shown(least), self.unit),
            Goal::OursAtMost(most) => format!("<= {} {}", shown(most), self.unit),
            Goal::Shown => "-".to_owned(),
        };
        format!("{text}{sign}")
    }

    fn cpu_text(&self) -> String {
        let text = |figure: Option<&Figure>| {
            let spent = figure.and_then(|f| f.cpu_us)?;
            Some(format!("{} + {}", shown(spent.own), shown(spent.postgres)))
        };
        match (text(Some(&self.ours)), text(self.reference.as_ref())) {
            (None, None) => "-".to_owned(),
            (Some(ours), None) => ours,
            (ours, reference) => format!(
                "{} / {}",
                ours.unwrap_or_else(|| "-".to_owned()),
                reference.unwrap_or_else(|| "-".to_owned())
            ),
        }
    }

    fn json(&self, line: &str) -> Value {
        let figure = |f: &Figure| {
            json!({
                "value": f.value,
                "rounds": f.rounds,
                "cpuUs": f.cpu_us.map(|s| json!({ "own": s.own, "postgres": s.postgres })),
            })
        };
        json!({
            "line": line,
            "target": self.what,
            "unit": self.unit,
            "ours": figure(&self.ours),
            "reference": self.reference.as_ref().map(figure),
            "ratio": self.ratio,
            "goal": self.goal_text(),
            "met": self.holds(),
        })
    }
}

/// All rows of a run.
pub struct Report {
    quick: bool,
    rows: Vec<(&'static str, Row)>,
}

impl Report {
    /// An empty table.
    pub fn new(quick: bool) -> Report {
        Report {
            quick,
            rows: Vec::new(),
        }
    }

    /// Adds a line's rows.
    pub fn add(&mut self, line: &'static str, rows: Vec<Row>) {
        for row in &rows {
            eprintln!("  {}", markdown_row(line, row));
        }
        self.rows.extend(rows.into_iter().map(|row| (line, row)));
    }

    /// As one Markdown table.
    pub fn markdown(&self) -> String {
        let mut text = String::new();
        if self.quick {
            text.push_str(
                "A quick run: it shows that the lines work, its figures mean nothing.\n\n",
            );
        }
        text.push_str(
            "| | target | ours | reference | ratio | goal | CPU us per unit, own + PostgreSQL |\n\
             |---|---|---|---|---|---|---|\n",
        );
        for (line, row) in &self.rows {
            text.push_str(&markdown_row(line, row));
            text.push('\n');
        }
        text
    }

    /// Writes `table.md` and `table.json` into `target/bench`.
    pub fn save(&self) -> anyhow::Result<()> {
        let dir = target_dir().join("bench");
        std::fs::create_dir_all(&dir)?;
        let rows: Vec<Value> = self.rows.iter().map(|(line, row)| row.json(line)).collect();
        let all = json!({ "quick": self.quick, "rows": rows });
        std::fs::write(dir.join("table.json"), serde_json::to_vec_pretty(&all)?)?;
        std::fs::write(dir.join("table.md"), self.markdown())?;
        Ok(())
    }
}

/// Where cargo builds.
pub fn target_dir() -> PathBuf {
    std::env::var_os("CARGO_TARGET_DIR").map_or_else(
        || PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("target"),
        PathBuf::from,
    )
}

fn markdown_row(line: &str, row: &Row) -> String {
    let value = |figure: &Figure| format!("{} {}", shown(figure.value), row.unit);
    format!(
        "| {line} | {} | {} | {} | {} | {} | {} |",
        row.what,
        value(&row.ours),
        row.reference.as_ref().map_or("-".to_owned(), value),
        row.ratio
            .map_or("-".to_owned(), |r| format!("{}x", shown(r))),
        row.goal_text(),
        row.cpu_text(),
    )
}

/// Three significant digits, thousands apart.
fn shown(value: f64) -> String {
    if value.is_nan() {
        return "?".to_owned();
    }
    let digits: i32 = match value.abs() {
        v if v >= 99.95 => 0,
        v if v >= 9.995 => 1,
        _ => 2,
    };
    if digits > 0 {
        let text = format!("{value:.*}", digits as usize);
        return text.trim_end_matches('0').trim_end_matches('.').to_owned();
    }
    let whole = format!("{:.0}", value.abs());
    let mut text = String::new();
    for (i, digit) in whole.chars().enumerate() {
        if i > 0 && (whole.len() - i) % 3 == 0 {
            text.push(',');
        }
        text.push(digit);
    }
    if value < 0.0 {
        format!("-{text}")
    } else {
        text
    }
}
