import { DatabaseSync, type StatementSync } from "node:sqlite";
import { decodeEntry, encodeEntry } from "./entry_codec.ts";
import { type ImageId, parseKey } from "./keys.ts";
import type { BoundedStoreOptions, Entry, EntryInfo, Store, StoreStats } from "./store.ts";

const SCHEMA_VERSION = 2;

export interface SqliteStoreOptions extends BoundedStoreOptions {
  /** The database file, or `:memory:`. */
  path: string;
}

/**
 * The embedded durable tier: one file, no server. With write-ahead logging the file survives a killed process, and
 * several processes on one machine can share it (https://www.sqlite.org/wal.html).
 */
export class SqliteStore implements Store {
  readonly name = "sqlite";
  readonly #db: DatabaseSync;
  readonly #maxBytes: number;
  readonly #ttlMs: number;
  readonly #slidingTtl: boolean;
  readonly #now: () => number;
  readonly #select: StatementSync;
  readonly #upsert: StatementSync;
  readonly #touch: StatementSync;
  readonly #remove: StatementSync;
  /** When keys were read since the last write. The next write saves these times, so that a hit writes nothing. */
  readonly #reads = new Map<string, number>();
  #bytes: number;

  /** @throws {Error} if the file is not a database or cannot be written; see {@link openSqliteStore}. */
  constructor(options: SqliteStoreOptions) {
    this.#maxBytes = options.maxBytes;
    this.#ttlMs = (options.ttlSeconds ?? 0) * 1000;
    this.#slidingTtl = options.slidingTtl ?? false;
    this.#now = options.now ?? Date.now;
    this.#db = new DatabaseSync(options.path);
    try {
      this.#db.exec("PRAGMA busy_timeout = 1000; PRAGMA journal_mode = WAL; PRAGMA synchronous = NORMAL;");
      const { user_version } = this.#db.prepare("PRAGMA user_version").get() as { user_version: number };
      if (user_version !== SCHEMA_VERSION) this.#db.exec("DROP TABLE IF EXISTS entries");
      this.#db.exec(`
        CREATE TABLE IF NOT EXISTS entries (
          key TEXT PRIMARY KEY, value BLOB NOT NULL, content_type TEXT NOT NULL,
          bytes INTEGER NOT NULL, created REAL NOT NULL, expires REAL, used REAL NOT NULL, image TEXT
        );
        CREATE INDEX IF NOT EXISTS entries_image ON entries (image);
        CREATE INDEX IF NOT EXISTS entries_used ON entries (used);
        CREATE INDEX IF NOT EXISTS entries_created ON entries (created);
        PRAGMA user_version = ${SCHEMA_VERSION};
      `);
      this.#bytes = this.#total();
    } catch (error) {
      this.#db.close();
      throw error;
    }
    this.#select = this.#db.prepare("SELECT value FROM entries WHERE key = ? AND (expires IS NULL OR expires > ?)");
    this.#upsert = this.#db.prepare("INSERT OR REPLACE INTO entries VALUES (?, ?, ?, ?, ?, ?, ?, ?)");
    this.#touch = this.#db.prepare("UPDATE entries SET used = ?, expires = coalesce(?, expires) WHERE key = ?");
    this.#remove = this.#db.prepare("DELETE FROM entries WHERE key = ? RETURNING bytes");
  }

  get(key: string): Promise<Entry | undefined> {
    const now = this.#now();
    const row = this.#select.get(key, now) as { value: Uint8Array<ArrayBuffer> } | undefined;
    if (row === undefined) return Promise.resolve(undefined);
    const entry = decodeEntry(row.value);
    if (entry === undefined) this.#removeRow(key);
    else this.#reads.set(key, now);
    return Promise.resolve(entry);
  }

  set(key: string, entry: Entry): Promise<void> {
    const now = this.#now();
    const value = encodeEntry(entry);
    const expires = this.#ttlMs > 0 ? now + this.#ttlMs : null;
    this.#transaction(() => {
      this.#saveReads();
      this.#removeRow(key);
      const image = parseKey(key)?.image ?? null;
      this.#upsert.run(key, value, entry.contentType, entry.bytes.length, entry.created, expires, now, image);
      this.#bytes += entry.bytes.length;
      if (this.#bytes > this.#maxBytes) this.#evict(now);
    });
    // SQLite has its own copy. This one would wait long for garbage collection.
    value.buffer.transfer(0);
    return Promise.resolve();
  }

  delete(key: string): Promise<boolean> {
    return Promise.resolve(this.#removeRow(key));
  }

  deleteImage(image: ImageId): Promise<number> {
    return Promise.resolve(this.#deleteWhere("image = ?", image));
  }

  clear(): Promise<number> {
    return Promise.resolve(this.#deleteWhere("TRUE"));
  }

  list(limit: number): Promise<EntryInfo[]> {
    const rows = this.#db.prepare(
      `SELECT key, content_type AS contentType, bytes, created FROM entries
       WHERE expires IS NULL OR expires > ? ORDER BY created DESC LIMIT ?`,
    ).all(this.#now(), limit);
    return Promise.resolve(rows.map((row) => ({ ...row }) as unknown as EntryInfo));
  }

  stats(): Promise<StoreStats> {
    const sql = "SELECT count(*) AS entries, coalesce(sum(bytes), 0) AS bytes FROM entries";
    return Promise.resolve({ ...this.#db.prepare(sql).get() } as unknown as StoreStats);
  }

  probe(access: "reads" | "writes"): Promise<void> {
    this.#db.prepare("SELECT key FROM entries LIMIT 1").get();
    if (access === "writes") this.#transaction(() => this.#saveReads());
    return Promise.resolve();
  }

  close(): void {
    try {
      this.#saveReads();
    } catch { /* The disk is full or read-only: only the order of use is lost. */ }
    this.#db.close();
  }

  #deleteWhere(condition: string, ...values: string[]): number {
    const { changes } = this.#db.prepare(`DELETE FROM entries WHERE ${condition}`).run(...values);
    this.#bytes = this.#total();
    return Number(changes);
  }

  #saveReads(): void {
    const slides = this.#slidingTtl && this.#ttlMs > 0;
    for (const [key, at] of this.#reads) this.#touch.run(at, slides ? at + this.#ttlMs : null, key);
    this.#reads.clear();
  }

  #removeRow(key: string): boolean {
    this.#reads.delete(key);
    const row = this.#remove.get(key) as { bytes: number } | undefined;
    if (row !== undefined) this.#bytes -= row.bytes;
    return row !== undefined;
  }

  /** Frees a tenth more than necessary, so that a full cache does not evict with every write. */
  #evict(now: number): void {
    this.#db.prepare("DELETE FROM entries WHERE expires <= ?").run(now);
    // Other processes may share the file, so this process's sum may be wrong.
    this.#bytes = this.#total();
    const target = this.#maxBytes * 0.9;
    if (this.#bytes <= this.#maxBytes) return;
    const oldest = this.#db.prepare("SELECT key FROM entries ORDER BY used").all() as { key: string }[];
    for (const { key } of oldest) {
      if (this.#bytes <= target) break;
      this.#removeRow(key);
    }
  }

  #total(): number {
    return (this.#db.prepare("SELECT coalesce(sum(bytes), 0) AS total FROM entries").get() as { total: number }).total;
  }

  #transaction(work: () => void): void {
    this.#db.exec("BEGIN IMMEDIATE");
    try {
      work();
      this.#db.exec("COMMIT");
    } catch (error) {
      this.#db.exec("ROLLBACK");
      this.#bytes = this.#total();
      throw error;
    }
  }
}

/**
 * Opens the store. If the file is damaged or not a database, renames it to `PATH.damaged` and starts an empty one: a lost
 * cache must not keep the service from starting.
 * @param onDamaged receives the new path of the old file.
 * @throws {Error} if the file cannot be opened or written for another reason.
 */
export function openSqliteStore(options: SqliteStoreOptions, onDamaged: (damagedPath: string) => void): SqliteStore {
  try {
    return new SqliteStore(options);
  } catch (error) {
    if (!/not a database|malformed|corrupt/i.test(String(error))) throw error;
    const damaged = `${options.path}.damaged`;
    Deno.renameSync(options.path, damaged);
    for (const suffix of ["-wal", "-shm"]) {
      try {
        Deno.removeSync(options.path + suffix);
      } catch { /* There was none. */ }
    }
    onDamaged(damaged);
    return new SqliteStore(options);
  }
}
