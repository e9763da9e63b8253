/** A cached value. `created` is in milliseconds since the epoch. */
export interface Entry {
  readonly bytes: Uint8Array<ArrayBuffer>;
  readonly contentType: string;
  readonly created: number;
}

/** What `list` tells of an entry without reading its bytes; `bytes` is the value's size. */
export interface EntryInfo {
  readonly key: string;
  readonly contentType: string;
  readonly created: number;
  readonly bytes: number;
}

/**
 * One place to keep entries under content keys. A store may forget an entry at any time; it never answers with another
 * key's value or with a part of one.
 */
export interface Store {
  /** The name that logs, `/health` and `Cache-Status` use: `memory`, `sqlite`, `redis`. */
  readonly name: string;
  get(key: string): Promise<Entry | undefined>;
  set(key: string, entry: Entry): Promise<void>;
  /** Resolves to whether there was such an entry. */
  delete(key: string): Promise<boolean>;
  /** At most `limit` entries, newest first. */
  list(limit: number): Promise<EntryInfo[]>;
  /** Releases files and sockets; the store is not used afterwards. */
  close?(): void;
}
