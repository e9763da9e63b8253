/** A benchmark that `deno task bench NAME` runs. */
export interface Bench {
  readonly name: string;
  /** What it measures, in one line, for `--help`. */
  readonly summary: string;
  /** Roughly how long it takes on two cores, for `--help`. */
  readonly duration: string;
  /** The options that it takes. */
  readonly options?: readonly BenchOption[];
  /** @param report reports progress to the user. */
  run(values: OptionValues, report: (progress: string) => void): Promise<Table[]>;
}

/** The measurements of a bench: rows with the same columns. */
export interface Table {
  /** Describes the measurement and its conditions, in Markdown. */
  readonly caption: string;
  readonly rows: readonly object[];
}

/** `--NAME N` if `fallback` is a number, `--NAME TEXT` if it is a string, otherwise the flag `--NAME`. */
export interface BenchOption {
  readonly name: string;
  readonly summary: string;
  readonly fallback: number | string | false;
}

/** The values of a bench's options, or their fallbacks. */
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
