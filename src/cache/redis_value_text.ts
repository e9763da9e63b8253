import { Buffer } from "node:buffer";
import { decodeEntryFromText } from "./entry_codec.ts";
import type { Entry } from "./store.ts";

/*
 * An entry's key in Redis holds one of three texts:
 *
 *   the entry, as `entry_codec.ts` encodes it
 *   "PARTS" id count length    the entry is too large for one request: its text, of this length, lies in parts
 *   "LEASE" owner              there is no entry yet: this process is making it
 *
 * The lease lies at the entry's own key, so that one command reads the entry or takes the lease, and the write of the
 * entry ends the lease.
 */

/** The parts of a large entry. A new write has a new id, so that a reader never mixes the parts of two writes. */
export interface PartList {
  readonly id: string;
  readonly count: number;
  /** Of all parts together, in characters. */
  readonly length: number;
}

export type StoredValue = { readonly entry: Entry } | { readonly parts: PartList } | { readonly owner: string };

/** In characters. Part lists and leases are shorter. */
export const MAX_MARKER_LENGTH = 100;

const PARTS = /^PARTS ([0-9a-f]{16}) (\d{1,4}) (\d{1,9})$/;
const LEASE = /^LEASE ([\w-]{1,64})$/;

export function leaseMarker(owner: string): string {
  return `LEASE ${owner}`;
}

export function partsMarker({ id, count, length }: PartList): string {
  return `PARTS ${id} ${count} ${length}`;
}

/** The part list in a text, if it is one. */
export function parseParts(text: string): PartList | undefined {
  const [, id, count, length] = PARTS.exec(text) ?? [];
  return id === undefined ? undefined : { id, count: Number(count), length: Number(length) };
}

/**
 * Parses the text at an entry's key; undefined if it is truncated, corrupt or foreign.
 * @param text ASCII
 */
export function parseValue(text: Uint8Array<ArrayBuffer>): StoredValue | undefined {
  if (text.length <= MAX_MARKER_LENGTH) {
    const marker = Buffer.from(text).toString("latin1");
    const owner = LEASE.exec(marker)?.[1];
    if (owner !== undefined) return { owner };
    const parts = parseParts(marker);
    if (parts !== undefined) return { parts };
  }
  const entry = decodeEntryFromText(text);
  return entry && { entry };
}

/** Splits a text into parts of at most `partLength` characters. */
export function* splitText(text: string, partLength: number): Generator<string> {
  for (let at = 0; at < text.length; at += partLength) yield text.slice(at, at + partLength);
}
