import type { Entry } from "../cache/store.ts";
import type { MemoryStore } from "../cache/memory.ts";

/** The form in which an API sends a file, such as JSON around it. It is kept in memory, so it is built only once. */
export interface Representation {
  /** Distinguishes it from other representations of the same file. */
  readonly name: string;
  readonly make: (file: Entry) => Pick<Entry, "bytes" | "ready" | "contentType">;
}

/** The file in a representation; without one, the file itself. */
export function represent(file: Entry, representation: Representation | undefined): Entry {
  if (representation === undefined) return file;
  const { created, layout } = file;
  return {
    created,
    ...(layout && { layout }),
    ...representation.make(file),
    etag: etagOf(file, representation),
  };
}

/** Keeps representations in memory, each for no longer than its file. */
export class RepresentationCache {
  readonly #memory: Pick<MemoryStore, "read" | "readStale" | "write">;

  constructor(memory: Pick<MemoryStore, "read" | "readStale" | "write">) {
    this.#memory = memory;
  }

  /** A fresh representation of the file with this key. */
  read(key: string, representation: Representation): Entry | undefined {
    return this.#memory.read(keyOf(key, representation));
  }

  /** Returns the file in a representation, and keeps that in memory. */
  represent(key: string, file: Entry, representation: Representation | undefined): Entry {
    if (representation === undefined) return file;
    const known = this.#memory.readStale(keyOf(key, representation));
    const entry = known?.etag === etagOf(file, representation) ? known : represent(file, representation);
    // It expires with its file, because another process may delete the file.
    this.#memory.write(keyOf(key, representation), entry, key);
    return entry;
  }
}

function keyOf(key: string, representation: Representation): string {
  return `${key}#${representation.name}`;
}

function etagOf(file: Entry, representation: Representation): string {
  return `${file.etag}-${representation.name}`;
}

/** JSON that holds a file in base64: `before`, the base64, `after`. Both texts are ASCII. */
export function base64Json(
  before: string,
  file: Pick<Entry, "bytes" | "base64">,
  after: string,
): Pick<Entry, "bytes" | "ready" | "contentType"> {
  // Stores that hold base64 have it ready.
  const base64 = file.base64 ?? file.bytes.toBase64();
  const json = new Uint8Array(before.length + base64.length + after.length);
  const encoder = new TextEncoder();
  encoder.encodeInto(before, json);
  if (typeof base64 === "string") encoder.encodeInto(base64, json.subarray(before.length));
  else json.set(base64, before.length);
  encoder.encodeInto(after, json.subarray(before.length + base64.length));
  const ready = { response: new Response(json), length: json.length };
  // The response has its own copy. Buffers left to the garbage collector make V8 collect while requests wait.
  json.buffer.transfer(0);
  return { bytes: EMPTY, ready, contentType: "application/json" };
}

const EMPTY = new Uint8Array();
