import { fixture } from "../tests/support/images.ts";
import { TestServer } from "../tests/support/server.ts";
import type { Bench } from "./bench.ts";
import { percentile } from "./measure.ts";

export const start: Bench = {
  name: "start",
  summary: "time from `deno task start` to the first cutout and to readiness",
  duration: "30 s",
  options: [{ name: "starts", summary: "how many starts", fallback: 7 }],

  async run(values, report) {
    const count = values.number("starts");
    const ready: number[] = [];
    const firstCutout: number[] = [];
    for (let i = 0; i < count; i++) {
      report(`${i + 1} of ${count}`);
      const port = freePort();
      const began = performance.now();
      const starting = TestServer.start({ PORT: `${port}` }, { checked: false });
      await sendUntilServed(`http://127.0.0.1:${port}/cutouts`);
      firstCutout.push(performance.now() - began);
      await using server = await starting;
      await server.ready();
      ready.push(performance.now() - began);
    }
    const row = (until: string, times: number[]) => ({
      until,
      "min (ms)": Math.round(Math.min(...times)),
      "median (ms)": Math.round(percentile(times, 0.5)),
      "max (ms)": Math.round(Math.max(...times)),
    });
    return [{
      caption: `${count} starts with an empty cache; an image (451×300) is sent every 10 ms until there is a response.`,
      rows: [row("first cutout", firstCutout), row("`/readyz` is 200", ready)],
    }];
  },
};

function freePort(): number {
  using listener = Deno.listen({ hostname: "127.0.0.1", port: 0 });
  return listener.addr.port;
}

/** Sends an image until the server serves it. Until the server listens, the connection is refused. */
async function sendUntilServed(url: string): Promise<void> {
  const body = fixture("chelsea.jpg");
  for (;;) {
    try {
      const response = await fetch(url, { method: "POST", body });
      await response.body?.cancel();
      if (response.status !== 200) throw new Error(`${url} returned ${response.status}`);
      return;
    } catch (error) {
      if (!(error instanceof TypeError)) throw error;
      await new Promise((resolve) => setTimeout(resolve, 10));
    }
  }
}
