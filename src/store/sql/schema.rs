//! Which migrations a database has, and whether they are this program's (SEMANTICS 21).

use sqlx::migrate::{Migration, MigrationType, Migrator};
use sqlx::{AssertSqlSafe, SqlSafeStr};

use super::rows::Reader;
use super::session::{Columns, Fault, Session};
use crate::store::StoreError;

/// A migration that was applied: its version and the checksum of its text.
pub(in crate::store) type Applied = (i64, Vec<u8>);

/// The migrations of one dialect, in order: version, name and text of each.
pub(in crate::store) fn migrator(files: &[(i64, &'static str, &'static str)]) -> Migrator {
    let migrations = files.iter().map(|(version, name, text)| {
        let text = AssertSqlSafe(*text).into_sql_str();
        Migration::new(*version, (*name).into(), MigrationType::Simple, text, false)
    });
    Migrator::with_migrations(migrations.collect())
}

/// What the database says; nothing where it has no tables yet.
pub(in crate::store) async fn applied<S: Session>(session: &mut S) -> Result<Vec<Applied>, Fault> {
    let sql =
        "SELECT version, checksum FROM _sqlx_migrations WHERE success = TRUE ORDER BY version";
    match session.fetch(sql.into(), &[], row).await {
        Err(Fault::Schema(_)) => Ok(Vec::new()),
        applied => applied,
    }
}

fn row(row: &dyn Columns) -> Result<Applied, Fault> {
    let mut row = Reader::new(row);
    Ok((row.int()?, row.bytes()?))
}

/// The migrations that `applied` lacks, in order.
pub(in crate::store) fn lacking<'m>(
    migrator: &'m Migrator,
    applied: &'m [Applied],
) -> impl Iterator<Item = &'m Migration> {
    migrator.iter().filter(|wanted| {
        applied
            .iter()
            .all(|(version, _)| *version != wanted.version)
    })
}

/// The same, named for people.
pub(super) fn missing(migrator: &Migrator, applied: &[Applied]) -> Vec<String> {
    lacking(migrator, applied)
        .map(|wanted| format!("{:04} {}", wanted.version, wanted.description))
        .collect()
}

/// Refuses tables that are older than this program, newer, or not what their migration says.
pub(super) fn compare(migrator: &Migrator, applied: &[Applied]) -> Result<(), StoreError> {
    let missing = missing(migrator, applied);
    if !missing.is_empty() {
        return Err(StoreError::Schema(format!(
            "the database lacks {}; run `cmp-relay migrate`",
            missing.join(", ")
        )));
    }
    compare_applied(migrator, applied)
}

/// The same of what was applied, whatever is missing still.
pub(in crate::store) fn compare_applied(
    migrator: &Migrator,
    applied: &[Applied],
) -> Result<(), StoreError> {
    for (version, checksum) in applied {
        match migrator.iter().find(|wanted| wanted.version == *version) {
            None => {
                return Err(StoreError::Schema(format!(
                    "the database has migration {version:04}, which this version of cmp-relay does \
                     not know; run the newer version"
                )));
            }
            Some(wanted) if *wanted.checksum != **checksum => {
                return Err(StoreError::Schema(format!(
                    "the database was made by another text of migration {version:04} ({}); restore \
                     it, or make an empty database and run `cmp-relay migrate`",
                    wanted.description
                )));
            }
            Some(_) => {}
        }
    }
    Ok(())
}
