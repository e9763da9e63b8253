/** What `deno task bench NAME` can run. */
export interface Bench {
  readonly name: string;
  /** One line for `--help`: what it measures. */
  readonly summary: string;
  /** Roughly how long it takes on two cores, for `--help`. */
  readonly duration: string;
  /** The options it takes. */
  readonly options?: readonly BenchOption[];
  /** @param tell says how far it is, to whoever waits. */
  run(values: OptionValues, tell: (progress: string) => void): Promise<Table[]>;
}

/** What a bench has measured: rows of one shape. */
export interface Table {
  /** What was measured and under which conditions, in Markdown. */
  readonly caption: string;
  readonly rows: readonly object[];
}

/** `--NAME N` where `fallback` is a number, `--NAME TEXT` where it is a text, else the flag `--NAME`. */
export interface BenchOption {
  readonly name: string;
  readonly summary: string;
  readonly fallback: number | string | false;
}

/** What was given for a bench's options, or their fallbacks. */
export class OptionValues {
  readonly #values: ReadonlyMap<string, number | string | boolean>;

  constructor(values: ReadonlyMap<string, number | string | boolean>) {
    this.#values = values;
  }

  number(name: string): number {
    return Number(this.#values.get(name));
  }

  text(name: string): string {
    return String(this.#values.get(name));
  }

  flag(name: string): boolean {
    return this.#values.get(name) === true;
  }
}
