//! The README's tour, command by command as it is printed there, and the project that `plumb init` makes.

use std::process::Command;

use crate::harness::{Plumb, Server, root};

/// The commands of the README's blocks that are marked as the tour.
fn tour() -> Vec<String> {
    let readme = std::fs::read_to_string(root().join("README.md")).unwrap();
    let tour = readme.split("<!-- tour -->").nth(1).expect("README.md marks its tour");
    let blocks = tour.split("```").enumerate().filter(|(i, _)| i % 2 == 1).map(|(_, block)| block);
    let lines = blocks.flat_map(|block| block.lines().skip(1));
    lines.filter(|line| !line.trim().is_empty() && !line.starts_with('#')).map(str::to_owned).collect()
}

#[test]
fn the_tour_of_the_readme_works_as_printed() {
    let plumb = Plumb::empty();
    let folder = plumb.path();
    let binary = std::path::Path::new(env!("CARGO_BIN_EXE_plumb"));
    let path = format!("{}:{}", binary.parent().unwrap().display(), std::env::var("PATH").unwrap());
    let commands = tour();
    assert!(commands.len() > 8, "{commands:#?}");
    let mut server: Option<Server> = None;
    for line in commands {
        if line.contains("plumb serve") {
            server = Some(Server::in_folder(folder, &line));
            continue;
        }
        // The tour's server listens where it says; the test's where there was a free port.
        let line = match &server {
            Some(server) => line.replace("http://127.0.0.1:8080", &server.url),
            None => line,
        };
        if line.contains("kill") {
            server.take().unwrap().stop();
            continue;
        }
        let mut shell = Command::new("bash");
        let output = shell
            .args(["-euc", &line])
            .current_dir(folder)
            .env("PATH", &path)
            .env("PLUMB_ROOT", root())
            .output()
            .unwrap();
        let said = String::from_utf8_lossy(&output.stdout).into_owned() + &String::from_utf8_lossy(&output.stderr);
        assert!(output.status.success(), "{line}\n{said}");
        assert!(!said.contains("\"error\""), "{line}\n{said}");
    }
}

#[test]
fn init_makes_a_project_that_works() {
    let plumb = Plumb::empty();
    let dir = plumb.path().join("shop");
    let run = |args: &[&str]| {
        let output = Command::new(env!("CARGO_BIN_EXE_plumb")).args(args).current_dir(plumb.path()).output().unwrap();
        assert!(output.status.success(), "{args:?}: {}", String::from_utf8_lossy(&output.stderr));
        String::from_utf8_lossy(&output.stdout).into_owned()
    };
    run(&["init", "shop"]);
    run(&["apply", "--project", "shop", "--yes"]);
    assert!(run(&["plan", "--project", "shop"]).contains("nothing to do"));
    run(&["materialize", "--project", "shop"]);
    let features =
        run(&["features", "get", "--project", "shop", "--service", "driver_v1", "--entity", "driver_id=1,2,9"]);
    assert!(
        features.contains("driver_id=2  trips") && features.contains("144") && features.contains("NOT_FOUND"),
        "{features}"
    );
    assert!(dir.join("plumb.yaml").is_file());
    let again =
        Command::new(env!("CARGO_BIN_EXE_plumb")).args(["init", "shop"]).current_dir(plumb.path()).output().unwrap();
    assert_eq!(again.status.code(), Some(4), "what exists is not overwritten");
}

#[test]
fn a_change_of_meaning_is_told_from_a_change_of_words() {
    let plumb = Plumb::demo();
    let plan = plumb.run("plan --detailed-exitcode");
    assert_eq!(plan.code, 8);
    assert!(plan.stdout.contains("+ feature view user_features v1: new"), "{plan:?}");
    plumb.run("apply --yes").ok();
    assert_eq!(plumb.run("plan --detailed-exitcode").code, 0);
    plumb.run("materialize").ok();

    plumb.edit("features/user_features.yaml", "What a user has bought so far", "The shopping so far");
    let plan = plumb.run("plan").ok().stdout;
    assert!(plan.contains(". feature view user_features v1: changed in words only"), "{plan}");
    assert!(!plan.contains("materialize"), "{plan}");

    plumb.edit("features/user_features.yaml", "ttl: 365d", "ttl: 180d");
    let plan = plumb.run("plan").ok().stdout;
    assert!(plan.contains("~ feature view user_features v2: changed in meaning"), "{plan}");
    assert!(plan.contains("ttl: 365d -> 180d") && plan.contains("user_features@v2"), "{plan}");
    assert!(plan.contains("~ feature service repeat_purchase_v1 v2: changed in meaning"), "{plan}");
    let warns = "a running server answers whoever asks for `user_features` with 409 (`not_materialized`) until it is online: \
                 plumb materialize user_features";
    assert!(plan.contains(warns), "{plan}");
    assert_eq!(plumb.json("plan")["unserved"], serde_json::json!(["user_features"]));
    let applied = plumb.run("apply --yes").ok().stdout;
    assert!(applied.contains(warns), "{applied}");

    // Going back is no third version: version 1 means that already.
    plumb.edit("features/user_features.yaml", "ttl: 180d", "ttl: 365d");
    let plan = plumb.run("plan").ok().stdout;
    assert!(plan.contains("~ feature view user_features v1: as it was before"), "{plan}");
    // It was materialized before, and is online still.
    assert!(plan.contains("> `user_features@v1` is online still") && !plan.contains("to be materialized"), "{plan}");
    assert!(!plan.contains("409"), "{plan}");
}
