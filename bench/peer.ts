import { setTimeout as delay } from "node:timers/promises";
import { fixture, PHOTOGRAPHS } from "../tests/support/images.ts";
import { TestServer } from "../tests/support/server.ts";
import type { Bench } from "./bench.ts";
import { percentile, threeDigits } from "./measure.ts";
import { numbered } from "./pictures.ts";

/** Before each request, in milliseconds: what a server does after its answer is not to slow the other one down. */
const PAUSE_MS = 100;

/** How a server is asked for the cutout of an image. */
type Ask = (url: string, image: Uint8Array<ArrayBuffer>) => Promise<Response>;

const APIS: Record<string, Ask> = {
  predict: (url, image) =>
    fetch(`${url}/predict`, {
      method: "POST",
      headers: { "Content-Type": "application/json" },
      body: JSON.stringify({ file_path: "photo.jpg", img_base64: image.toBase64() }),
    }),
  rembg: (url, image) => {
    const form = new FormData();
    form.set("file", new File([image], "photo.jpg", { type: "image/jpeg" }));
    // rembg's own default is another one.
    form.set("model", "u2netp");
    return fetch(`${url}/api/remove`, { method: "POST", body: form });
  },
};

export const peer: Bench = {
  name: "peer",
  summary: "the same images to this server and to another one, by turns",
  duration: "1 min",
  options: [
    { name: "peer", summary: "the other server's address, such as http://127.0.0.1:7000", fallback: "" },
    { name: "peer-api", summary: `how both are asked: ${Object.keys(APIS).join(" or ")}`, fallback: "predict" },
    { name: "native", summary: "this server with the native ONNX Runtime", fallback: false },
    { name: "rounds", summary: "how often each image is sent as a new one", fallback: 5 },
  ],

  async run(values, tell) {
    const url = values.text("peer").replace(/\/$/, "");
    const ask = APIS[values.text("peer-api")];
    if (!URL.canParse(url)) throw new Error("--peer takes the other server's address, such as http://127.0.0.1:7000");
    if (ask === undefined) throw new Error(`--peer-api is one of ${Object.keys(APIS).join(", ")}`);
    const command = [Deno.execPath(), "task", "--quiet", values.flag("native") ? "start:native" : "start"];
    await using server = await TestServer.start({ LOG_LEVEL: "warning" }, { checked: false, command });
    const rounds = values.number("rounds");
    const time = async (address: string, image: Uint8Array<ArrayBuffer>) => {
      await delay(PAUSE_MS);
      const began = performance.now();
      const response = await ask(address, image);
      if (!response.ok) throw new Error(`${address} answered ${response.status}: ${await response.text()}`);
      await response.arrayBuffer();
      return performance.now() - began;
    };
    // The first of each warms what there is to be warmed.
    for (const address of [server.url, url]) await time(address, numbered(fixture("coffee.jpg"), rounds));
    const rows = [];
    for (const kind of ["new", "the same again"]) {
      for (const name of PHOTOGRAPHS) {
        tell(`${name}, ${kind}`);
        const pairs: { ours: number; theirs: number }[] = [];
        for (let round = 0; round < rounds; round++) {
          const image = numbered(fixture(`${name}.jpg`), kind === "new" ? round : 0);
          // Who is first changes from round to round.
          const first = round % 2 === 0 ? server.url : url;
          const one = await time(first, image);
          const other = await time(first === url ? server.url : url, image);
          pairs.push(first === url ? { ours: other, theirs: one } : { ours: one, theirs: other });
        }
        const ratios = pairs.map(({ ours, theirs }) => theirs / ours);
        rows.push({
          image: `${name}, ${kind}`,
          "Cutcache (ms)": threeDigits(percentile(pairs.map(({ ours }) => ours), 0.5)),
          "peer (ms)": threeDigits(percentile(pairs.map(({ theirs }) => theirs), 0.5)),
          "peer / Cutcache": threeDigits(percentile(ratios, 0.5)),
          "least": threeDigits(Math.min(...ratios)),
          "most": threeDigits(Math.max(...ratios)),
        });
      }
    }
    return [{
      caption:
        `Each photograph ${rounds} times to each server, by turns, one request at a time, 0.1 s after the last answer; medians, and the ` +
        "least and the most of the ratios.",
      rows,
    }];
  },
};
