//! The password file of libpq, `~/.pgpass`.

use std::fs::File;
use std::io::{BufRead, BufReader};
use std::path::PathBuf;

use postgres::Config;
use postgres::config::Host;

use super::connect::variable;

/// Returns the password of the first line that fits, in `file` or `~/.pgpass`; the file is
/// ignored if others may read it, as by libpq.
pub fn password(config: &Config, file: Option<PathBuf>) -> Option<String> {
    use std::os::unix::fs::PermissionsExt;
    let path = file.or_else(|| Some(PathBuf::from(variable("HOME")?).join(".pgpass")))?;
    let file = File::open(path).ok()?;
    if file.metadata().ok()?.permissions().mode() & 0o077 != 0 {
        return None;
    }
    let host = match config.get_hosts().first() {
        Some(Host::Tcp(host)) => host.clone(),
        _ => "localhost".to_owned(),
    };
    let port = config
        .get_ports()
        .first()
        .copied()
        .unwrap_or(5432)
        .to_string();
    let wanted = [
        host.as_str(),
        &port,
        config.get_dbname().unwrap_or_default(),
        config.get_user().unwrap_or_default(),
    ];
    BufReader::new(file)
        .lines()
        .map_while(Result::ok)
        .find_map(|line| {
            let fields = fields(&line);
            let fits = fields.len() == 5
                && wanted
                    .iter()
                    .zip(&fields)
                    .all(|(wanted, field)| field == "*" || field == wanted);
            fits.then(|| fields.into_iter().last()).flatten()
        })
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
