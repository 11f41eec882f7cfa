//! What the measurements of a model depend on beside the model, and the processor's time.

use rustix::time::{ClockId, clock_gettime};

/// The machine, as far as it says how fast a model is: the processor's name and the cores that this process may use.
pub fn name(cores: usize) -> String {
    let about = std::fs::read_to_string("/proc/cpuinfo").unwrap_or_default();
    let named = about.lines().find_map(|line| line.strip_prefix("model name")?.split_once(':'));
    let named = named.map_or(std::env::consts::ARCH, |(_, name)| name.trim());
    format!("{named}, {cores} cores")
}

/// Seconds of the processor that all threads of this process have had.
pub fn cpu_seconds() -> f64 {
    let time = clock_gettime(ClockId::ProcessCPUTime);
    #[expect(clippy::cast_precision_loss, reason = "a double has nanoseconds of a hundred days")]
    let seconds = time.tv_sec as f64 + time.tv_nsec as f64 * 1e-9;
    seconds
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_processors_time_is_what_was_worked() {
        let before = cpu_seconds();
        let mut sum = 0_u64;
        while cpu_seconds() - before < 0.02 {
            sum = sum.wrapping_add(std::hint::black_box(1));
        }
        assert!(sum > 1_000);
    }
}
