import { setTimeout as delay } from "node:timers/promises";
import { fixture, PHOTOGRAPHS } from "../tests/support/images.ts";
import { TestServer } from "../tests/support/server.ts";
import type { Bench } from "./bench.ts";
import { percentile, threeDigits } from "./measure.ts";
import { numbered } from "./pictures.ts";

/** The pause before each request, in milliseconds, so that one server's work after its response does not slow the other. */
const PAUSE_MS = 100;

/** Requests the cutout of an image from a server. */
type RequestCutout = (url: string, image: Uint8Array<ArrayBuffer>) => Promise<Response>;

const APIS: Record<string, RequestCutout> = {
  predict: (url, image) =>
    fetch(`${url}/predict`, {
      method: "POST",
      headers: { "Content-Type": "application/json" },
      body: JSON.stringify({ file_path: "photo.jpg", img_base64: image.toBase64() }),
    }),
  rembg: (url, image) => {
    const form = new FormData();
    form.set("file", new File([image], "photo.jpg", { type: "image/jpeg" }));
    // rembg's default is another model.
    form.set("model", "u2netp");
    return fetch(`${url}/api/remove`, { method: "POST", body: form });
  },
};

export const peer: Bench = {
  name: "peer",
  summary: "time of this server and of another one for the same images",
  duration: "1 min",
  options: [
    { name: "peer", summary: "the other server's URL, such as http://127.0.0.1:7000", fallback: "" },
    { name: "peer-api", summary: `the API of both servers: ${Object.keys(APIS).join(" or ")}`, fallback: "predict" },
    { name: "backend", summary: "this server's INFERENCE_BACKEND", fallback: "wasm" },
    { name: "rounds", summary: "how often each image is sent as a new image", fallback: 5 },
  ],

  async run(values, report) {
    const url = values.text("peer").replace(/\/$/, "");
    const requestCutout = APIS[values.text("peer-api")];
    if (!URL.canParse(url)) throw new Error("--peer must be the other server's URL, such as http://127.0.0.1:7000");
    if (requestCutout === undefined) throw new Error(`--peer-api must be one of ${Object.keys(APIS).join(", ")}`);
    const backend = values.text("backend");
    const command = [Deno.execPath(), "task", "--quiet", backend === "native" ? "start:native" : "start"];
    const settings = { LOG_LEVEL: "warning", INFERENCE_BACKEND: backend };
    await using server = await TestServer.start(settings, { checked: false, command });
    const rounds = values.number("rounds");
    const time = async (address: string, image: Uint8Array<ArrayBuffer>) => {
      await delay(PAUSE_MS);
      const began = performance.now();
      const response = await requestCutout(address, image);
      if (!response.ok) throw new Error(`${address} returned ${response.status}: ${await response.text()}`);
      await response.arrayBuffer();
      return performance.now() - began;
    };
    // The first request to each server warms it up.
    for (const address of [server.url, url]) await time(address, numbered(fixture("coffee.jpg"), rounds));
    const rows = [];
    for (const kind of ["new", "repeated"]) {
      for (const name of PHOTOGRAPHS) {
        report(`${name}, ${kind}`);
        const pairs: { ours: number; theirs: number }[] = [];
        for (let round = 0; round < rounds; round++) {
          const image = numbered(fixture(`${name}.jpg`), kind === "new" ? round : 0);
          // The servers take turns in going first.
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
          "min": threeDigits(Math.min(...ratios)),
          "max": threeDigits(Math.max(...ratios)),
        });
      }
    }
    return [{
      caption: `Each photograph ${rounds} times to each server in turn, one request at a time, 0.1 s after the last ` +
        "response; medians, and the minimum and maximum of the ratios.",
      rows,
    }];
  },
};
