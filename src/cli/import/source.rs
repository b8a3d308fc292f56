//! One input of an import: a file or standard input, packed or not, as lines of text or as rows of CSV or
//! of a JSON object a line, read in bounded memory.

use std::fs::File;
use std::io::{self, BufRead, Read};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use csv::{ByteRecord, Reader, ReaderBuilder};
use domain::Refusal;

use super::columns::Names;
use super::ndjson::Objects;
use super::unpack::{BytesRead, Unpacked};

/// The longest record that is taken, in bytes after inflating. A quote that is never closed makes
/// the rest of a file one record; this is where that ends.
pub const RECORD_BYTES_MAX: u64 = 64 * 1024;

/// Where rows come from.
#[derive(Clone, Debug)]
pub struct Source {
    /// What it is called in messages: the path as given, or `-`.
    pub name: Arc<str>,
    content: Content,
}

#[derive(Clone, Debug)]
enum Content {
    Path(PathBuf),
    Stdin,
    Memory(&'static [u8]),
}

/// A source being read: its header, and its records one by one.
pub struct Rows {
    /// The header.
    pub header: ByteRecord,
    format: Format,
    bytes_read: BytesRead,
}

enum Format {
    Csv {
        reader: Reader<Bounded<Box<dyn BufRead + Send>>>,
        lines_behind: u64,
    },
    Ndjson(Objects),
}

/// What came of reading on.
#[derive(Debug, PartialEq)]
pub enum Row {
    /// A record.
    Read,
    /// What stands on this line is none, and why.
    Refused(u64, Refusal),
    /// There is nothing more.
    End,
}

impl Source {
    /// The source an argument names; `-` is standard input.
    pub fn from_argument(argument: &str) -> Source {
        let content = match argument {
            "-" => Content::Stdin,
            path => Content::Path(path.into()),
        };
        Source {
            name: argument.into(),
            content,
        }
    }

    /// The sources that arguments name, in their order. A directory stands for the files in and below it
    /// in the order of their paths, without hidden ones. `Err` tells of one that cannot be listed, or has
    /// none: what should be mounted there is not.
    pub fn from_arguments(arguments: &[String]) -> Result<Vec<Source>, String> {
        let mut sources = Vec::with_capacity(arguments.len());
        for argument in arguments {
            let directory = Path::new(argument);
            if argument == "-" || !directory.is_dir() {
                sources.push(Source::from_argument(argument));
                continue;
            }
            let mut files = Vec::new();
            list(directory, &mut files).map_err(|e| format!("{argument}: {e}"))?;
            if files.is_empty() {
                return Err(format!("{argument}: there is no file in it"));
            }
            files.sort();
            sources.extend(files.into_iter().map(|path| Source {
                name: path.to_string_lossy().into(),
                content: Content::Path(path),
            }));
        }
        Ok(sources)
    }

    /// Bytes that are part of the program.
    pub fn from_memory(name: &str, bytes: &'static [u8]) -> Source {
        Source {
            name: name.into(),
            content: Content::Memory(bytes),
        }
    }

    /// Its size in bytes before inflating; none for a stream.
    pub fn bytes(&self) -> Option<u64> {
        match &self.content {
            Content::Path(path) => path
                .metadata()
                .ok()
                .filter(|m| m.is_file())
                .map(|m| m.len()),
            Content::Stdin => None,
            Content::Memory(bytes) => Some(bytes.len() as u64),
        }
    }

    /// May it be opened more than once and give the same bytes?
    pub fn is_repeatable(&self) -> bool {
        match &self.content {
            // Opening what cannot be looked at fails, which is repeatable too.
            Content::Path(path) => path.metadata().map_or(true, |m| m.is_file()),
            Content::Stdin => false,
            Content::Memory(_) => true,
        }
    }

    /// Opens it and reads its header. Where there is none, in JSON, these names make one.
    pub fn open(&self, names: &Names) -> io::Result<Rows> {
        Rows::new(self.raw()?, names)
    }

    /// Opens it as text.
    pub fn open_text(&self) -> io::Result<Unpacked> {
        Unpacked::new(self.raw()?)
    }

    fn raw(&self) -> io::Result<Box<dyn Read + Send>> {
        Ok(match &self.content {
            Content::Path(path) => Box::new(File::open(path)?),
            Content::Stdin => Box::new(io::stdin()),
            Content::Memory(bytes) => Box::new(*bytes),
        })
    }
}

/// Adds the files in and below a directory. Links to directories are not followed: they may go round.
fn list(directory: &Path, files: &mut Vec<PathBuf>) -> io::Result<()> {
    for entry in std::fs::read_dir(directory)? {
        let entry = entry?;
        if entry.file_name().as_encoded_bytes().starts_with(b".") {
            continue;
        }
        match entry.file_type()?.is_dir() {
            true => list(&entry.path(), files)?,
            false if entry.path().is_file() => files.push(entry.path()),
            false => {}
        }
    }
    Ok(())
}

impl Rows {
    /// Reads CSV or a JSON object a line, packed or not; which it is tell the first bytes, whatever the
    /// name says.
    pub fn new(raw: Box<dyn Read + Send>, names: &Names) -> io::Result<Rows> {
        let Unpacked {
            mut text,
            bytes_read,
            ..
        } = Unpacked::new(raw)?;
        let is_json = text.fill_buf()?.trim_ascii_start().starts_with(b"{");
        let (header, format) = match is_json {
            true => {
                let objects = Objects::new(text, names)?;
                (objects.header.clone(), Format::Ndjson(objects))
            }
            false => csv(text)?,
        };
        Ok(Rows {
            header,
            format,
            bytes_read,
        })
    }

    /// Reads the next record, which knows the line it began on.
    pub fn read(&mut self, record: &mut ByteRecord) -> io::Result<Row> {
        let (reader, lines_behind) = match &mut self.format {
            Format::Ndjson(objects) => return objects.read(record),
            Format::Csv {
                reader,
                lines_behind,
            } => (reader, *lines_behind),
        };
        reader.get_mut().bytes_since_record = 0;
        let more = reader.read_byte_record(record).map_err(io_error)?;
        if let Some(mut position) = record.position().cloned() {
            position.set_line(position.line() + lines_behind);
            record.set_position(Some(position));
        }
        Ok(if more { Row::Read } else { Row::End })
    }

    /// The line the reader has come to, 1 for the first.
    pub fn line(&self) -> u64 {
        match &self.format {
            Format::Csv {
                reader,
                lines_behind,
            } => reader.position().line() + lines_behind,
            Format::Ndjson(objects) => objects.line(),
        }
    }

    /// Bytes taken from the source so far, before inflating.
    pub fn bytes_read(&self) -> u64 {
        self.bytes_read.get()
    }
}

fn csv(inner: Box<dyn BufRead + Send>) -> io::Result<(ByteRecord, Format)> {
    let bounded = Bounded {
        inner,
        bytes_since_record: 0,
    };
    let mut reader = ReaderBuilder::new().flexible(true).from_reader(bounded);
    let header = reader.byte_headers().map_err(io_error)?.clone();
    if header.is_empty() {
        return Err(io::Error::new(
            io::ErrorKind::InvalidData,
            "it is empty, without a header",
        ));
    }
    // The reader counts a line at its \n, and takes \r alone as the end of a record: where lines end
    // in \r\n it is one line behind, and so still on the first one after the header.
    let lines_behind = u64::from(reader.position().line() == 1);
    let format = Format::Csv {
        reader,
        lines_behind,
    };
    Ok((header, format))
}

fn io_error(e: csv::Error) -> io::Error {
    match e.into_kind() {
        csv::ErrorKind::Io(e) => e,
        other => io::Error::other(format!("{other:?}")),
    }
}

struct Bounded<R> {
    inner: R,
    bytes_since_record: u64,
}

impl<R: Read> Read for Bounded<R> {
    fn read(&mut self, buf: &mut [u8]) -> io::Result<usize> {
        if self.bytes_since_record > RECORD_BYTES_MAX {
            let message = format!("a record is longer than {RECORD_BYTES_MAX} bytes (open quote?)");
            return Err(io::Error::new(io::ErrorKind::InvalidData, message));
        }
        let n = self.inner.read(buf)?;
        self.bytes_since_record += n as u64;
        Ok(n)
    }
}

#[cfg(test)]
mod tests {
    use std::io::Write;

    use super::*;

    fn gz(text: &str) -> Vec<u8> {
        let mut out = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
        out.write_all(text.as_bytes()).unwrap();
        out.finish().unwrap()
    }

    /// First fields with their lines, and how reading ended.
    fn check(bytes: Vec<u8>) -> (Vec<(u64, String)>, Result<(), io::ErrorKind>) {
        let mut rows = match Rows::new(Box::new(io::Cursor::new(bytes)), &Names::default()) {
            Ok(rows) => rows,
            Err(e) => return (Vec::new(), Err(e.kind())),
        };
        let (mut got, mut record) = (Vec::new(), ByteRecord::new());
        loop {
            match rows.read(&mut record) {
                Ok(Row::Read) => got.push((
                    record.position().unwrap().line(),
                    String::from_utf8_lossy(&record[0]).into_owned(),
                )),
                Ok(Row::Refused(line, refusal)) => panic!("line {line}: {refusal}"),
                Ok(Row::End) => return (got, Ok(())),
                Err(e) => return (got, Err(e.kind())),
            }
        }
    }

    #[test]
    fn reads_plain_and_gzip_alike_and_names_lines() {
        let text = "a,b\n1,2\n\"x\ny\",3\n4\n";
        let want = vec![
            (2, "1".to_owned()),
            (3, "x\ny".to_owned()),
            (5, "4".to_owned()),
        ];
        assert_eq!(check(text.into()), (want.clone(), Ok(())));
        assert_eq!(check(gz(text)), (want.clone(), Ok(())));
        let mut two_members = gz("a,b\n1,2\n\"x\n");
        two_members.extend(gz("y\",3\n4\n"));
        assert_eq!(check(two_members), (want, Ok(())));
        let want = vec![(2, "1".to_owned()), (3, "2".to_owned())];
        assert_eq!(check("a,b\r\n1,2\r\n2,3\r\n".into()), (want, Ok(())));
    }

    #[test]
    fn a_byte_order_mark_is_no_part_of_the_first_name() {
        let rows = Rows::new(Box::new("\u{feff}a,b\n".as_bytes()), &Names::default());
        let rows = rows.unwrap();
        assert_eq!(&rows.header[0], b"a");
    }

    #[test]
    fn a_cut_gzip_gives_what_it_holds_and_then_an_error() {
        let text: String = (0..20_000)
            .map(|i| format!("{i},{}\n", i * 7919 % 10_007))
            .collect();
        let mut bytes = gz(&format!("a,b\n{text}"));
        bytes.truncate(bytes.len() / 2);
        let (got, end) = check(bytes);
        assert!(got.len() > 1_000, "{}", got.len());
        assert_eq!(end, Err(io::ErrorKind::UnexpectedEof));
    }

    #[test]
    fn an_open_quote_ends_at_the_limit() {
        let text = format!("a,b\n1,2\n\"{}", "x,y\n".repeat(1_000_000));
        let (got, end) = check(text.into());
        assert_eq!((got.len(), end), (1, Err(io::ErrorKind::InvalidData)));
    }

    #[test]
    fn a_directory_without_files_is_told() {
        let dir = std::env::temp_dir().join(format!("daybook-empty-{}", std::process::id()));
        std::fs::create_dir_all(dir.join("below")).unwrap();
        std::fs::write(dir.join(".hidden"), "x").unwrap();
        let name = dir.to_str().unwrap().to_owned();
        let told = Source::from_arguments(std::slice::from_ref(&name)).map(|sources| sources.len());
        assert_eq!(told, Err(format!("{name}: there is no file in it")));
        std::fs::write(dir.join("below/a.log"), "x").unwrap();
        let told = Source::from_arguments(&[name]).map(|sources| sources.len());
        assert_eq!(told, Ok(1));
        std::fs::remove_dir_all(dir).unwrap();
    }

    #[test]
    fn nothing_at_all_has_no_header() {
        assert_eq!(check(Vec::new()).1, Err(io::ErrorKind::InvalidData));
        assert_eq!(check(gz("")).1, Err(io::ErrorKind::InvalidData));
        assert_eq!(check("a,b\n".into()), (Vec::new(), Ok(())));
    }
}
