import { concurrencyLimit } from "./limits.js";
import { findCutout, uploadPicture } from "./server.js";

/*
 * Browsers open at most six connections to a server over HTTP/1.1, and progress requests need some of them. Lookups have
 * a limit of their own, so that a cached cutout does not wait for uploads.
 */
const limitLookups = concurrencyLimit(2);
const limitUploads = concurrencyLimit(3);

/** A picture of this session and its cutout. Calls `onChange` at each step. */
export class Picture {
  /** The current step; `phaseMessage` in messages.js lists them all. */
  phase = { state: "queued" };
  /** The latest cutout: a `Cutout` with `url`, `optionsKey`, `sentBytes` and `elapsedMs`. */
  result;
  #digest;
  #run;
  /** Options to render as soon as the current run ends. */
  #nextOptions;

  constructor(file, onChange) {
    this.file = file;
    this.name = file.name;
    this.url = URL.createObjectURL(file);
    this.onChange = onChange;
  }

  /** Renders the cutout with these options unless it already has them. Replaces an earlier call that is under way. */
  async render(options) {
    this.#nextOptions = undefined;
    if (this.#run === undefined) {
      if (this.result?.optionsKey === options.key && this.phase.state === "done") return;
    } else {
      if (this.#run.options.key === options.key) return;
      if (this.#run.waitsForUpload) {
        // A new run would lose its place in line.
        this.#run.options = options;
        return;
      }
      if (this.#run.mustFinish) {
        this.#nextOptions = options;
        return;
      }
      this.#run.abort.abort();
    }
    const run = this.#run = { options, abort: new AbortController(), waitsForUpload: false, mustFinish: false };
    try {
      await this.#perform(run);
    } catch (error) {
      this.#setPhase(run, { state: "failed", error });
    }
    if (run !== this.#run) return;
    this.#run = undefined;
    if (this.#nextOptions !== undefined) await this.render(this.#nextOptions);
  }

  async #perform(run) {
    const { abort: { signal } } = run;
    const startedAt = performance.now();
    this.#setPhase(run, { state: "queued" });
    const cached = await limitLookups(signal, () => this.#lookUp(run));
    const cutout = cached ?? await this.#waitToUpload(run, () => this.#upload(run));
    signal.throwIfAborted();
    this.#digest ??= cutout.digest;
    if (this.result !== undefined) URL.revokeObjectURL(this.result.url);
    this.result = {
      ...cutout,
      url: URL.createObjectURL(cutout.file),
      optionsKey: run.options.key,
      sentBytes: cached === undefined ? this.file.size : 0,
      elapsedMs: performance.now() - startedAt,
    };
    this.#setPhase(run, { state: "done" });
  }

  /** The cached cutout, or undefined if the server has none or the digest cannot be computed; see `hash`. */
  async #lookUp(run) {
    const { options: { query, background }, abort: { signal } } = run;
    this.#setPhase(run, { state: "hashing" });
    const digest = this.#digest ??= await hash(this.file);
    const lookup = new URLSearchParams(query);
    if (background !== undefined) lookup.set("background_image", await hash(background) ?? "");
    if (digest === undefined || lookup.get("background_image") === "") return undefined;
    this.#setPhase(run, { state: "looking-up" });
    return await findCutout(digest, lookup, signal);
  }

  #upload(run) {
    return uploadPicture(this.file, run.options.background, run.options.query, {
      signal: run.abort.signal,
      onState: (phase) => {
        // Aborting now would waste an inference, and the next request would start at the end of the line.
        run.mustFinish ||= this.result === undefined && phase.state !== "uploading";
        this.#setPhase(run, phase);
      },
    });
  }

  /** A picture that already has a cutout only needs rendering, so it passes those that wait for an inference. */
  async #waitToUpload(run, upload) {
    if (this.result !== undefined) return await upload();
    run.waitsForUpload = true;
    const start = () => {
      run.waitsForUpload = false;
      return upload();
    };
    const onPosition = (position) => this.#setPhase(run, { state: "queued", position });
    return await limitUploads(run.abort.signal, start, onPosition);
  }

  /** Ignores what a replaced run still reports. */
  #setPhase(run, phase) {
    if (run !== this.#run) return;
    this.phase = phase;
    this.onChange(this);
  }
}

/** SHA-256 in hexadecimal digits; undefined if the browser has no `crypto.subtle`, as on a page loaded over plain http. */
async function hash(file) {
  if (globalThis.crypto?.subtle === undefined) return undefined;
  const digest = await crypto.subtle.digest("SHA-256", await file.arrayBuffer());
  return Array.from(new Uint8Array(digest), (byte) => byte.toString(16).padStart(2, "0")).join("");
}
