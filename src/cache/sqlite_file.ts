import { DatabaseSync, type StatementSync } from "node:sqlite";

const SCHEMA_VERSION = 2;

const SCHEMA = `
  CREATE TABLE IF NOT EXISTS entries (
    key TEXT PRIMARY KEY, value BLOB NOT NULL, content_type TEXT NOT NULL,
    bytes INTEGER NOT NULL, created REAL NOT NULL, expires REAL, used REAL NOT NULL, image TEXT
  );
  CREATE INDEX IF NOT EXISTS entries_image ON entries (image);
  CREATE INDEX IF NOT EXISTS entries_used ON entries (used);
  CREATE INDEX IF NOT EXISTS entries_created ON entries (created);
  PRAGMA user_version = ${SCHEMA_VERSION};`;

/** An open database with its prepared statements. */
export interface Database {
  readonly db: DatabaseSync;
  readonly select: StatementSync;
  readonly upsert: StatementSync;
  readonly touch: StatementSync;
  readonly remove: StatementSync;
  /** Identifies the file, whatever its path names later; undefined for `:memory:`. */
  readonly inode?: string;
  /** Identifies its write-ahead log. */
  readonly logInode?: string;
}

/** Whether an error says that the disk, or the space for the database, is full. */
export function isFull(error: unknown): boolean {
  return /disk is full|disk full|no space left/i.test(String(error));
}

export function isDamage(error: unknown): boolean {
  return /not a database|malformed|corrupt/i.test(String(error));
}

/** @throws {Error} if the file is not a database or cannot be written. */
export function openDatabase(path: string): Database {
  const db = new DatabaseSync(path);
  try {
    db.exec("PRAGMA busy_timeout = 1000; PRAGMA journal_mode = WAL; PRAGMA synchronous = NORMAL;");
    const { user_version } = db.prepare("PRAGMA user_version").get() as { user_version: number };
    if (user_version !== SCHEMA_VERSION) db.exec(`DROP TABLE IF EXISTS entries; ${SCHEMA}`);
    else db.prepare("SELECT sum(bytes) FROM entries").get();
    return {
      db,
      select: db.prepare("SELECT value FROM entries WHERE key = ? AND (expires IS NULL OR expires > ?)"),
      upsert: db.prepare("INSERT OR REPLACE INTO entries VALUES (?, ?, ?, ?, ?, ?, ?, ?)"),
      touch: db.prepare("UPDATE entries SET used = ?, expires = coalesce(?, expires) WHERE key = ?"),
      remove: db.prepare("DELETE FROM entries WHERE key = ? RETURNING bytes"),
      ...(path !== ":memory:" && { inode: inodeOf(path), logInode: inodeOf(`${path}-wal`) }),
    };
  } catch (error) {
    db.close();
    throw error;
  }
}

/** Opens a database. If its file is damaged or not a database, sets it aside and makes a new one. */
export function openOrReplace(path: string, onDamaged?: (damagedPath: string) => void): Database {
  try {
    return openDatabase(path);
  } catch (error) {
    if (!isDamage(error)) throw error;
    setAside(path, onDamaged);
    return openDatabase(path);
  }
}

/** Renames a damaged file to `PATH.damaged`. */
export function setAside(path: string, onDamaged?: (damagedPath: string) => void): void {
  const damaged = `${path}.damaged`;
  Deno.renameSync(path, damaged);
  removeLog(path);
  onDamaged?.(damaged);
}

/** Removes the write-ahead log of a file that is gone: SQLite would apply it to the file that takes its place. */
export function removeLog(path: string): void {
  for (const suffix of ["-wal", "-shm"]) {
    try {
      Deno.removeSync(path + suffix);
    } catch { /* There was none. */ }
  }
}

/** Identifies the file at a path; undefined if there is none. */
export function inodeOf(path: string): string | undefined {
  try {
    const { dev, ino } = Deno.statSync(path);
    return `${dev}:${ino}`;
  } catch {
    return undefined;
  }
}
