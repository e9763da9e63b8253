/** What `deno task bench NAME` can run. */
export interface Bench {
  readonly name: string;
  /** One line for `--help`: what it measures. */
  readonly summary: string;
  /** Roughly how long it takes on two cores, for `--help`. */
  readonly duration: string;
  /** The options it takes. */
  readonly options?: readonly BenchOption[];
  run(values: OptionValues): Promise<void>;
}

/** `--NAME N` where `fallback` is a number, else the flag `--NAME`. */
export interface BenchOption {
  readonly name: string;
  readonly summary: string;
  readonly fallback: number | false;
}

/** What was given for a bench's options, or their fallbacks. */
export class OptionValues {
  readonly #values: ReadonlyMap<string, number | boolean>;

  constructor(values: ReadonlyMap<string, number | boolean>) {
    this.#values = values;
  }

  number(name: string): number {
    return Number(this.#values.get(name));
  }

  flag(name: string): boolean {
    return this.#values.get(name) === true;
  }
}
