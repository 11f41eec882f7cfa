//! Clocks: this machine's is not behind what was written before, nor far from the online store's.

use schema::{Clock, Timestamp};

use super::finding::{Findings, Level};
use super::online;
use super::registry;
use crate::config::Config;

const CHECK: &str = "clock";
/// Further apart, rows are visible on one machine and not on another.
const APART_MAX: i64 = 60 * 1_000_000_000;

/// Looks.
pub(super) fn look(config: &Config, registry: Option<&registry::Found>, online: &online::Found, found: &mut Findings) {
    let now = Clock::wall();
    if let Clock::Fixed(at) = config.clock {
        let says = format!("the project's clock stands still at {at}: right for tests and demonstrations");
        found.advise(Level::Warning, CHECK, "plumb.yaml", says, "leave out `clock` to serve what is true now");
    }
    let behind = |then: Timestamp| then.as_nanos().saturating_sub(now.as_nanos());
    let todo = "set the machines' clocks by NTP";
    let mut well = true;
    if let Some(last) = registry.and_then(|registry| registry.last)
        && behind(last) > 0
    {
        let says = format!("it is {now} here, and the registry's last event is of {last}");
        found.advise(Level::Warning, CHECK, "this machine", says, todo);
        well = false;
    }
    for (address, then) in &online.clocks {
        if behind(*then).saturating_abs() > APART_MAX {
            let says = format!("it is {then} there and {now} here");
            found.advise(Level::Warning, CHECK, address.clone(), says, todo);
            well = false;
        }
    }
    if well {
        found.add(Level::Ok, CHECK, "this machine", format!("{now}"));
    }
}
