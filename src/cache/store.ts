import type { Layout } from "../base/layout.ts";
import type { ImageId } from "./keys.ts";

/** A cached value. */
export interface Entry {
  readonly bytes: Uint8Array<ArrayBuffer>;
  /** The bytes in base64, as ASCII, where that is how they came and nobody has wanted `bytes` yet. */
  readonly base64?: Uint8Array<ArrayBuffer>;
  /** Of what memory holds ready to be sent: all of it, and `bytes` are none. */
  readonly ready?: ReadyBody;
  readonly contentType: string;
  /** In milliseconds since the epoch. */
  readonly created: number;
  /** Changes with the bytes: the opaque part of a strong validator (RFC 9110, section 8.8.3), without its quotes. */
  readonly etag: string;
  /** Of a result; a mask has none. */
  readonly layout?: Layout;
}

/** A body that many answers share: clones of `response`, which is never sent itself. A new response would copy it. */
export interface ReadyBody {
  readonly response: Response;
  /** In bytes. */
  readonly length: number;
}

/** What `list` tells of an entry without reading its bytes; `bytes` is the value's size. */
export interface EntryInfo {
  readonly key: string;
  readonly contentType: string;
  readonly created: number;
  readonly bytes: number;
}

export interface StoreStats {
  readonly entries: number;
  /** Of all values together; undefined where the store cannot tell without reading them all. */
  readonly bytes?: number;
}

/** The right to make one entry, which no other process has at the same time. */
export interface Lease {
  /** Lets others have it. It is renewed until then, and ends by itself with its process. */
  release(): Promise<void>;
}

/** For stores without leases: everyone may make the entry, and there is nothing to release. */
export const NO_LEASE: Lease = { release: () => Promise.resolve() };

/** The entry; or the lease to make it, where there is none; or neither, where another process is making it. */
export type EntryOrLease = { readonly entry: Entry } | { readonly lease: Lease } | undefined;

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
  /** Deletes all that was made of an image, and resolves to how many entries that were. */
  deleteImage(image: ImageId): Promise<number>;
  /** Deletes everything of ours, and resolves to how many entries that were. */
  clear(): Promise<number>;
  /** At most `limit` entries, newest first. */
  list(limit: number): Promise<EntryInfo[]>;
  stats(): Promise<StoreStats>;
  /** Reads, or takes a lease of `milliseconds`, in one go. Stores that one process has for itself need none. */
  getOrLease?(key: string, milliseconds: number): Promise<EntryOrLease>;
  /** Rejects where the store cannot be read or written at all, as far as that can be told without an entry. */
  probe?(what: "reads" | "writes"): Promise<void>;
  /** Releases files and sockets; the store is not used afterwards. */
  close?(): void;
}
