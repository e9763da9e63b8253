import assert from "node:assert/strict";
import { createHash } from "node:crypto";
import { join } from "node:path";
import { manifestSchema } from "../../src/inference/model/manifest.ts";
import { download, DownloadError } from "../../tools/model/download.ts";

const SCRIPT = join(import.meta.dirname!, "../../tools/model.ts");
const MODELS = join(import.meta.dirname!, "../../static/models");

/** Larger than the buffers of a connection, and without repetition. */
const FILE = new Uint8Array(3_000_000).map((_, i) => (i * 2654435761) >>> 24);
const hex = (algorithm: string, bytes: Uint8Array) => createHash(algorithm).update(bytes).digest("hex");
const SHA256 = `sha256:${hex("sha256", FILE)}`;
const MD5 = `md5:${hex("md5", FILE)}`;

/** How the server behaves. */
interface Behaviour {
  file?: Uint8Array<ArrayBuffer>;
  /** Cuts the connection after this many bytes of a body, this many times (once by default). */
  cut?: { after: number; times?: number };
  ignoresRange?: boolean;
  /** Responds to every Range with 416. */
  refusesRange?: boolean;
  etag?: string;
  lastModified?: string;
  /** The statuses of its first responses, before it serves the file. */
  first?: number[];
}

interface Served {
  url: string;
  requests: Headers[];
  /** Bytes of all bodies together. */
  bytes: number;
}

async function withServer(behaviour: Behaviour, use: (served: Served) => Promise<void>): Promise<void> {
  const { file = FILE, first = [] } = behaviour;
  const served: Served = { url: "", requests: [], bytes: 0 };
  let cuts = behaviour.cut ? behaviour.cut.times ?? 1 : 0;
  const server = Deno.serve({ hostname: "127.0.0.1", port: 0, onListen: () => {} }, ({ headers }) => {
    served.requests.push(headers);
    const status = first.shift();
    if (status !== undefined) return new Response(null, { status });
    const response: Record<string, string> = {};
    if (behaviour.etag) response.etag = behaviour.etag;
    if (behaviour.lastModified) response["last-modified"] = behaviour.lastModified;
    const range = /^bytes=(\d+)-$/.exec(headers.get("range") ?? "");
    const condition = headers.get("if-range");
    const holds = condition === null || condition === behaviour.etag || condition === behaviour.lastModified;
    let from = 0;
    if (range && holds && !behaviour.ignoresRange) {
      from = Number(range[1]);
      if (behaviour.refusesRange || from >= file.length) {
        return new Response(null, { status: 416, headers: { "content-range": `bytes */${file.length}` } });
      }
      response["content-range"] = `bytes ${from}-${file.length - 1}/${file.length}`;
    }
    response["content-length"] = String(file.length - from);
    const end = cuts-- > 0 ? Math.min(file.length, from + behaviour.cut!.after) : file.length;
    const body = new ReadableStream<Uint8Array>({
      pull(controller) {
        if (from < end) {
          const chunk = file.subarray(from, Math.min(end, from + 50_000));
          from += chunk.length;
          served.bytes += chunk.length;
          controller.enqueue(chunk);
        } else controller.close(); // If this is before the declared length, the connection breaks.
      },
    });
    return new Response(body, { status: response["content-range"] ? 206 : 200, headers: response });
  });
  served.url = `http://127.0.0.1:${server.addr.port}/model.onnx`;
  try {
    await use(served);
  } finally {
    await server.shutdown();
  }
}

async function withFolder(use: (dir: string, names: () => string[]) => Promise<void>): Promise<void> {
  const dir = await Deno.makeTempDir({ prefix: "cutcache-test-" });
  try {
    await use(dir, () => [...Deno.readDirSync(dir)].map(({ name }) => name).sort());
  } finally {
    await Deno.remove(dir, { recursive: true });
  }
}

/** Runs `use` with a `download` into an empty folder that does not wait between attempts. */
async function withDownload(
  behaviour: Behaviour,
  use: (at: { served: Served; path: string; names: () => string[]; run: typeof download }) => Promise<void>,
) {
  await withServer(behaviour, async (served) => {
    await withFolder(async (dir, names) => {
      const run: typeof download = (source, options) =>
        download(source, { sleep: () => Promise.resolve(), ...options });
      await use({ served, path: join(dir, "model.onnx"), names, run });
    });
  });
}

const isComplete = async (path: string) => assert.equal(`sha256:${hex("sha256", await Deno.readFile(path))}`, SHA256);

Deno.test("download › a complete file gets its name, and nothing else remains", async () => {
  for (const digest of [SHA256, MD5]) {
    await withDownload({ etag: '"1"' }, async ({ served, path, names, run }) => {
      const seen: number[] = [];
      const result = await run({ url: served.url, path, digest }, {
        onProgress(bytes, total) {
          assert.equal(total, FILE.length);
          seen.push(bytes);
        },
      });
      assert.deepEqual(result, { bytes: FILE.length, resumedAt: 0 });
      await isComplete(path);
      assert.deepEqual(names(), ["model.onnx"]);
      assert.deepEqual(seen, seen.toSorted((a, b) => a - b));
      assert.equal(seen.at(-1), FILE.length);
    });
  }
});

Deno.test("download › resumes where a connection was cut, with If-Range", async () => {
  const validators = [{ etag: '"1"' }, { lastModified: "Sun, 22 Nov 2026 00:00:00 GMT" }, {}];
  for (const validator of validators) {
    await withDownload({ ...validator, cut: { after: 500_000, times: 3 } }, async ({ served, path, run }) => {
      await run({ url: served.url, path, digest: SHA256 });
      await isComplete(path);
      assert.equal(served.requests.length, 4);
      assert.equal(served.requests[3].get("if-range"), Object.values(validator)[0] ?? null);
      const repeated = served.bytes - FILE.length;
      // Some of the bytes that the server had sent when the connection was cut may not have arrived.
      assert.ok(repeated >= 0 && repeated < 1_500_000, `${repeated} bytes were sent twice`);
    });
  }
});

Deno.test("download › a later run resumes the part that an earlier run left", async () => {
  await withDownload({ etag: '"1"', cut: { after: 2_000_000 } }, async ({ served, path, names, run }) => {
    const source = { url: served.url, path, digest: MD5 };
    await assert.rejects(run(source, { retries: 0 }), DownloadError);
    assert.deepEqual(names(), ["model.onnx.part", "model.onnx.part.validator"]);
    const { size } = await Deno.stat(`${path}.part`);
    assert.ok(size > 0 && size <= 2_000_000);
    served.bytes = 0;
    assert.deepEqual(await run(source), { bytes: FILE.length, resumedAt: size });
    assert.equal(served.bytes, FILE.length - size);
    await isComplete(path);
    assert.deepEqual(names(), ["model.onnx"]);
  });
});

Deno.test("download › discards a part of another version of the file", async () => {
  await withDownload({ etag: '"2"' }, async ({ served, path, run }) => {
    await Deno.writeTextFile(`${path}.part`, "of the first version");
    await Deno.writeTextFile(`${path}.part.validator`, '"1"');
    await run({ url: served.url, path, digest: SHA256 });
    assert.equal(served.requests.length, 1);
    assert.equal(served.bytes, FILE.length);
    await isComplete(path);
  });
});

Deno.test("download › starts over if the server ignores or refuses Range", async () => {
  await withDownload({ ignoresRange: true, cut: { after: 500_000 } }, async ({ served, path, run }) => {
    await run({ url: served.url, path, digest: SHA256 });
    assert.equal(served.bytes, FILE.length + 500_000);
    await isComplete(path);
  });
  await withDownload({ refusesRange: true, cut: { after: 500_000 } }, async ({ served, path, run }) => {
    await run({ url: served.url, path, digest: SHA256 });
    assert.equal(served.bytes, FILE.length + 500_000);
    await isComplete(path);
  });
});

Deno.test("download › transfers nothing if the part is already complete", async () => {
  await withDownload({}, async ({ served, path, run }) => {
    await Deno.writeFile(`${path}.part`, FILE);
    await run({ url: served.url, path, digest: SHA256 });
    assert.equal(served.bytes, 0);
    await isComplete(path);
  });
});

Deno.test("download › refuses a file with another digest, and deletes it", async () => {
  const file = FILE.slice();
  file[1_234_567] ^= 1;
  await withDownload({ file, etag: '"1"' }, async ({ served, path, names, run }) => {
    const actual = `sha256:${hex("sha256", file)}`;
    await assert.rejects(run({ url: served.url, path, digest: SHA256 }), (error) => {
      assert.ok(error instanceof DownloadError);
      assert.match(error.message, new RegExp(`${actual}.*${SHA256}`));
      return true;
    });
    assert.deepEqual(names(), []);
  });
});

Deno.test("download › retries if the server is busy, but not if the file is missing", async () => {
  await withDownload({ first: [503, 429] }, async ({ served, path, run }) => {
    await run({ url: served.url, path, digest: SHA256 });
    assert.equal(served.requests.length, 3);
    await isComplete(path);
  });
  await withDownload({ first: [404] }, async ({ served, path, run }) => {
    await assert.rejects(run({ url: served.url, path, digest: SHA256 }), /returned 404/);
    assert.equal(served.requests.length, 1);
  });
});

Deno.test("download › gives up if every connection is cut without progress", async () => {
  await withDownload({ ignoresRange: true, cut: { after: 100_000, times: 99 } }, async ({ served, path, run }) => {
    await assert.rejects(run({ url: served.url, path, digest: SHA256 }, { retries: 2 }), DownloadError);
    assert.equal(served.requests.length, 3);
  });
});

Deno.test("download › gives up on a silent server", async () => {
  const server = Deno.serve({ hostname: "127.0.0.1", port: 0, onListen: () => {} }, ({ signal }) => {
    return new Promise((resolve) => signal.addEventListener("abort", () => resolve(new Response())));
  });
  await withFolder(async (dir) => {
    const source = { url: `http://127.0.0.1:${server.addr.port}/`, path: join(dir, "model.onnx"), digest: MD5 };
    await assert.rejects(download(source, { retries: 0, silenceMs: 50 }), /silent for 0.05 s/);
  });
  await server.shutdown();
});

async function model(...args: string[]) {
  const { code, stdout, stderr } = await new Deno.Command(Deno.execPath(), {
    args: ["run", "--quiet", "--no-prompt", "--allow-net", "--allow-read", "--allow-write", SCRIPT, ...args],
    env: { NO_COLOR: "1", NO_PROXY: "127.0.0.1" },
  }).output();
  const text = new TextDecoder();
  return { code, stdout: text.decode(stdout), stderr: text.decode(stderr) };
}

/** Writes a manifest with the fields that a download needs, and returns the flags for it. */
async function ownManifest(dir: string, digest = SHA256): Promise<string[]> {
  const path = join(dir, "own.json");
  await Deno.writeTextFile(path, JSON.stringify({ name: "own", licence: "MIT", digest }));
  return ["--manifest", path, "--to", join(dir, "models")];
}

Deno.test("deno task model › pulls a file once, and not again while it is up to date", async () => {
  await withServer({ etag: '"1"' }, async (served) => {
    await withFolder(async (dir) => {
      const flags = [...await ownManifest(dir), "--from", served.url];
      const first = await model("pull", "own", ...flags);
      assert.equal(first.code, 0, first.stderr);
      assert.match(first.stdout, /own\.onnx: 3\.0 MB/);
      await isComplete(join(dir, "models/own.onnx"));
      const second = await model("pull", "own", ...flags);
      assert.equal(second.code, 0);
      assert.match(second.stdout, /already up to date/);
      assert.equal(served.requests.length, 1);

      await Deno.writeTextFile(join(dir, "models/own.onnx"), "another file");
      const third = await model("pull", "own", ...flags);
      assert.equal(third.code, 1);
      assert.match(third.stderr, /remove it first/);
    });
  });
});

Deno.test("deno task model › exits with 1 and leaves no file if the digest differs", async () => {
  await withServer({}, async (served) => {
    await withFolder(async (dir) => {
      const expected = `md5:${"0".repeat(32)}`;
      const { code, stderr } = await model("pull", ...await ownManifest(dir, expected), "--from", served.url);
      assert.equal(code, 1);
      assert.match(stderr, new RegExp(`${MD5}, not ${expected}`));
      assert.deepEqual([...Deno.readDirSync(join(dir, "models"))], []);
    });
  });
});

Deno.test("deno task model › exits with 2 for invalid arguments, and for an unknown model, with a list of the known ones", async () => {
  const { code, stderr } = await model("pull", "u3net");
  assert.equal(code, 2);
  assert.match(stderr, /"u3net"[^]*birefnet-general-lite, isnet-general-use, silueta, u2net, u2net_human_seg/);
  const invalid = [[], ["push"], ["pull"], ["pull", "u2net", "u2netp"], ["pull", "u2net", "--from", "file:///x"], [
    "--x",
  ]];
  for (const args of invalid) assert.equal((await model(...args)).code, 2, args.join(" "));
});

Deno.test("deno task model › lists the models, and prints the usage text", async () => {
  const { code, stdout } = await model("list");
  assert.equal(code, 0);
  assert.match(stdout, /^isnet-general-use +Apache-2\.0 +(not )?installed$/m);
  assert.match((await model("--help")).stdout, /^Usage: deno task model/);
});

Deno.test("static/models › every manifest is valid, has the name of its file, and has the URL of the model or of the export that it is made from", async () => {
  for await (const { name } of Deno.readDir(MODELS)) {
    if (!name.endsWith(".json") || name.endsWith(".plan.json")) continue;
    const manifest = manifestSchema.parse(JSON.parse(await Deno.readTextFile(join(MODELS, name))));
    assert.equal(`${manifest.name}.json`, name);
    assert.match(manifest.url ?? manifest.export?.url ?? "", /^https:/);
    assert.ok(URL.canParse(manifest.source));
  }
});
