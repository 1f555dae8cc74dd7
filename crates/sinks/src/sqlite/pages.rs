//! The pages of the file: how many there are, and the empty ones given back.

use rusqlite::Connection;

/// Pages given back to the file system in one step, 4 KiB each.
const PAGES_PER_STEP: i64 = 500;

fn pragma(connection: &Connection, name: &str) -> rusqlite::Result<i64> {
    connection.query_row(&format!("PRAGMA {name}"), [], |row| row.get(0))
}

/// Bytes of the file in which there is something.
pub(super) fn used_bytes(connection: &Connection) -> rusqlite::Result<i64> {
    let pages = pragma(connection, "page_count")? - pragma(connection, "freelist_count")?;
    Ok(pages * pragma(connection, "page_size")?)
}

/// Bytes of the file.
pub(super) fn file_bytes(connection: &Connection) -> rusqlite::Result<i64> {
    Ok(pragma(connection, "page_count")? * pragma(connection, "page_size")?)
}

/// Gives empty pages back, but for some that the next samples will fill. True where there are more.
pub(super) fn vacuum(connection: &Connection) -> rusqlite::Result<bool> {
    let (pages, empty) = (pragma(connection, "page_count")?, pragma(connection, "freelist_count")?);
    let surplus = empty - (pages / 50).min(4_000);
    if surplus > 0 {
        // A page is given back for each row that is asked for.
        let sql = format!("PRAGMA incremental_vacuum({})", surplus.min(PAGES_PER_STEP));
        let mut statement = connection.prepare(&sql)?;
        let mut rows = statement.query([])?;
        while rows.next()?.is_some() {}
    }
    // A file that another program has made may give nothing back.
    if surplus > PAGES_PER_STEP && pragma(connection, "freelist_count")? < empty {
        return Ok(true);
    }
    connection.execute_batch("PRAGMA optimize")?;
    Ok(false)
}
