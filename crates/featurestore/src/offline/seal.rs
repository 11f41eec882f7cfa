//! The checksum of a Parquet file that we wrote: a flipped bit is an error, never a wrong number (decision 0038).
//!
//! It stands in the file's own metadata, of a fixed length, so that it is put in its place when all else is written: the
//! file's length and the CRC-32 of its bytes, with zeros where it stands itself. Files of others have none, nor has what
//! another program made of ours: it is of another length. Copies of others' files have theirs in a file beside (decision 0058).

use std::collections::HashSet;
use std::fs::File;
use std::io::{self, Read, Seek, SeekFrom, Write};
use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};

use parquet::file::metadata::{KeyValue, ParquetMetaData};

use crate::checksum::Crc32;

pub(crate) const KEY: &str = "plumb.seal";
/// Sixteen hexadecimal digits of the length, eight of the sum.
const SEAL_BYTES: usize = 24;
const EMPTY: &str = "000000000000000000000000";
/// What stands between key and value in Parquet's metadata: the next field, a text, its length.
const BETWEEN: [u8; 2] = [0x18, 24];
/// How the names end of checksums that are beside their files.
pub(crate) const BESIDE: &str = ".sum";
/// Length of the footer, and the magic number.
const TAIL_BYTES: u64 = 8;

/// Files whose seals hold, as they were when it was looked at: one that is read often is summed once.
static SOUND: Mutex<Option<HashSet<Identity>>> = Mutex::new(None);
/// More are forgotten.
const SOUND_MAX: usize = 10_000;

type Identity = (PathBuf, u64, std::time::SystemTime);

/// What a file says of itself while it is written; [`seal`] puts the sum there.
pub(crate) fn place() -> KeyValue {
    KeyValue::new(KEY.to_owned(), EMPTY.to_owned())
}

/// Whether a file has a place for a seal.
pub(crate) fn is_sealed(file: &ParquetMetaData) -> bool {
    let about = file.file_metadata().key_value_metadata();
    about.is_some_and(|about| about.iter().any(|entry| entry.key == KEY))
}

/// Seals a file that is written, but not yet synced.
pub(crate) fn seal(file: &mut File) -> io::Result<()> {
    let length = file.seek(SeekFrom::End(0))?;
    let at = find(file, length)?.ok_or_else(|| io::Error::other("it has no place for a checksum"))?;
    let seal = format!("{length:016x}{:08x}", sum(file, at)?);
    file.seek(SeekFrom::Start(at))?;
    file.write_all(seal.as_bytes())
}

/// As [`seal`], of a file that is in memory.
pub(crate) fn seal_bytes(bytes: &mut [u8]) -> io::Result<()> {
    let mut file = io::Cursor::new(&*bytes);
    let length = bytes.len() as u64;
    let at = find(&mut file, length)?.ok_or_else(|| io::Error::other("it has no place for a checksum"))?;
    let seal = format!("{length:016x}{:08x}", sum(&mut file, at)?);
    let at = usize::try_from(at).map_err(io::Error::other)?;
    bytes[at..at + SEAL_BYTES].copy_from_slice(seal.as_bytes());
    Ok(())
}

/// Whether the bytes are those that were sealed; a file without a seal is as good as it is.
///
/// # Errors
/// Says that it is damaged, or that it cannot be read.
pub(crate) fn check(file: &mut File, path: &Path) -> io::Result<()> {
    once(file, path.to_path_buf(), holds)
}

/// Where the checksum is of a file that has no place for one: bytes of others, kept as they came.
pub(crate) fn beside(path: &Path) -> PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push(BESIDE);
    name.into()
}

/// What stands there, of so many bytes with this sum.
pub(crate) fn said_beside(length: u64, sum: Crc32) -> String {
    format!("{length:016x}{:08x}", sum.sum())
}

/// As [`check`], by the checksum beside the file; without that it is as good as it is.
///
/// # Errors
/// As [`check`].
pub(crate) fn check_beside(path: &Path) -> io::Result<()> {
    let beside = beside(path);
    let said = match std::fs::read_to_string(&beside) {
        Err(why) if why.kind() == io::ErrorKind::NotFound => return Ok(()),
        said => said?,
    };
    once(&mut File::open(path)?, beside, |file| {
        let (mut sum, mut length) = (Crc32::new(), 0);
        let mut buffer = vec![0; 1 << 18];
        loop {
            match file.read(&mut buffer)? {
                0 if said == said_beside(length, sum) => return Ok(()),
                0 => return Err(damaged()),
                n => (sum, length) = (sum.and(&buffer[..n]), length + n as u64),
            }
        }
    })
}

/// Whether a file holds what it should, if that is not known of it as it is.
fn once(file: &mut File, of: PathBuf, holds: impl FnOnce(&mut File) -> io::Result<()>) -> io::Result<()> {
    let about = file.metadata()?;
    let identity = (of, about.len(), about.modified()?);
    let mut sound = SOUND.lock().unwrap_or_else(PoisonError::into_inner);
    if sound.as_ref().is_some_and(|sound| sound.contains(&identity)) {
        return Ok(());
    }
    drop(sound);
    holds(file)?;
    sound = SOUND.lock().unwrap_or_else(PoisonError::into_inner);
    let sound = sound.get_or_insert_default();
    if sound.len() >= SOUND_MAX {
        sound.clear();
    }
    sound.insert(identity);
    Ok(())
}

fn damaged() -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, "it is damaged: its bytes are not those that were written")
}

fn holds(file: &mut (impl Read + Seek)) -> io::Result<()> {
    let length = file.seek(SeekFrom::End(0))?;
    let Some(at) = find(file, length)? else { return Ok(()) };
    let mut seal = [0; SEAL_BYTES];
    file.seek(SeekFrom::Start(at))?;
    file.read_exact(&mut seal)?;
    // Of another length: another program copied the metadata of ours into a file of its own.
    let is_ours = seal.starts_with(format!("{length:016x}").as_bytes());
    if is_ours && seal[16..] != *format!("{:08x}", sum(file, at)?).as_bytes() {
        return Err(damaged());
    }
    file.seek(SeekFrom::Start(0)).map(drop)
}

/// Where the seal is.
fn find(file: &mut (impl Read + Seek), length: u64) -> io::Result<Option<u64>> {
    let Some(tail_at) = length.checked_sub(TAIL_BYTES) else { return Ok(None) };
    let mut tail = [0; 4];
    file.seek(SeekFrom::Start(tail_at))?;
    file.read_exact(&mut tail)?;
    let Some(footer_at) = tail_at.checked_sub(u64::from(u32::from_le_bytes(tail))) else { return Ok(None) };
    let mut footer = Vec::new();
    file.seek(SeekFrom::Start(footer_at))?;
    file.take(tail_at - footer_at).read_to_end(&mut footer)?;
    let mark = [KEY.as_bytes(), &BETWEEN].concat();
    let found = footer.windows(mark.len()).rposition(|part| part == mark).map(|at| at + mark.len());
    Ok(found.filter(|at| at + SEAL_BYTES <= footer.len()).map(|at| footer_at + at as u64))
}

/// The sum of all bytes, with zeros for the seal at `at`.
fn sum(file: &mut (impl Read + Seek), at: u64) -> io::Result<u32> {
    file.seek(SeekFrom::Start(0))?;
    let mut sum = Crc32::new();
    let mut buffer = vec![0; 1 << 18];
    for (from, n) in [(0, at), (at + SEAL_BYTES as u64, u64::MAX)] {
        file.seek(SeekFrom::Start(from))?;
        let mut part = file.take(n);
        loop {
            match part.read(&mut buffer)? {
                0 => break,
                n => sum = sum.and(&buffer[..n]),
            }
        }
        if from == 0 {
            sum = sum.and(EMPTY.as_bytes());
        }
    }
    Ok(sum.sum())
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use arrow::array::{ArrayRef, Int64Array, RecordBatch, StringArray};
    use parquet::arrow::ArrowWriter;
    use parquet::arrow::arrow_reader::ParquetRecordBatchReaderBuilder;

    use super::*;

    fn rows() -> RecordBatch {
        let ints: ArrayRef = Arc::new(Int64Array::from_iter_values(0..50));
        let texts: ArrayRef = Arc::new(StringArray::from_iter_values((0..50).map(|i| format!("text {i}"))));
        RecordBatch::try_from_iter([("i", ints), ("t", texts)]).unwrap()
    }

    fn written() -> Vec<u8> {
        let mut writer = ArrowWriter::try_new(Vec::new(), rows().schema(), None).unwrap();
        writer.write(&rows()).unwrap();
        writer.append_key_value_metadata(place());
        let mut bytes = writer.into_inner().unwrap();
        seal_bytes(&mut bytes).unwrap();
        bytes
    }

    fn read(bytes: Vec<u8>) -> Option<Vec<RecordBatch>> {
        let reader = ParquetRecordBatchReaderBuilder::try_new(bytes::Bytes::from(bytes)).ok()?;
        reader.build().ok()?.collect::<Result<_, _>>().ok()
    }

    /// FT 21: each byte of a small file, flipped: it is an error or the same rows.
    #[test]
    fn a_flipped_byte_is_an_error_or_no_loss() {
        let whole = written();
        holds(&mut io::Cursor::new(&whole)).unwrap();
        let mut n_refused = 0;
        for at in 0..whole.len() {
            for flip in [0x01, 0x80, 0xff] {
                let mut bytes = whole.clone();
                bytes[at] ^= flip;
                match holds(&mut io::Cursor::new(&bytes)) {
                    Err(_) => n_refused += 1,
                    Ok(()) => {
                        // The mark, its length or the footer's: what is not known as a seal does not hide other damage.
                        let found = std::panic::catch_unwind(|| read(bytes)).unwrap_or(None);
                        assert!(found.is_none_or(|found| found == [rows()]), "byte {at} ^ {flip:#x}");
                    }
                }
            }
        }
        assert!(n_refused > whole.len() * 2, "{n_refused} of {}", whole.len() * 3);
    }

    #[test]
    fn a_file_on_disk_is_sealed_as_one_in_memory() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("f.parquet");
        let mut bytes = written();
        let sealed = bytes.clone();
        let at = usize::try_from(find(&mut io::Cursor::new(&bytes), bytes.len() as u64).unwrap().unwrap()).unwrap();
        bytes[at..at + SEAL_BYTES].copy_from_slice(EMPTY.as_bytes());
        std::fs::write(&path, &bytes).unwrap();
        let mut file = File::options().read(true).write(true).open(&path).unwrap();
        seal(&mut file).unwrap();
        assert_eq!(std::fs::read(&path).unwrap(), sealed);
        check(&mut file, &path).unwrap();
    }

    #[test]
    fn a_file_of_others_is_checked_by_what_stands_beside_it() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("f.object");
        let bytes = b"user_id,x\n1,10\n".repeat(30_000);
        std::fs::write(&path, &bytes).unwrap();
        check_beside(&path).unwrap();
        std::fs::write(beside(&path), said_beside(bytes.len() as u64, Crc32::new().and(&bytes))).unwrap();
        check_beside(&path).unwrap();
        for at in [0, bytes.len() / 2, bytes.len() - 1] {
            let mut flipped = bytes.clone();
            flipped[at] ^= 1;
            // A file of another name: what is known of one is by its length and time of change.
            let path = folder.path().join(format!("{at}.object"));
            std::fs::write(&path, &flipped).unwrap();
            std::fs::copy(beside(&folder.path().join("f.object")), beside(&path)).unwrap();
            assert!(check_beside(&path).unwrap_err().to_string().contains("it is damaged"), "byte {at}");
        }
    }

    #[test]
    fn files_of_others_are_as_good_as_they_are() {
        for bytes in [&b""[..], b"short", b"PAR1 and something that is no footer PAR1"] {
            holds(&mut io::Cursor::new(bytes)).unwrap();
        }
        // Made of ours by a program that keeps metadata.
        let mut writer = ArrowWriter::try_new(Vec::new(), rows().schema(), None).unwrap();
        writer.write(&rows().slice(0, 10)).unwrap();
        writer.append_key_value_metadata(KeyValue::new(KEY.to_owned(), format!("{:016x}{:08x}", 4_711, 1)));
        holds(&mut io::Cursor::new(writer.into_inner().unwrap())).unwrap();
    }
}
