import { lanes } from "./limits.js";
import { find, send } from "./server.js";

/*
 * Browsers keep six connections to a server, and news of pictures needs some too. What the server knows does not wait
 * for what it has to work out.
 */
const asking = lanes(2);
const sending = lanes(3);

/** A picture of this session, and the cutout of it. Tells `onChange` of each step. */
export class Picture {
  /** What is being done: see `phaseWords` in messages.js. */
  phase = { state: "queued" };
  /** The latest cutout: an `Answer`, with `url`, `wanted`, `sentBytes` and `elapsedMs`. */
  result;
  #digest;
  #run;
  /** Wanted as soon as what is under way has ended. */
  #next;

  constructor(file, onChange) {
    this.file = file;
    this.name = file.name;
    this.url = URL.createObjectURL(file);
    this.onChange = onChange;
  }

  /** Makes the cutout with these options, unless it is there; what was wanted before is given up. */
  async render(options) {
    this.#next = undefined;
    if (this.#run === undefined) {
      if (this.result?.wanted === options.key && this.phase.state === "done") return;
    } else {
      if (this.#run.options.key === options.key) return;
      if (this.#run.inLine) {
        // It keeps its place.
        this.#run.options = options;
        return;
      }
      if (this.#run.keep) {
        this.#next = options;
        return;
      }
      this.#run.abort.abort();
    }
    const run = this.#run = { options, abort: new AbortController(), inLine: false, keep: false };
    try {
      await this.#fetch(run);
    } catch (error) {
      this.#tell(run, { state: "failed", error });
    }
    if (run !== this.#run) return;
    this.#run = undefined;
    if (this.#next !== undefined) await this.render(this.#next);
  }

  async #fetch(run) {
    const { abort: { signal } } = run;
    const started = performance.now();
    this.#tell(run, { state: "queued" });
    const known = await asking(signal, () => this.#ask(run));
    const answer = known ?? await this.#inLine(run, () =>
      send(this.file, run.options.background, run.options.query, {
        signal,
        onState: (phase) => {
          // Given up now, an inference would be for nothing, and the next request begin at the end of the line.
          run.keep ||= this.result === undefined && phase.state !== "uploading";
          this.#tell(run, phase);
        },
      }));
    signal.throwIfAborted();
    this.#digest ??= answer.digest;
    if (this.result !== undefined) URL.revokeObjectURL(this.result.url);
    this.result = {
      ...answer,
      url: URL.createObjectURL(answer.file),
      wanted: run.options.key,
      sentBytes: known === undefined ? this.file.size : 0,
      elapsedMs: performance.now() - started,
    };
    this.#tell(run, { state: "done" });
  }

  /** The cutout, where the server knows it; without a digest (see `hash`) it cannot be asked. */
  async #ask(run) {
    const { options: { query, background }, abort: { signal } } = run;
    this.#tell(run, { state: "hashing" });
    const digest = this.#digest ??= await hash(this.file);
    const address = new URLSearchParams(query);
    if (background !== undefined) address.set("background_image", await hash(background) ?? "");
    if (digest === undefined || address.get("background_image") === "") return undefined;
    this.#tell(run, { state: "asking" });
    return await find(digest, address, signal);
  }

  /** What is only rendered anew passes by the pictures that wait for an inference. */
  async #inLine(run, work) {
    if (this.result !== undefined) return await work();
    run.inLine = true;
    const begin = () => {
      run.inLine = false;
      return work();
    };
    return await sending(run.abort.signal, begin, (place) => this.#tell(run, { state: "queued", place }));
  }

  #tell(run, phase) {
    if (run !== this.#run) return;
    this.phase = phase;
    this.onChange(this);
  }
}

/** SHA-256 in hexadecimal digits; undefined where the browser has no `crypto.subtle`, as on plain http. */
async function hash(file) {
  if (globalThis.crypto?.subtle === undefined) return undefined;
  const digest = await crypto.subtle.digest("SHA-256", await file.arrayBuffer());
  return Array.from(new Uint8Array(digest), (byte) => byte.toString(16).padStart(2, "0")).join("");
}
