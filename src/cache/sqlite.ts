import type { DatabaseSync } from "node:sqlite";
import { decodeEntry, encodeEntry } from "./entry_codec.ts";
import { type ImageId, parseKey } from "./keys.ts";
import {
  type Database,
  inodeOf,
  isDamage,
  isFull,
  openDatabase,
  openOrReplace,
  removeLog,
  setAside,
} from "./sqlite_file.ts";
import type { BoundedStoreOptions, Entry, EntryInfo, Store, StoreStats } from "./store.ts";

export interface SqliteStoreOptions extends BoundedStoreOptions {
  /** The database file, or `:memory:`. */
  path: string;
  /** Receives the new path of a file that was damaged, before an empty one takes its place. */
  onDamaged?: (damagedPath: string) => void;
  /** Called when the file had been deleted or replaced, and the one at its path is used. */
  onReplaced?: () => void;
}

/** How often the path is compared with the open file, in milliseconds. */
const CHECK_FILE_MS = 1000;

/**
 * The embedded durable tier: one file, no server. With write-ahead logging the file survives a killed process, and
 * several processes on one machine can share it (https://www.sqlite.org/wal.html). If the file is deleted, replaced or
 * found to be damaged while it is in use, the store goes on with the file that is there, or with a new one.
 */
export class SqliteStore implements Store {
  readonly name = "sqlite";
  readonly #options: SqliteStoreOptions;
  readonly #maxBytes: number;
  readonly #ttlMs: number;
  readonly #slidingTtl: boolean;
  readonly #now: () => number;
  /** When keys were read since the last write. The next write saves these times, so that a hit writes nothing. */
  readonly #reads = new Map<string, number>();
  #open: Database;
  #checked = performance.now();
  #bytes = 0;

  /**
   * Opens the file. A damaged one is set aside: a lost cache must not keep the service from starting.
   * @throws {Error} if the file cannot be opened or written for another reason.
   */
  constructor(options: SqliteStoreOptions) {
    this.#options = options;
    this.#maxBytes = options.maxBytes;
    this.#ttlMs = (options.ttlSeconds ?? 0) * 1000;
    this.#slidingTtl = options.slidingTtl ?? false;
    this.#now = options.now ?? Date.now;
    this.#open = openOrReplace(options.path, options.onDamaged);
    this.#bytes = this.#total();
  }

  get(key: string): Promise<Entry | undefined> {
    const now = this.#now();
    return this.#use(({ select }) => {
      const row = select.get(key, now) as { value: Uint8Array<ArrayBuffer> } | undefined;
      if (row === undefined) return undefined;
      const entry = decodeEntry(row.value);
      if (entry === undefined) this.#removeRow(key);
      else this.#reads.set(key, now);
      return entry;
    });
  }

  set(key: string, entry: Entry): Promise<void> {
    const now = this.#now();
    const value = encodeEntry(entry);
    const expires = this.#ttlMs > 0 ? now + this.#ttlMs : null;
    const written = this.#use(({ upsert }) =>
      this.#transaction(() => {
        this.#saveReads();
        this.#removeRow(key);
        const image = parseKey(key)?.image ?? null;
        upsert.run(key, value, entry.contentType, entry.bytes.length, entry.created, expires, now, image);
        this.#bytes += entry.bytes.length;
        if (this.#bytes > this.#maxBytes) this.#evict(now);
      })
    );
    // SQLite has its own copy. This one would wait long for garbage collection.
    value.buffer.transfer(0);
    return written;
  }

  delete(key: string): Promise<boolean> {
    return this.#use(() => this.#removeRow(key));
  }

  deleteImage(image: ImageId): Promise<number> {
    return this.#use(() => this.#deleteWhere("image = ?", image));
  }

  clear(): Promise<number> {
    return this.#use(() => this.#deleteWhere("TRUE"));
  }

  list(limit: number): Promise<EntryInfo[]> {
    const sql = `SELECT key, content_type AS contentType, bytes, created FROM entries
      WHERE expires IS NULL OR expires > ? ORDER BY created DESC LIMIT ?`;
    return this.#use(({ db }) =>
      db.prepare(sql).all(this.#now(), limit).map((row) => ({ ...row }) as unknown as EntryInfo)
    );
  }

  stats(): Promise<StoreStats> {
    const sql = "SELECT count(*) AS entries, coalesce(sum(bytes), 0) AS bytes FROM entries";
    return this.#use(({ db }) => ({ ...db.prepare(sql).get() }) as unknown as StoreStats);
  }

  probe(access: "reads" | "writes"): Promise<void> {
    return this.#use(({ db }) => {
      db.prepare("SELECT key FROM entries LIMIT 1").get();
      if (access === "writes") this.#transaction(() => this.#saveReads());
    });
  }

  close(): void {
    try {
      this.#saveReads();
    } catch { /* The disk is full or read-only: only the order of use is lost. */ }
    this.#open.db.close();
  }

  /** Does work on the database, a second time if the first has found the file damaged. */
  // deno-lint-ignore require-await -- So that what SQLite throws becomes a rejection.
  async #use<T>(work: (database: Database) => T): Promise<T> {
    this.#followFile();
    try {
      return work(this.#open);
    } catch (error) {
      if (!isDamage(error)) throw isFull(error) ? new Error("disk full", { cause: error }) : error;
    }
    const { path, onDamaged } = this.#options;
    this.#open.db.close();
    if (this.#open.inode !== undefined) setAside(path, onDamaged);
    this.#reopen(() => openDatabase(path));
    return work(this.#open);
  }

  /** Opens the file at the path if it is another than the open one. */
  #followFile(): void {
    if (this.#open.inode === undefined || performance.now() - this.#checked < CHECK_FILE_MS) return;
    this.#checked = performance.now();
    const inode = inodeOf(this.#options.path);
    if (inode === this.#open.inode) return;
    // Another process may have removed it already, and made one for the new file.
    if (inodeOf(`${this.#options.path}-wal`) === this.#open.logInode) removeLog(this.#options.path);
    // Closing would delete the log at the path, which another process may have made for the new file.
    abandoned.push(this.#open.db);
    this.#reopen(() => openOrReplace(this.#options.path, this.#options.onDamaged));
    this.#options.onReplaced?.();
  }

  #reopen(open: () => Database): void {
    this.#reads.clear();
    this.#open = open();
    this.#bytes = this.#total();
  }

  #deleteWhere(condition: string, ...values: string[]): number {
    const { changes } = this.#open.db.prepare(`DELETE FROM entries WHERE ${condition}`).run(...values);
    this.#bytes = this.#total();
    return Number(changes);
  }

  #saveReads(): void {
    const slides = this.#slidingTtl && this.#ttlMs > 0;
    for (const [key, at] of this.#reads) this.#open.touch.run(at, slides ? at + this.#ttlMs : null, key);
    this.#reads.clear();
  }

  #removeRow(key: string): boolean {
    this.#reads.delete(key);
    const row = this.#open.remove.get(key) as { bytes: number } | undefined;
    if (row !== undefined) this.#bytes -= row.bytes;
    return row !== undefined;
  }

  /** Frees a tenth more than necessary, so that a full cache does not evict with every write. */
  #evict(now: number): void {
    this.#open.db.prepare("DELETE FROM entries WHERE expires <= ?").run(now);
    // Other processes may share the file, so this process's sum may be wrong.
    this.#bytes = this.#total();
    const target = this.#maxBytes * 0.9;
    if (this.#bytes <= this.#maxBytes) return;
    const oldest = this.#open.db.prepare("SELECT key FROM entries ORDER BY used").all() as { key: string }[];
    for (const { key } of oldest) {
      if (this.#bytes <= target) break;
      this.#removeRow(key);
    }
  }

  #total(): number {
    return (this.#open.db.prepare("SELECT coalesce(sum(bytes), 0) AS total FROM entries").get() as { total: number })
      .total;
  }

  #transaction(work: () => void): void {
    this.#open.db.exec("BEGIN IMMEDIATE");
    try {
      work();
      this.#open.db.exec("COMMIT");
    } catch (error) {
      try {
        this.#open.db.exec("ROLLBACK");
        this.#bytes = this.#total();
      } catch { /* SQLite has rolled back already, or the file is damaged: the first error says more. */ }
      throw error;
    }
  }
}

/** Databases whose files were deleted or replaced. They are kept open; see `#followFile`. */
const abandoned: DatabaseSync[] = [];
