import { createHash, type Hash } from "node:crypto";
import { setTimeout as delay } from "node:timers/promises";

/** Where a file comes from and where it goes. */
export interface Download {
  url: string;
  /** The finished file. What has arrived so far lies beside it as `PATH.part`. */
  path: string;
  /** `sha256:…` or `md5:…`, in lower-case hex. */
  digest: string;
}

/** What {@link download} did. */
export interface Downloaded {
  /** The whole file's length in bytes. */
  bytes: number;
  /** How many of them were here already when it began. */
  resumedAt: number;
}

/** Options of {@link download}, each with its default. */
export interface DownloadOptions {
  /** How often a connection that drops, or a server that cannot answer now, is tried again (4). */
  retries?: number;
  /** How long the server may be silent, in milliseconds (30,000). */
  silenceMs?: number;
  /** Called with the bytes on disk, and the whole file's length where the server tells it. */
  onProgress?: (bytes: number, total: number | undefined) => void;
  /** Waits between two tries. */
  sleep?: (ms: number) => Promise<void>;
}

/** The file is not to be had, or is not the right one. */
export class DownloadError extends Error {}

/** Failures of the network or of a busy server: the same request may succeed later. */
class PassingError extends Error {}

/**
 * Downloads a file, going on where an earlier try was cut off. The file appears under its own name only when it is whole
 * and its digest is right.
 *
 * @throws {DownloadError}
 */
export async function download({ url, path, digest }: Download, options: DownloadOptions = {}): Promise<Downloaded> {
  const { retries = 4, sleep = (ms) => delay(ms) } = options;
  const part = new Part(`${path}.part`, digest);
  const resumedAt = await part.open();
  try {
    for (let failures = 0;;) {
      const before = part.bytes;
      try {
        await receive(url, part, options);
        break;
      } catch (error) {
        if (!(error instanceof PassingError)) throw error;
        // Tries are counted for a connection that brings nothing: one that drops every minute still gets there.
        failures = part.bytes > before ? 1 : failures + 1;
        if (failures > retries) throw new DownloadError(`${error.message}; run the command again to go on`);
        await sleep(250 * 2 ** failures);
      }
    }
    await part.finish(path);
  } finally {
    part.close();
  }
  return { bytes: part.bytes, resumedAt: Math.min(resumedAt, part.bytes) };
}

/** The digest of a file in the form of `digest`, or undefined where there is no file. */
export async function digestOfFile(path: string, digest: string): Promise<string | undefined> {
  const hash = hashFor(digest);
  try {
    using file = await Deno.open(path);
    await eachChunk(file, (chunk) => hash.update(chunk));
  } catch (error) {
    if (error instanceof Deno.errors.NotFound) return undefined;
    throw error;
  }
  return printed(digest, hash);
}

/** One request and its body, into the part. */
async function receive(url: string, part: Part, { silenceMs = 30_000, onProgress }: DownloadOptions): Promise<void> {
  const silence = new AbortController();
  let timer = setTimeout(() => silence.abort(), silenceMs);
  try {
    // What is counted here are the file's own bytes, so they must not be compressed on the way.
    const headers: Record<string, string> = { "accept-encoding": "identity" };
    if (part.bytes > 0) {
      headers.range = `bytes=${part.bytes}-`;
      if (part.validator !== undefined) headers["if-range"] = part.validator;
    }
    const response = await fetch(url, { headers, signal: silence.signal });
    const total = await accept(response, part);
    onProgress?.(part.bytes, total);
    if (total === part.bytes) return;
    for await (const chunk of response.body ?? []) {
      clearTimeout(timer);
      timer = setTimeout(() => silence.abort(), silenceMs);
      part.write(chunk);
      onProgress?.(part.bytes, total);
    }
    if (total !== undefined && part.bytes < total) throw new PassingError("the connection was cut");
  } catch (error) {
    if (silence.signal.aborted) throw new PassingError(`the server was silent for ${silenceMs / 1000} s`);
    // What fetch and a body throw for a network that fails; all else is a fault of this side.
    if (error instanceof TypeError) throw new PassingError(error.message);
    throw error;
  } finally {
    clearTimeout(timer);
  }
}

/** Makes the part fit what the server is about to send: its rest, or the whole file. @returns the whole file's length */
async function accept(response: Response, part: Part): Promise<number | undefined> {
  const { status, headers } = response;
  if (status === 206) {
    const range = /^bytes (\d+)-\d+\/(\d+|\*)$/.exec(headers.get("content-range") ?? "");
    if (range === null || Number(range[1]) !== part.bytes) {
      await response.body?.cancel();
      await part.restart();
      throw new PassingError("the server sent another part than the one asked for");
    }
    return range[2] === "*" ? undefined : Number(range[2]);
  }
  if (status === 200) {
    await part.restart(validatorOf(headers));
    const length = headers.get("content-length");
    return length === null || headers.has("content-encoding") ? undefined : Number(length);
  }
  await response.body?.cancel();
  if (status === 416 && part.bytes > 0) {
    if (headers.get("content-range") === `bytes */${part.bytes}`) return part.bytes;
    await part.restart();
    throw new PassingError("the server has no such part");
  }
  const message = `the server answered ${status} ${response.statusText}`.trimEnd();
  if (status === 408 || status === 429 || status >= 500) throw new PassingError(message);
  throw new DownloadError(message);
}

/** Only a strong validator says that two parts are of the same bytes. */
function validatorOf(headers: Headers): string | undefined {
  const tag = headers.get("etag");
  return tag?.startsWith('"') ? tag : headers.get("last-modified") ?? undefined;
}

/** What has arrived of a file: `PATH.part`, and beside it the validator of the version that it belongs to. */
class Part {
  bytes = 0;
  /** An entity tag or else a date, for If-Range (RFC 9110, 13.1.5). */
  validator?: string;
  readonly #path: string;
  readonly #validatorPath: string;
  readonly #digest: string;
  #file?: Deno.FsFile;
  #hash: Hash;

  constructor(path: string, digest: string) {
    this.#path = path;
    this.#validatorPath = `${path}.validator`;
    this.#digest = digest;
    this.#hash = hashFor(digest);
  }

  /** @returns how many bytes are here already */
  async open(): Promise<number> {
    this.#file = await Deno.open(this.#path, { read: true, write: true, create: true });
    await eachChunk(this.#file, (chunk) => this.#take(chunk));
    this.validator = await Deno.readTextFile(this.#validatorPath).catch(unlessMissing);
    return this.bytes;
  }

  write(chunk: Uint8Array): void {
    for (let at = 0; at < chunk.length;) at += this.#file!.writeSync(chunk.subarray(at));
    this.#take(chunk);
  }

  /** Empties it, for the version of the file with this validator. */
  async restart(validator?: string): Promise<void> {
    await this.#file!.truncate();
    await this.#file!.seek(0, Deno.SeekMode.Start);
    this.#hash = hashFor(this.#digest);
    this.bytes = 0;
    this.validator = validator;
    if (validator === undefined) await remove(this.#validatorPath);
    else await Deno.writeTextFile(this.#validatorPath, validator);
  }

  /** @throws {DownloadError} where the digest is wrong; nothing is left of the file then. */
  async finish(path: string): Promise<void> {
    const digest = printed(this.#digest, this.#hash);
    this.close();
    await remove(this.#validatorPath);
    if (digest !== this.#digest) {
      await remove(this.#path);
      throw new DownloadError(`what came has the digest ${digest}, not ${this.#digest}; it was removed`);
    }
    await Deno.rename(this.#path, path);
  }

  close(): void {
    this.#file?.close();
    this.#file = undefined;
  }

  #take(chunk: Uint8Array): void {
    this.#hash.update(chunk);
    this.bytes += chunk.length;
  }
}

function hashFor(digest: string): Hash {
  return createHash(digest.split(":")[0]);
}

function printed(digest: string, hash: Hash): string {
  return `${digest.split(":")[0]}:${hash.digest("hex")}`;
}

async function eachChunk(file: Deno.FsFile, use: (chunk: Uint8Array) => void): Promise<void> {
  const buffer = new Uint8Array(1 << 20);
  for (let length; (length = await file.read(buffer)) !== null;) use(buffer.subarray(0, length));
}

async function remove(path: string): Promise<void> {
  await Deno.remove(path).catch(unlessMissing);
}

function unlessMissing(error: unknown): undefined {
  if (!(error instanceof Deno.errors.NotFound)) throw error;
}
