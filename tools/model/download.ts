import { createHash, type Hash } from "node:crypto";
import { setTimeout as delay } from "node:timers/promises";

/** The source of a file, and its path when it is complete. */
export interface Download {
  url: string;
  /** The finished file. The bytes that have arrived so far are in `PATH.part`. */
  path: string;
  /** `sha256:…` or `md5:…`, in lower-case hex. */
  digest: string;
}

/** The result of {@link download}. */
export interface DownloadResult {
  /** The length of the whole file, in bytes. */
  bytes: number;
  /** How many of them were already there from an earlier download. */
  resumedAt: number;
}

/** Options of {@link download}, with their defaults. */
export interface DownloadOptions {
  /** How often a dropped connection or a busy server is retried without progress (4). */
  retries?: number;
  /** How long the server may be silent, in milliseconds (30,000). */
  silenceMs?: number;
  /** Called with the bytes on disk, and the length of the whole file if the server sends it. */
  onProgress?: (bytes: number, total: number | undefined) => void;
  /** Waits between two attempts. */
  sleep?: (ms: number) => Promise<void>;
}

/** The file cannot be downloaded, or its digest differs. */
export class DownloadError extends Error {}

/** A failure of the network or of a busy server: the same request may succeed later. */
class TransientError extends Error {}

/**
 * Downloads a file, and resumes a download that was interrupted. The file gets its own name only when it is complete and
 * its digest matches.
 *
 * @throws {DownloadError}
 */
export async function download(
  { url, path, digest }: Download,
  options: DownloadOptions = {},
): Promise<DownloadResult> {
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
        if (!(error instanceof TransientError)) throw error;
        // Progress resets the count: a connection that drops every minute still completes the file.
        failures = part.bytes > before ? 1 : failures + 1;
        if (failures > retries) throw new DownloadError(`${error.message}; run the command again to resume`);
        await sleep(250 * 2 ** failures);
      }
    }
    await part.finish(path);
  } finally {
    part.close();
  }
  return { bytes: part.bytes, resumedAt: Math.min(resumedAt, part.bytes) };
}

/** The digest of a file, by the algorithm of `digest`; undefined if there is no file. */
export async function digestOfFile(path: string, digest: string): Promise<string | undefined> {
  const hash = hashFor(digest);
  try {
    using file = await Deno.open(path);
    await eachChunk(file, (chunk) => hash.update(chunk));
  } catch (error) {
    if (error instanceof Deno.errors.NotFound) return undefined;
    throw error;
  }
  return format(digest, hash);
}

/** Sends one request, and appends the body of the response to the part. */
async function receive(url: string, part: Part, { silenceMs = 30_000, onProgress }: DownloadOptions): Promise<void> {
  const silence = new AbortController();
  let timer = setTimeout(() => silence.abort(), silenceMs);
  try {
    // Ranges and progress count the file's own bytes, so the response must not be compressed.
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
    if (total !== undefined && part.bytes < total) throw new TransientError("the connection was cut");
  } catch (error) {
    if (silence.signal.aborted) throw new TransientError(`the server was silent for ${silenceMs / 1000} s`);
    // fetch and bodies throw a TypeError if the network fails; any other error is local.
    if (error instanceof TypeError) throw new TransientError(error.message);
    throw error;
  } finally {
    clearTimeout(timer);
  }
}

/** Prepares the part for the response: the rest of the file, or the whole file. @returns the length of the whole file. */
async function accept(response: Response, part: Part): Promise<number | undefined> {
  const { status, headers } = response;
  if (status === 206) {
    const range = /^bytes (\d+)-\d+\/(\d+|\*)$/.exec(headers.get("content-range") ?? "");
    if (range === null || Number(range[1]) !== part.bytes) {
      await response.body?.cancel();
      await part.restart();
      throw new TransientError("the server sent another range than the one requested");
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
    throw new TransientError("the server does not have the requested range");
  }
  const message = `the server returned ${status} ${response.statusText}`.trimEnd();
  if (status === 408 || status === 429 || status >= 500) throw new TransientError(message);
  throw new DownloadError(message);
}

/** Only a strong validator guarantees that two parts belong to the same bytes. */
function validatorOf(headers: Headers): string | undefined {
  const tag = headers.get("etag");
  return tag?.startsWith('"') ? tag : headers.get("last-modified") ?? undefined;
}

/** The part of a file that has arrived, `PATH.part`, and the validator of its version, `PATH.part.validator`. */
class Part {
  bytes = 0;
  /** An entity tag or a date, for If-Range (RFC 9110, section 13.1.5). */
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

  /** @returns the number of bytes that are already there. */
  async open(): Promise<number> {
    this.#file = await Deno.open(this.#path, { read: true, write: true, create: true });
    await eachChunk(this.#file, (chunk) => this.#record(chunk));
    this.validator = await Deno.readTextFile(this.#validatorPath).catch(undefinedIfMissing);
    return this.bytes;
  }

  write(chunk: Uint8Array): void {
    for (let at = 0; at < chunk.length;) at += this.#file!.writeSync(chunk.subarray(at));
    this.#record(chunk);
  }

  /** Empties the part, for the version of the file with this validator. */
  async restart(validator?: string): Promise<void> {
    await this.#file!.truncate();
    await this.#file!.seek(0, Deno.SeekMode.Start);
    this.#hash = hashFor(this.#digest);
    this.bytes = 0;
    this.validator = validator;
    if (validator === undefined) await remove(this.#validatorPath);
    else await Deno.writeTextFile(this.#validatorPath, validator);
  }

  /** @throws {DownloadError} if the digest differs; the part is then deleted. */
  async finish(path: string): Promise<void> {
    const digest = format(this.#digest, this.#hash);
    this.close();
    await remove(this.#validatorPath);
    if (digest !== this.#digest) {
      await remove(this.#path);
      throw new DownloadError(`the downloaded file has digest ${digest}, not ${this.#digest}; it was deleted`);
    }
    await Deno.rename(this.#path, path);
  }

  close(): void {
    this.#file?.close();
    this.#file = undefined;
  }

  #record(chunk: Uint8Array): void {
    this.#hash.update(chunk);
    this.bytes += chunk.length;
  }
}

function hashFor(digest: string): Hash {
  return createHash(digest.split(":")[0]);
}

function format(digest: string, hash: Hash): string {
  return `${digest.split(":")[0]}:${hash.digest("hex")}`;
}

async function eachChunk(file: Deno.FsFile, use: (chunk: Uint8Array) => void): Promise<void> {
  const buffer = new Uint8Array(1 << 20);
  for (let length; (length = await file.read(buffer)) !== null;) use(buffer.subarray(0, length));
}

async function remove(path: string): Promise<void> {
  await Deno.remove(path).catch(undefinedIfMissing);
}

function undefinedIfMissing(error: unknown): undefined {
  if (!(error instanceof Deno.errors.NotFound)) throw error;
}
