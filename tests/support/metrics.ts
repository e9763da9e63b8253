import type { TestServer } from "./server.ts";

/** The values of `/metrics`, each under its name and labels as they appear there. */
export type Metrics = ReadonlyMap<string, number>;

/** Parses Prometheus' text format. */
export function parseMetrics(text: string): Metrics {
  const lines = text.split("\n").filter((line) => line !== "" && !line.startsWith("#"));
  return new Map(lines.map((line) => {
    const end = line.lastIndexOf(" ");
    return [line.slice(0, end), Number(line.slice(end + 1))];
  }));
}

/** The metrics of a server. */
export async function scrape(server: TestServer): Promise<Metrics> {
  return parseMetrics(await (await server.fetch("/metrics")).text());
}
