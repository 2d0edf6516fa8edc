//! The password file of libpq, `~/.pgpass`.

use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::sync::Once;

use super::parameters::Parameters;
use crate::environment::variable;
use crate::error::{Error, Result};
use crate::log::Log;

/// Where a local server has its socket, which the file calls `localhost`.
const SOCKETS: [&str; 3] = ["/var/run/postgresql", "/run/postgresql", "/tmp"];

/// Returns the password of the first line that fits, in `file` or `~/.pgpass`; as by libpq, the
/// file is ignored if others can read it.
///
/// # Errors
/// There are several hosts, and not one password for all (78): the driver would send it to each.
pub fn password(
    parameters: &Parameters,
    file: Option<PathBuf>,
    log: &Log,
) -> Result<Option<String>> {
    let own = || Some(PathBuf::from(variable("HOME")?).join(".pgpass"));
    let Some(text) = file.or_else(own).and_then(|path| read(&path, log)) else {
        return Ok(None);
    };
    let lines: Vec<_> = text.split(|byte| *byte == b'\n').map(fields_of).collect();
    let value = |name: &str| parameters.get(name).unwrap_or_default();
    let find = |(host, port): (&str, &str)| {
        let host = if SOCKETS.contains(&host) {
            "localhost"
        } else {
            host
        };
        let wanted = [host, port, value("dbname"), value("user")];
        let fits = |fields: &&Vec<String>| {
            let mut pairs = wanted.iter().zip(*fields);
            fields.len() == 5 && pairs.all(|(wanted, field)| field == "*" || field == wanted)
        };
        lines.iter().find(fits).map(|fields| fields[4].as_str())
    };
    let mut passwords = hosts(parameters).into_iter().map(find);
    let first = passwords.next().flatten();
    if passwords.any(|password| password != first) {
        return Err(Error::configuration(
            "cannot use the file of passwords: the hosts of the database do not have one password \
             in it; name one host, or set PGPASSWORD",
        ));
    }
    Ok(first.map(str::to_owned))
}

/// Returns each host, or the address that is used without one, with its port.
fn hosts(parameters: &Parameters) -> Vec<(&str, &str)> {
    let list = |name| parameters.get(name).unwrap_or_default().split(',');
    let (addresses, ports) = (list("hostaddr"), list("port"));
    let count = list("host").count().max(addresses.clone().count());
    let at = |number: usize| {
        let part = |name| list(name).nth(number).filter(|part| !part.is_empty());
        let port = ports.clone().nth(number).or_else(|| ports.clone().next());
        let host = part("host").or_else(|| part("hostaddr"));
        let port = port.filter(|port| !port.is_empty());
        (host.unwrap_or_default(), port.unwrap_or("5432"))
    };
    (0..count).map(at).collect()
}

/// Returns the text of the file, unless others can read it.
fn read(path: &Path, log: &Log) -> Option<Vec<u8>> {
    static WARNING: Once = Once::new();
    let data = path.metadata().ok()?;
    let fault = if !data.is_file() {
        "it is not a regular file".to_owned()
    } else if data.mode() & 0o077 != 0 {
        format!(
            "others can read or write it; run: chmod 600 {}",
            path.display()
        )
    } else {
        return std::fs::read(path).ok();
    };
    // Each connection reads it.
    WARNING.call_once(|| {
        log.warn(format_args!(
            "ignoring the file of passwords {}: {fault}",
            path.display()
        ));
    });
    None
}

/// Returns the fields of a line; none of a line that is not UTF-8.
fn fields_of(line: &[u8]) -> Vec<String> {
    let line = line.strip_suffix(b"\r").unwrap_or(line);
    std::str::from_utf8(line).map_or(Vec::new(), fields)
}

/// Returns the fields of a line, which colons separate; a backslash makes the
/// next character literal.
fn fields(line: &str) -> Vec<String> {
    if line.starts_with('#') {
        return Vec::new();
    }
    let mut fields = vec![String::new()];
    let mut characters = line.chars();
    while let Some(character) = characters.next() {
        let literal = match character {
            ':' if fields.len() < 5 => {
                fields.push(String::new());
                continue;
            }
            '\\' => characters.next().unwrap_or('\\'),
            other => other,
        };
        if let Some(field) = fields.last_mut() {
            field.push(literal);
        }
    }
    fields
}

#[cfg(test)]
mod tests {
    use super::fields;

    #[test]
    fn a_password_file_is_parsed() {
        let table: &[(&str, &[&str])] = &[
            ("h:5432:db:me:secret", &["h", "5432", "db", "me", "secret"]),
            (r"a\:b:*:*:me:p\\w:x", &["a:b", "*", "*", "me", r"p\w:x"]),
            ("# h:1:d:u:p", &[]),
        ];
        for (line, expected) in table {
            assert_eq!(fields(line), *expected, "{line}");
        }
    }
}
