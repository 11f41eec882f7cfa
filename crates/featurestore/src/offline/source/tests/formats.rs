//! Texts: types declared and guessed, copies, rows that do not parse.

use expect_test::expect;

use super::*;

#[test]
fn a_csv_file_is_a_source_by_the_types_of_its_values() {
    let folder = Folder::new();
    folder.write(
        "rows.csv",
        "user_id,at,amount,note,code,day\r\n\
         1,2024-01-01T00:00:00.000000001Z,1.5,\"a, \"\"b\"\"\",007,2024-01-01\r\n\
         9007199254740993,2024-01-02 00:00:00,,\"\",08,2024-01-02\r\n\
         3,,2,,9,\r\n",
    );
    folder.check(
        &source("rows.csv"),
        "select * from rows",
        expect![[r#"
        +------------------+--------------------------------+--------+--------+------+------------+------+
        | user_id          | at                             | amount | note   | code | day        | _row |
        +------------------+--------------------------------+--------+--------+------+------------+------+
        | 1                | 2024-01-01T00:00:00.000000001Z | 1.5    | a, "b" | 007  | 2024-01-01 | 0    |
        | 9007199254740993 | 2024-01-02T00:00:00Z           |        |        | 08   | 2024-01-02 | 1    |
        | 3                |                                | 2.0    |        | 9    |            | 2    |
        +------------------+--------------------------------+--------+--------+------+------------+------+
    "#]],
    );
    // Empty is null, quoted empty is a text.
    folder.check(
        &source("rows.csv"),
        "select count(*) as n from rows where note is null",
        expect![[r#"
        +---+
        | n |
        +---+
        | 1 |
        +---+
    "#]],
    );
    let files = block(folder.open(&source("rows.csv"))).unwrap();
    let types: Vec<String> = files.columns.iter().map(|c| format!("{} {}", c.name, c.arrow)).collect();
    assert_eq!(types[0], "user_id Int64");
    assert_eq!(types[2..], ["amount Float64", "note Utf8", "code Utf8", "day Date32"]);
    assert_eq!(files.files[0].name, "rows.csv", "messages say the user's path");
}

#[test]
fn declared_types_are_kept_to() {
    let folder = Folder::new();
    folder.write("rows.csv", "user_id;at;price;embedding\n7;2024-01-01 12:00:00;12.5;[1,2.5]\n");
    let mut source = source("rows.csv");
    source.delimiter = Some(';');
    source.timezone = Some("America/New_York".to_owned());
    source.columns = columns("user_id int32; price decimal(10,2); embedding list<float32, 2>");
    folder.check(
        &source,
        "select user_id, at, price, embedding from rows",
        expect![[r#"
        +---------+----------------------+-------+------------+
        | user_id | at                   | price | embedding  |
        +---------+----------------------+-------+------------+
        | 7       | 2024-01-01T17:00:00Z | 12.50 | [1.0, 2.5] |
        +---------+----------------------+-------+------------+
    "#]],
    );
    source.columns = columns("price decimal(3,2)");
    folder.refuses(&source, "`rows.csv`, line 2: `12.5` is no decimal(3,2), column `price`");
    source.columns = columns("prise int64");
    folder.refuses(&source, "`rows.csv` has no column `prise`, which source `rows` needs");
}

/// FT 39.
#[test]
fn times_of_any_year_and_leap_seconds_are_read() {
    let folder = Folder::new();
    folder.write(
        "rows.csv",
        "user_id,at\n1,1905-02-28T23:59:59Z\n2,1969-12-31T23:59:59.5Z\n3,2016-12-31T23:59:60Z\n\
         4,2017-01-01T00:00:00Z\n5,2038-01-19T03:14:08Z\n6,2200-02-28\n",
    );
    folder.check(
        &source("rows.csv"),
        "select user_id, at from rows order by at, user_id",
        expect![[r#"
        +---------+--------------------------+
        | user_id | at                       |
        +---------+--------------------------+
        | 1       | 1905-02-28T23:59:59Z     |
        | 2       | 1969-12-31T23:59:59.500Z |
        | 3       | 2017-01-01T00:00:00Z     |
        | 4       | 2017-01-01T00:00:00Z     |
        | 5       | 2038-01-19T03:14:08Z     |
        | 6       | 2200-02-28T00:00:00Z     |
        +---------+--------------------------+
    "#]],
    );
}

#[test]
fn json_lines_are_a_source() {
    let folder = Folder::new();
    folder.write(
        "rows.jsonl",
        "{\"at\": \"2024-01-01T00:00:00Z\", \"user_id\": 1, \"tags\": [\"a\"], \"about\": {\"b\": 1, \"a\": 1e2}}\n\
         \n\
         {\"user_id\": 9007199254740993, \"at\": \"2024-01-02T00:00:00Z\", \"x\": null, \"score\": 1}\n\
         {\"user_id\": 3, \"at\": null, \"score\": 0.5}\n",
    );
    folder.check(
        &source("rows.jsonl"),
        "select user_id, at, tags, about, score from rows",
        expect![[r#"
        +------------------+----------------------+------+-------------------+-------+
        | user_id          | at                   | tags | about             | score |
        +------------------+----------------------+------+-------------------+-------+
        | 1                | 2024-01-01T00:00:00Z | [a]  | {"a":100.0,"b":1} |       |
        | 9007199254740993 | 2024-01-02T00:00:00Z |      |                   | 1.0   |
        | 3                |                      |      |                   | 0.5   |
        +------------------+----------------------+------+-------------------+-------+
    "#]],
    );
}

#[test]
fn a_row_that_does_not_parse_is_an_error_with_its_place() {
    let folder = Folder::new();
    let mut typed = source("rows.csv");
    typed.columns = columns("user_id int64; amount float64");
    let check = |text: &str, want: &str| {
        folder.write("rows.csv", text);
        folder.refuses(&typed, want);
    };
    check(
        "user_id,at,amount\n1,2024-01-01,\n2,2024-01-01,much\n",
        "`rows.csv`, line 3: `much` is no float64, column `amount`",
    );
    check(
        "user_id,at,amount\n1,\"2024-01-01\n\",5\n",
        "`rows.csv`, line 2: `2024-01-01\\n` is not a time: it has another form; write RFC 3339, such as 1998-07-01T00:00:00Z, column `at`",
    );
    check(
        "user_id,at,amount\n1,2016-06-15T12:00:60Z,5\n",
        "`rows.csv`, line 2: `2016-06-15T12:00:60Z` is not a time: only the last minute of a day in UTC has a second 60; write RFC 3339, such as 1998-07-01T00:00:00Z, column `at`",
    );
    check("user_id,at,amount\n1,2024-01-01\n", "`rows.csv`, line 2: it has 2 fields, and the file 3 columns");
    check("user_id,at,amount\n1,2024-01-01,\"5\n", "`rows.csv`, line 2: a quote that has no end");
    check("user_id,at,at\n", "`rows.csv`, line 1: two columns are called `at`");
    check("user_id,,at\n", "`rows.csv`, line 1: column 2 has no name");
    check("", "`rows.csv`, line 1: the file is empty: a CSV file starts with the names of its columns");
    folder.write("rows.jsonl", "{\"user_id\": 1}\n{\"user_id\": 1.5}\n");
    let mut typed = source("rows.jsonl");
    typed.columns = columns("user_id int64");
    folder.refuses(&typed, "`rows.jsonl`, line 2: `1.5` is no int64, column `user_id`");
    folder.write("rows.jsonl", "[1]\n");
    folder.refuses(&typed, "`rows.jsonl`, line 1: invalid type: sequence, expected an object on each line");
}

#[test]
fn bad_rows_may_be_left_out_and_are_kept_with_their_reasons() {
    let folder = Folder::new();
    folder.write(
        "rows.csv",
        "user_id,at,amount\n1,2024-01-01,1\n2,2024-01-01,much\n3,2024-01-01\n4,soon,4\n5,2024-01-01,5\n",
    );
    let mut typed = source("rows.csv");
    typed.bad_rows = BadRows::Reject;
    typed.columns = columns("user_id int64; amount float64");
    let files = block(folder.open(&typed)).unwrap();
    assert_eq!((files.n_rows(), files.files[0].n_left_out), (2, 3));
    let reasons = std::fs::read_to_string(files.files[0].left_out.as_ref().unwrap()).unwrap();
    let reasons: Vec<Json> = reasons.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    let said: Vec<(u64, &str)> =
        reasons.iter().map(|r| (r["line"].as_u64().unwrap(), r["why"].as_str().unwrap())).collect();
    assert_eq!(said[0], (3, "`much` is no float64"));
    assert_eq!(said[1], (4, "it has 2 fields, and the file 3 columns"));
    assert_eq!(said[2].0, 5);
    // They count where rejected rows are counted.
    let view = view(
        "path: rows.csv\nevent_time: at\nbad_rows: reject\ncolumns: [{name: amount, type: float64}]",
        "features: [{name: amount, type: float64}]",
    );
    let history = block(folder.store.history(&view)).unwrap();
    assert_eq!((history.n_rows(), history.n_left_out(), history.n_left_out_of(&history.units())), (2, 3, 3));
    assert_eq!((history.rejected()[0].file.as_str(), history.rejected()[0].n_rows), ("rows.csv", 3));
}

#[test]
fn a_guess_is_made_of_the_whole_and_of_all_files() {
    let folder = Folder::new();
    let many: String = (0..20_000).map(|i| format!("{i},2024-01-01,{i}\n")).collect();
    folder.write("rows/a.csv", &format!("user_id,at,x\n{many}"));
    let mut all = source("rows");
    all.format = Format::Csv;
    let typed = |all: &Source| block(folder.open(all)).unwrap().columns[2].arrow.clone();
    assert_eq!(typed(&all), DataType::Int64);
    // The last row of the last file contradicts all others.
    folder.write("rows/b.csv", "user_id,at,x\n1,2024-01-01,\n2,2024-01-01,1.5\n");
    assert_eq!(typed(&all), DataType::Float64);
    folder.write("rows/c.csv", "user_id,at,x\n1,2024-01-01,none\n");
    assert_eq!(typed(&all), DataType::Utf8);
    assert_eq!(block(folder.open(&all)).unwrap().n_rows(), 20_003);
}

#[test]
fn a_copy_is_made_once_and_again_when_its_text_changes() {
    let folder = Folder::new();
    folder.write("rows.csv", "user_id,at,x\n1,2024-01-01,1\n");
    let text = source("rows.csv");
    let copies = || {
        let path = block(folder.open(&text)).unwrap().files[0].path.clone();
        let time = path.metadata().unwrap().modified().unwrap();
        (path, time)
    };
    let (first, version) = (copies(), block(folder.open(&text)).unwrap().version());
    assert_eq!(copies(), first, "nothing changed");
    // A damaged copy is made again: one of another length, and one with a flipped byte in its middle.
    let mut flipped = std::fs::read(&first.0).unwrap();
    let middle = flipped.len() / 2;
    flipped[middle] ^= 0x10;
    for damaged in [b"PAR1".to_vec(), flipped] {
        std::fs::write(&first.0, damaged).unwrap();
        assert_eq!(block(folder.open(&text)).unwrap().n_rows(), 1);
        assert_eq!(block(folder.open(&text)).unwrap().version(), version, "and says the same");
    }
    folder.write("rows.csv", "user_id,at,x\n1,2024-01-01,1\n2,2024-01-01,2\n");
    assert_ne!(copies().0, first.0);
    assert!(!first.0.exists(), "nobody reads the copy of a state that is gone");
    assert_eq!(block(folder.open(&text)).unwrap().n_rows(), 2);
}

#[test]
fn a_text_that_changes_while_it_is_read_is_refused() {
    let folder = Folder::new();
    folder.write("rows.csv", "user_id,at\n1,2024-01-01\n");
    let found = find::local(folder.path(), &source("rows.csv"), "rows.csv").unwrap();
    folder.write("rows.csv", "user_id,at\n1,2024-01-01\n2,2024-01-01\n");
    let why = found[0].unchanged().unwrap_err();
    assert_eq!(chain(&why), "reading `rows.csv`: the file changed while it was read; try again");
}
