//! Debian packages that the machine may lack: installed where we may, named where we may not.

use std::fs;
use std::os::unix::fs::MetadataExt as _;
use std::process::Command;

use crate::failure::Failure;
use crate::process;

/// Installs `packages` if this is Debian and we are root. `missing` is what was looked for and not found.
pub(crate) fn install(missing: &str, packages: &[&str]) -> Result<(), Failure> {
    let named = packages.join(" ");
    let hint = format!("{missing} is missing; install it, on Debian by `apt-get install {named}`");
    if !is_root() || process::on_path("apt-get").is_none() {
        return Err(Failure::environment(hint));
    }
    eprintln!("{missing} is missing: installing {named} through apt");
    process::read(apt_get().args(["update", "-qq"]))
        .and_then(|_| process::read(apt_get().args(["install", "-y", "-qq", "--no-install-recommends"]).args(packages)))
        .map_err(|failure| Failure::environment(format!("{hint}\n{failure}")))?;
    Ok(())
}

fn apt_get() -> Command {
    let mut command = Command::new("apt-get");
    // In runlevel 1 the packages' scripts start no service.
    command.env("DEBIAN_FRONTEND", "noninteractive").env("RUNLEVEL", "1");
    // Another apt may be at work on a machine that has just booted.
    command.args(["-o", "DPkg::Lock::Timeout=120"]);
    command
}

fn is_root() -> bool {
    fs::metadata("/proc/self").is_ok_and(|process| process.uid() == 0)
}
