//! Words searched for, byte by byte and in whatever columns are compressed.

use std::path::Path;

use arrow::array::RecordBatch;
use arrow::ipc::reader::FileReader;
use featurestore::online::testing::TestRedis;
use parquet::arrow::arrow_reader::ParquetRecordBatchReaderBuilder;

/// Files below a folder that hold any of some words, relative to it.
pub(super) fn files(root: &Path, words: &[&str]) -> Vec<String> {
    let mut found = Vec::new();
    let mut folders = vec![root.to_path_buf()];
    while let Some(next) = folders.pop() {
        for entry in std::fs::read_dir(next).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                folders.push(path);
                continue;
            }
            let bytes = std::fs::read(&path).unwrap();
            let raw = words.iter().any(|word| bytes.windows(word.len()).any(|window| window == word.as_bytes()));
            let shown = || columns(&path).is_some_and(|text| words.iter().any(|word| text.contains(word)));
            if raw || shown() {
                found.push(path.strip_prefix(root).unwrap().display().to_string());
            }
        }
    }
    found.sort();
    found
}

/// The rows of a file of columns, as text.
fn columns(path: &Path) -> Option<String> {
    let end = path.extension()?;
    let file = || std::fs::File::open(path).unwrap();
    let batches: Vec<RecordBatch> = if end == "parquet" {
        ParquetRecordBatchReaderBuilder::try_new(file()).unwrap().build().unwrap().map(Result::unwrap).collect()
    } else if end == "arrow" {
        FileReader::try_new(file(), None).unwrap().map(Result::unwrap).collect()
    } else {
        return None;
    };
    Some(arrow::util::pretty::pretty_format_batches(&batches).unwrap().to_string())
}

/// The keys of a Redis whose name, fields or values have any of some words in them.
pub(super) fn redis(redis: &TestRedis, words: &[&str]) -> String {
    const SEARCH: &str = "local found, cursor = {}, '0' \
        repeat \
          local page = redis.call('SCAN', cursor, 'COUNT', '1000') \
          cursor = page[1] \
          for _, key in ipairs(page[2]) do \
            local texts, kind = {key}, redis.call('TYPE', key).ok \
            if kind == 'hash' then for _, text in ipairs(redis.call('HGETALL', key)) do texts[#texts + 1] = text end \
            elseif kind == 'string' then texts[2] = redis.call('GET', key) \
            else return redis.error_reply('a key of type ' .. kind .. ' is not searched') end \
            for _, text in ipairs(texts) do \
              if string.find(text, ARGV[1], 1, true) then found[#found + 1] = string.gsub(key, '[^%w%p]', '.') break end \
            end \
          end \
        until cursor == '0' \
        return table.concat(found, ' ')";
    let search = |word: &&str| redis.server().ask_text(&["EVAL", SEARCH, "0", word]);
    words.iter().map(search).collect::<Vec<_>>().concat()
}
