//! The ONNX Runtime shared library: taken out of a pinned wheel, once, into the workspace's cache.
//!
//! Invariant: what is in the cache under its final name is whole and came from a wheel with the pinned hash, whenever
//! and however often this was interrupted. `ORT_DYLIB_PATH` always wins and is never checked beyond being a file.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Instant;

use crate::failure::Failure;
use crate::process;
use crate::scratch::Scratch;

const VERSION: &str = "1.31.1";

/// The Python whose wheels the hashes belong to. Any python3 can fetch them: only the library inside is used.
const PYTHON: &str = "3.11";

/// One per processor that we serve on.
#[derive(Debug)]
struct Wheel {
    arch: &'static str,
    platform: &'static str,
    sha256: &'static str,
    size_mb: u32,
}

const WHEELS: [Wheel; 2] = [
    Wheel {
        arch: "x86_64",
        platform: "manylinux_2_28_x86_64",
        sha256: "5752bd508126ae7c49894d3b9d2e83f0c3d487319246d04c444b393308d7ad7f",
        size_mb: 24,
    },
    Wheel {
        arch: "aarch64",
        platform: "manylinux_2_28_aarch64",
        sha256: "da05378364c44d4407e463982d2bf8d5e4cfea873283757e48beeb41df97b7f3",
        size_mb: 21,
    },
];

/// Arguments: the wheel. Prints its sha256.
const PRINT_SHA256: &str = "\
import hashlib, sys
with open(sys.argv[1], 'rb') as wheel:
    print(hashlib.sha256(wheel.read()).hexdigest())
";

/// Arguments: the wheel, the member, the file to write. Written through to the disk, because a rename follows.
const EXTRACT: &str = "\
import os, sys, zipfile
with zipfile.ZipFile(sys.argv[1]) as wheel, open(sys.argv[3], 'wb') as out:
    out.write(wheel.read(sys.argv[2]))
    out.flush()
    os.fsync(out.fileno())
";

/// The library's path, absolute. Says nothing when the cache already holds it.
pub(crate) fn ready(cache: &Path) -> Result<PathBuf, Failure> {
    if let Some(path) = std::env::var_os("ORT_DYLIB_PATH").filter(|path| !path.is_empty()) {
        return given(Path::new(&path));
    }
    let folder = cache.join("onnxruntime").join(VERSION);
    let library = folder.join(library_name());
    if !library.is_file() {
        fetch(&folder, &library)?;
    }
    Ok(library)
}

fn given(path: &Path) -> Result<PathBuf, Failure> {
    if !path.is_file() {
        return Err(Failure::environment(format!(
            "`ORT_DYLIB_PATH` names `{}`, which is not a file; unset it to have ONNX Runtime {VERSION} fetched",
            path.display()
        )));
    }
    eprintln!("ONNX Runtime: `{}`, from `ORT_DYLIB_PATH`", path.display());
    std::path::absolute(path).map_err(|source| Failure::io("resolving", path, &source))
}

fn fetch(folder: &Path, library: &Path) -> Result<(), Failure> {
    let started = Instant::now();
    let wheel = wheel_for(std::env::consts::OS, std::env::consts::ARCH, cfg!(target_env = "gnu"))?;
    let python = python_with_pip()?;
    let scratch = Scratch::new(folder, ".fetch")?;
    eprintln!("ONNX Runtime {VERSION}: fetching its wheel from PyPI ({} MB)", wheel.size_mb);

    let file = download(&python, wheel, scratch.path())?;
    let sha256 = process::read(Command::new(&python).args(["-I", "-c", PRINT_SHA256]).arg(&file))?;
    refuse_other_hash(wheel, sha256.trim())?;

    let member = format!("onnxruntime/capi/{}", library_name());
    let unfinished = scratch.path().join(library_name());
    process::read(Command::new(&python).args(["-I", "-c", EXTRACT]).arg(&file).arg(member).arg(&unfinished))?;
    // Within one folder, so atomic: two set-ups at once both end with a whole library.
    fs::rename(&unfinished, library).map_err(|source| Failure::io("moving the library to", library, &source))?;
    eprintln!("ONNX Runtime {VERSION}: ready in {:.1} s, hash checked", started.elapsed().as_secs_f64());
    Ok(())
}

fn library_name() -> String {
    format!("libonnxruntime.so.{VERSION}")
}

fn wheel_for(os: &str, arch: &str, glibc: bool) -> Result<&'static Wheel, Failure> {
    let wheel = WHEELS.iter().find(|wheel| os == "linux" && glibc && arch == wheel.arch);
    wheel.ok_or_else(|| {
        Failure::environment(format!(
            "no ONNX Runtime {VERSION} is pinned for {arch} {os}{}, only for x86_64 and aarch64 linux with glibc; \
             set `ORT_DYLIB_PATH` to a `libonnxruntime` of your own",
            if os == "linux" && !glibc { " without glibc" } else { "" }
        ))
    })
}

fn python_with_pip() -> Result<PathBuf, Failure> {
    let hint = format!("it fetches ONNX Runtime {VERSION}; set `ORT_DYLIB_PATH` to do without");
    let Some(python) = process::on_path("python3") else {
        return Err(Failure::environment(format!(
            "python3 is missing; install it, on Debian by `apt-get install python3 python3-pip`: {hint}"
        )));
    };
    process::read(Command::new(&python).args(["-m", "pip", "--version"])).map_err(|failure| {
        Failure::environment(format!(
            "pip is missing; install it, on Debian by `apt-get install python3-pip`: {hint}\n{failure}"
        ))
    })?;
    Ok(python)
}

/// The one file that pip leaves in `folder`.
fn download(python: &Path, wheel: &Wheel, folder: &Path) -> Result<PathBuf, Failure> {
    let mut pip = Command::new(python);
    pip.args(["-m", "pip", "download", "--quiet", "--no-input", "--disable-pip-version-check", "--no-cache-dir"]);
    pip.args(["--no-deps", "--only-binary=:all:", "--implementation", "cp", "--python-version", PYTHON]);
    pip.args(["--platform", wheel.platform]).arg("--dest").arg(folder).arg(format!("onnxruntime=={VERSION}"));
    process::read(&mut pip).map_err(|failure| {
        Failure::environment(format!(
            "cannot fetch ONNX Runtime {VERSION} from PyPI; is this machine offline? \
             Either go online once, or set `ORT_DYLIB_PATH` to a `libonnxruntime.so` of that version\n{failure}"
        ))
    })?;
    let mut files = fs::read_dir(folder).map_err(|source| Failure::io("reading", folder, &source))?;
    match files.next() {
        Some(Ok(file)) => Ok(file.path()),
        Some(Err(source)) => Err(Failure::io("reading", folder, &source)),
        None => Err(Failure::environment("pip reported success but left no wheel")),
    }
}

fn refuse_other_hash(wheel: &Wheel, sha256: &str) -> Result<(), Failure> {
    if sha256 == wheel.sha256 {
        return Ok(());
    }
    Err(Failure::environment(format!(
        "the wheel of ONNX Runtime {VERSION} for {} is not the pinned one; it was discarded\n    \
         pinned sha256   {}\n    received sha256 {sha256}",
        wheel.platform, wheel.sha256
    )))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::failure::Exit;

    #[test]
    fn each_processor_has_its_wheel() {
        for arch in ["x86_64", "aarch64"] {
            let wheel = wheel_for("linux", arch, true).expect("both are pinned");
            assert_eq!(wheel.platform, format!("manylinux_2_28_{arch}"));
            assert_eq!(wheel.sha256.len(), 64);
        }
        assert_ne!(WHEELS[0].sha256, WHEELS[1].sha256);
    }

    #[test]
    fn other_platforms_are_refused_with_a_way_out() {
        for (os, arch, glibc) in [("macos", "aarch64", false), ("linux", "riscv64", true), ("linux", "x86_64", false)] {
            let failure = wheel_for(os, arch, glibc).expect_err("nothing is pinned for it");
            assert_eq!(failure.exit, Exit::Environment);
            assert!(failure.message.contains("ORT_DYLIB_PATH"), "{failure}");
        }
    }

    #[test]
    fn another_hash_is_refused_showing_both() {
        let wheel = &WHEELS[0];
        assert_eq!(refuse_other_hash(wheel, wheel.sha256), Ok(()));
        let failure = refuse_other_hash(wheel, "00").expect_err("that is not its hash");
        assert_eq!(failure.exit, Exit::Environment);
        assert!(failure.message.contains(wheel.sha256) && failure.message.ends_with("received sha256 00"), "{failure}");
    }

    #[test]
    fn a_given_library_must_exist() {
        let failure = given(Path::new("/nowhere/libonnxruntime.so")).expect_err("there is no such file");
        assert_eq!(failure.exit, Exit::Environment);
        let here =
            Path::new(file!()).file_name().map(|name| Path::new("src").join(name)).expect("this file has a name");
        assert!(given(&here).expect("this file exists").is_absolute());
    }
}
