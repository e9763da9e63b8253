import type { Layout } from "../base/layout.ts";
import type { ImageId } from "./keys.ts";

/** A cached file with its metadata. */
export interface Entry {
  readonly bytes: Uint8Array<ArrayBuffer>;
  /** The bytes in base64, as ASCII, if the store returned them so and `bytes` has not been read yet. */
  readonly base64?: Uint8Array<ArrayBuffer>;
  /** A response that only memory holds, ready to send. It has the whole body, and `bytes` is empty. */
  readonly ready?: ReadyBody;
  readonly contentType: string;
  /** In milliseconds since the epoch. */
  readonly created: number;
  /** Changes with the bytes: the opaque part of a strong validator (RFC 9110, section 8.8.3), without its quotes. */
  readonly etag: string;
  /** Results have a layout, masks have none. */
  readonly layout?: Layout;
}

/**
 * A body that many responses share: each sends a clone of `response`, which is never sent itself. A new `Response` would
 * copy the body.
 */
export interface ReadyBody {
  readonly response: Response;
  /** In bytes. */
  readonly length: number;
}

/** What `list` returns for an entry without reading its bytes; `bytes` is the file's size. */
export interface EntryInfo {
  readonly key: string;
  readonly contentType: string;
  readonly created: number;
  readonly bytes: number;
}

export interface StoreStats {
  readonly entries: number;
  /** The size of all entries; undefined if the store would have to read them all. */
  readonly bytes?: number;
}

/** The right to make one entry. At most one process holds it at a time. */
export interface Lease {
  /**
   * Stops renewing it. The write of the entry has ended it already; if there was none, this lets others take it. If its
   * process dies, it expires.
   */
  end(outcome: { readonly written: boolean }): Promise<void>;
}

/** For stores without leases: everyone may make the entry, and there is nothing to end. */
export const NO_LEASE: Lease = { end: () => Promise.resolve() };

/** The store works but refuses this key or value, for example because it is too large. */
export class ValueRefusedError extends Error {
  override readonly name = "ValueRefusedError";
}

/** The entry; or the lease to make it, if there is no entry; or neither, while another process is making it. */
export type EntryOrLease = { readonly entry: Entry } | { readonly lease: Lease } | undefined;

/** Options of the stores that this process bounds by size. */
export interface BoundedStoreOptions {
  /** The maximum size of all entries together, in bytes. The least recently used are removed first. */
  maxBytes: number;
  /** How long an entry is fresh, in seconds; 0 (the default): as long as there is room. */
  ttlSeconds?: number;
  /** Whether a read restarts that time. Default: false. */
  slidingTtl?: boolean;
  /** The clock, in milliseconds; for tests. */
  now?: () => number;
}

/**
 * Keeps entries under content keys. A store may forget an entry at any time. It never returns another key's value or
 * part of a value.
 */
export interface Store {
  /** The name in logs, `/health` and `Cache-Status`: `memory`, `sqlite`, `redis`. */
  readonly name: string;
  /** @param onLength receives the size of a value in bytes, if it is known before the value is here. */
  get(key: string, onLength?: (bytes: number) => void): Promise<Entry | undefined>;
  set(key: string, entry: Entry): Promise<void>;
  /** Writes entries of one image together, if that saves the store work. */
  setAll?(entries: ReadonlyMap<string, Entry>): Promise<void>;
  /** Resolves to whether there was such an entry. */
  delete(key: string): Promise<boolean>;
  /** Deletes all entries of an image; resolves to their number. */
  deleteImage(image: ImageId): Promise<number>;
  /** Deletes everything that Cutcache has stored; resolves to the number of entries. */
  clear(): Promise<number>;
  /** At most `limit` entries, newest first. */
  list(limit: number): Promise<EntryInfo[]>;
  stats(): Promise<StoreStats>;
  /** Reads the entry or takes a lease of `milliseconds`, atomically. Stores that only one process uses need no leases. */
  getOrLease?(key: string, milliseconds: number): Promise<EntryOrLease>;
  /** Rejects if the store as a whole cannot be read or written, as far as it can tell without an entry. */
  probe?(access: "reads" | "writes"): Promise<void>;
  /** Releases files and sockets. The store must not be used afterwards. */
  close?(): void;
}
