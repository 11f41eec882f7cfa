//! A uniform sample of rows, as numbers: those whose row number has a small hash, so it does not depend on the values, and
//! columns can be compared with each other.

use schema::sampling::mix;

use super::Seen;

/// Rows kept at most; at least half of it once there were more.
const KEPT: usize = 65_536;

/// The sampled rows of every column that has numbers.
#[derive(Debug)]
pub(in super::super) struct Sample {
    n_rows: u64,
    level: u32,
    kept: Vec<u64>,
    columns: Vec<Option<Vec<f64>>>,
}

impl Sample {
    pub(super) fn new(n_columns: usize) -> Self {
        Self { n_rows: 0, level: 0, kept: Vec::new(), columns: vec![Some(Vec::new()); n_columns] }
    }

    pub(super) fn add(&mut self, n: usize, seen: &[Seen]) {
        let first = self.n_rows;
        self.n_rows += n as u64;
        let number = |row: usize| mix(first + row as u64);
        let rows: Vec<usize> = (0..n).filter(|row| number(*row).leading_zeros() >= self.level).collect();
        self.kept.extend(rows.iter().map(|row| number(*row)));
        for (column, seen) in self.columns.iter_mut().zip(seen) {
            match (&mut *column, &seen.numbers) {
                (Some(kept), Some(numbers)) => kept.extend(rows.iter().map(|row| numbers[*row])),
                _ => *column = None,
            }
        }
        while self.kept.len() > KEPT {
            self.level += 1;
            let stays: Vec<bool> = self.kept.iter().map(|hash| hash.leading_zeros() >= self.level).collect();
            retain(&mut self.kept, &stays);
            self.columns.iter_mut().flatten().for_each(|column| retain(column, &stays));
        }
    }

    /// The sampled values of a column, `NaN` for nulls; `None` if it has no numbers.
    pub(in super::super) fn column(&self, i: usize) -> Option<&[f64]> {
        self.columns.get(i)?.as_deref()
    }

    /// What is sampled, and how well it stands for the whole: the bound of Dvoretzky, Kiefer and Wolfowitz.
    pub(in super::super) fn how(&self) -> String {
        match self.level {
            0 => "exact".to_owned(),
            _ => format!("uniform sample of {} rows, rank error below 0.8 % at 95 % confidence", self.kept.len()),
        }
    }

    /// Whether it holds every row.
    pub(in super::super) fn is_whole(&self) -> bool {
        self.level == 0
    }
}

fn retain<T: Copy>(values: &mut Vec<T>, stays: &[bool]) {
    let mut stays = stays.iter();
    values.retain(|_| stays.next().copied().unwrap_or(false));
}
