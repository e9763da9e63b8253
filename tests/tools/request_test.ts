import assert from "node:assert/strict";
import { join } from "node:path";
import { requestAll, type RequestOptions } from "../../tools/request.ts";
import { listFolder } from "../../tools/request/folder.ts";
import { ClosedPort } from "../support/image_server.ts";

const PNG_SIGNATURE = [0x89, 0x50, 0x4e, 0x47, 0x0d, 0x0a, 0x1a, 0x0a];
const SCRIPT = join(import.meta.dirname!, "../../tools/request.ts");

/** A cutout that contains its image's name, so that mix-ups are detected. */
const cutoutOf = (name: string) => new Uint8Array([...PNG_SIGNATURE, ...new TextEncoder().encode(`bytes of ${name}`)]);

function ok(name: string, headers: HeadersInit = {}): Response {
  return Response.json({ status: "ok", img_none_bg_base64: cutoutOf(name).toBase64() }, { headers });
}

function ng(status: number, message: string, headers: HeadersInit = {}): Response {
  const error = { code: "test_code", message };
  return Response.json({ status: "ng", img_none_bg_base64: null, error }, { status, headers });
}

interface Folders {
  inDir: string;
  outDir: string;
  /** The names in the output folder, sorted. */
  written(): string[];
}

/** Creates an input folder with these files, each of which contains `bytes of NAME`, and removes everything after `use`. */
async function withFolders(names: string[], use: (folders: Folders) => Promise<void>) {
  const root = await Deno.makeTempDir();
  const [inDir, outDir] = [join(root, "in"), join(root, "out/cutouts")];
  try {
    await Deno.mkdir(inDir);
    for (const name of names) await Deno.writeTextFile(join(inDir, name), `bytes of ${name}`);
    await use({ inDir, outDir, written: () => [...Deno.readDirSync(outDir)].map(({ name }) => name).sort() });
  } finally {
    await Deno.remove(root, { recursive: true });
  }
}

/** Serves `POST /predict` with `respond` while `use` runs; `received` collects the names in order. */
async function withServer(
  respond: (name: string, attempt: number) => Response | Promise<Response>,
  use: (port: number, received: string[]) => Promise<void>,
) {
  const received: string[] = [];
  const server = Deno.serve({ hostname: "127.0.0.1", port: 0, onListen: () => {} }, async (request) => {
    if (request.method !== "POST" || new URL(request.url).pathname !== "/predict") return ng(404, "no such route");
    const { file_path: name, img_base64 } = await request.json();
    if (new TextDecoder().decode(Uint8Array.fromBase64(img_base64)) !== `bytes of ${name}`) return ng(400, "mix-up");
    received.push(name);
    return respond(name, received.filter((other) => other === name).length);
  });
  try {
    await use(server.addr.port, received);
  } finally {
    await server.shutdown();
  }
}

function command(args: string[]): Deno.Command {
  const permissions = ["--allow-net", "--allow-read", "--allow-write", "--allow-env"];
  return new Deno.Command(Deno.execPath(), {
    args: ["run", "--quiet", ...permissions, SCRIPT, ...args],
    env: { NO_COLOR: "1", NO_PROXY: "127.0.0.1" },
    stdout: "piped",
    stderr: "piped",
  });
}

async function run(args: string[]) {
  const { code, stdout, stderr } = await command(args).output();
  return { code, stdout: new TextDecoder().decode(stdout), stderr: new TextDecoder().decode(stderr) };
}

const flags = (port: number, { inDir, outDir }: Folders, ...more: string[]) => [
  ...["--host", "127.0.0.1", "--port", String(port), "--in_images_dir", inDir, "--out_images_dir", outDir],
  ...more,
];

Deno.test("request › names each cutout after its image", () =>
  withFolders(["b.jpg", "a.PNG", "c d.webp"], (folders) =>
    withServer((name) => ok(name), async (port, received) => {
      const { code, stdout } = await run(flags(port, folders, "--concurrency", "1"));
      assert.equal(code, 0);
      assert.deepEqual(received, ["a.PNG", "b.jpg", "c d.webp"]);
      assert.deepEqual(folders.written(), ["a.png", "b.png", "c d.png"]);
      assert.deepEqual(await Deno.readFile(join(folders.outDir, "b.png")), cutoutOf("b.jpg"));
      assert.match(stdout, /^files +3\nok +3\nhits +0\nmisses +0\nfailures +0\nelapsed +\d+\.\d s$/m);
    })));

Deno.test("request › continues after a failure and exits with 1", () =>
  withFolders(
    ["a.jpg", "b.jpg", "c.jpg"],
    (folders) =>
      withServer((name) => name === "b.jpg" ? ng(422, "cannot \x1b[2J decode") : ok(name), async (port, received) => {
        const { code, stdout, stderr } = await run(flags(port, folders));
        assert.equal(code, 1);
        assert.match(stderr, /^failed: b\.jpg: test_code: cannot {2}\[2J decode$/m);
        assert.match(stdout, /^ok +2$/m);
        assert.match(stdout, /^failures +1$/m);
        assert.equal(received.length, 3);
        assert.deepEqual(folders.written(), ["a.png", "c.png"]);
      }),
  ));

Deno.test("request › retries a 503 after its Retry-After", () =>
  withFolders(["a.jpg"], (folders) => {
    const times: number[] = [];
    return withServer((name, attempt) => {
      times.push(performance.now());
      return attempt === 1 ? ng(503, "busy", { "Retry-After": "1" }) : ok(name);
    }, async (port) => {
      assert.equal((await run(flags(port, folders))).code, 0);
      assert.equal(times.length, 2);
      assert.ok(times[1] - times[0] >= 990, `retried after ${times[1] - times[0]} ms`);
      assert.deepEqual(folders.written(), ["a.png"]);
    });
  }));

Deno.test("request › gives up when no retries are left", () =>
  withFolders(
    ["a.jpg"],
    (folders) =>
      withServer(() => ng(429, "too many", { "Retry-After": "0" }), async (port, received) => {
        const { code, stderr } = await run(flags(port, folders));
        assert.equal(code, 1);
        assert.equal(received.length, 5);
        assert.match(stderr, /^failed: a\.jpg: test_code: too many$/m);
        await run(flags(port, folders, "--retries", "1"));
        assert.equal(received.length, 5 + 2);
      }),
  ));

Deno.test("request › counts hits and misses by Cache-Status", () =>
  withFolders(["a.jpg", "b.jpg", "c.jpg", "d.jpg"], (folders) =>
    withServer((name) => {
      if (name === "d.jpg") return ok(name);
      return ok(name, { "Cache-Status": `Cutcache; ${name === "a.jpg" ? "fwd=miss; stored" : "hit; detail=memory"}` });
    }, async (port) => {
      const { stdout, stderr } = await run(flags(port, folders));
      assert.match(stdout, /^ok +4\nhits +2, median \d+ ms\nmisses +1, median \d+ ms$/m);
      assert.match(stderr, /4\/4 \| hits 2 \| misses 1 \| failures 0/);
    })));

Deno.test("request › never sends more than --concurrency images at once", () =>
  withFolders(Array.from({ length: 9 }, (_, i) => `${i}.jpg`), (folders) => {
    let inFlight = 0;
    let maxInFlight = 0;
    const { promise: three, resolve: threeArrived } = Promise.withResolvers<void>();
    return withServer(async (name) => {
      maxInFlight = Math.max(maxInFlight, ++inFlight);
      if (inFlight === 3) threeArrived();
      await three;
      // Time for a fourth to arrive.
      await new Promise((resolve) => setTimeout(resolve, 50));
      inFlight--;
      return ok(name);
    }, async (port) => {
      assert.equal((await run(flags(port, folders, "--concurrency", "3"))).code, 0);
      assert.equal(maxInFlight, 3);
    });
  }));

Deno.test("request › ignores files that are not images, and lists them", () =>
  withFolders(["a.jpg", "notes.txt", ".jpg"], (folders) =>
    withServer((name) => ok(name), async (port, received) => {
      await Deno.mkdir(join(folders.inDir, "folder.png"));
      const { code, stdout } = await run(flags(port, folders));
      assert.equal(code, 0);
      assert.deepEqual(received, ["a.jpg"]);
      assert.match(stdout, /^ignored +3, not images: \.jpg, folder\.png, notes\.txt$/m);
    })));

Deno.test("request › gives images with the same stem different cutout names", () =>
  withFolders(["a.jpg", "a.png", "a.jpg.webp", "b.jpg"], (folders) =>
    withServer((name) => ok(name), async (port) => {
      assert.equal((await run(flags(port, folders))).code, 0);
      assert.deepEqual(folders.written(), ["a.jpg.png", "a.jpg.webp.png", "a.png.png", "b.png"]);
      assert.deepEqual(await Deno.readFile(join(folders.outDir, "a.jpg.png")), cutoutOf("a.jpg"));
    })));

Deno.test("request › a response without a cutout fails only its image", () => {
  const notCutouts: Record<string, () => Response> = {
    "cut-off.jpg": () => new Response('{"status":"ok","img_none_bg_base64":"iVBO'),
    "html.jpg": () => new Response("<h1>Bad Gateway</h1>", { status: 502, headers: { "Content-Type": "text/html" } }),
    "no-base64.jpg": () => Response.json({ status: "ok", img_none_bg_base64: "{}" }),
    "no-image.jpg": () => Response.json({ status: "ok", img_none_bg_base64: null }),
    "no-png.jpg": () => Response.json({ status: "ok", img_none_bg_base64: "aGVsbG8=" }),
  };
  return withFolders(
    [...Object.keys(notCutouts), "ok.jpg"],
    (folders) =>
      withServer((name) => notCutouts[name]?.() ?? ok(name), async (port) => {
        const { code, stderr } = await run(flags(port, folders));
        assert.equal(code, 1);
        assert.deepEqual(stderr.match(/^failed: .*$/gm)?.sort(), [
          "failed: cut-off.jpg: unexpected response body (HTTP 200)",
          "failed: html.jpg: unexpected response body (HTTP 502)",
          "failed: no-base64.jpg: the cutout in the response is not base64",
          "failed: no-image.jpg: unexpected response body (HTTP 200)",
          "failed: no-png.jpg: the cutout in the response is not a PNG",
        ]);
        assert.deepEqual(folders.written(), ["ok.png"]);
      }),
  );
});

Deno.test("request › an image without a response in time fails", () =>
  withFolders(["late.jpg", "ok.jpg"], (folders) => {
    const { promise, resolve } = Promise.withResolvers<void>();
    return withServer(async (name) => {
      if (name === "late.jpg") await promise;
      return ok(name);
    }, async (port, received) => {
      const { code, stderr } = await run(flags(port, folders, "--timeout", "3"));
      resolve();
      assert.equal(code, 1);
      assert.match(stderr, /^failed: late\.jpg: no response within 3 s$/m);
      assert.equal(received.length, 2);
      assert.deepEqual(folders.written(), ["ok.png"]);
    });
  }));

Deno.test("request › invalid arguments exit with 2, the reason and the usage text", () =>
  withFolders(["a.jpg"], async (folders) => {
    const missing = join(folders.inDir, "missing");
    const cases: [RegExp, string[]][] = [
      [/--colour/, flags(8000, folders, "--colour", "red")],
      [/^--in_images_dir is required; --out_images_dir is required$/m, []],
      [/--in_images_dir cannot be read/, flags(8000, { ...folders, inDir: missing })],
      [/--out_images_dir cannot be created/, flags(8000, { ...folders, outDir: join(folders.inDir, "a.jpg") })],
      [/must be different folders/, flags(8000, { ...folders, outDir: folders.inDir })],
      [/--port must be a whole number from 1 to 65535/, flags(8000, folders, "--port", "http")],
      [/--concurrency must be a whole number/, flags(8000, folders, "--concurrency", "0")],
      [/--host must be a host name or an IP address/, flags(8000, folders, "--host", "here/there")],
    ];
    for (const [reason, args] of cases) {
      const { code, stdout, stderr } = await run(args);
      assert.equal(code, 2, stderr);
      assert.match(stderr, reason);
      assert.match(stderr, /^Usage: deno task request/m);
      assert.equal(stdout, "");
    }
  }));

Deno.test("request › --help prints the usage text and exits with 0", async () => {
  const { code, stdout } = await run(["--help"]);
  assert.equal(code, 0);
  assert.match(stdout, /^Usage: deno task request/);
});

Deno.test({
  name: "request › Ctrl-C finishes the images in progress, starts no new ones and exits with 130",
  ignore: Deno.build.os === "windows", // cannot send Ctrl-C to a single child process
  fn: () =>
    withFolders(["a.jpg", "b.jpg", "c.jpg", "d.jpg", "e.jpg"], (folders) => {
      const started = Promise.withResolvers<void>();
      const released = Promise.withResolvers<void>();
      return withServer(async (name) => {
        if (name === "b.jpg") started.resolve();
        await released.promise;
        return ok(name);
      }, async (port, received) => {
        const child = command(flags(port, folders, "--concurrency", "2")).spawn();
        const stdout = new Response(child.stdout).text();
        await started.promise;
        child.kill("SIGINT");
        for await (const text of child.stderr.pipeThrough(new TextDecoderStream())) {
          if (text.includes("stopping")) released.resolve();
        }
        assert.equal((await child.status).code, 130);
        assert.match(await stdout, /^files +5\nunsent +3\nok +2$/m);
        assert.deepEqual(received.toSorted(), ["a.jpg", "b.jpg"]);
        assert.deepEqual(folders.written(), ["a.png", "b.png"]);
      });
    }),
});

/** Runs `requestAll` on a folder with `a.jpg`. Its `sleep` does not wait, but records the times. */
async function waitsMs(fetch: typeof globalThis.fetch, more: Partial<RequestOptions> = {}) {
  const waits: number[] = [];
  let failures: string[] = [];
  await withFolders(["a.jpg"], async ({ inDir, outDir }) => {
    const { images } = await listFolder(inDir);
    const options = {
      url: "http://127.0.0.1",
      tryDigest: false,
      inDir,
      outDir,
      concurrency: 1,
      timeoutMs: 60_000,
      retries: 4,
    };
    const sleep = (ms: number, stop?: AbortSignal) => {
      waits.push(ms);
      return stop?.aborted ? Promise.reject(stop.reason) : Promise.resolve();
    };
    failures = (await requestAll(images, { ...options, ...more }, { fetch, sleep })).failures.map((f) => f.message);
  });
  return { waits, failures };
}

const busy = (headers: HeadersInit = {}) => () => Promise.resolve(ng(503, "busy", headers));

Deno.test("requestAll › sends matting with an image, and asks for the digest's cutout with it", async () => {
  const queries: string[] = [];
  const bodies: unknown[] = [];
  const fetch = async (url: string | URL | Request, init?: RequestInit) => {
    const request = new Request(url, init);
    if (request.method === "GET") {
      queries.push(new URL(request.url).search);
      return ng(404, "unknown");
    }
    bodies.push((await request.json()).options);
    return ok("a.jpg");
  };
  await waitsMs(fetch, { tryDigest: true, matting: "hair" });
  await waitsMs(fetch, { tryDigest: true });
  assert.deepEqual(queries, ["?matting=hair", ""]);
  assert.deepEqual(bodies, [{ matting: "hair" }, undefined]);
});

Deno.test("requestAll › without Retry-After, doubles the wait each time", async () => {
  assert.deepEqual((await waitsMs(busy())).waits, [1_000, 2_000, 4_000, 8_000]);
  assert.deepEqual((await waitsMs(busy({ "Retry-After": "soon 1.5" }), { retries: 1 })).waits, [1_000]);
});

Deno.test("requestAll › accepts a date in Retry-After, and waits 60 s at most", async () => {
  const inFiftySeconds = new Date(Date.now() + 50_000).toUTCString();
  const [wait] = (await waitsMs(busy({ "Retry-After": inFiftySeconds }), { retries: 1 })).waits;
  assert.ok(wait > 5_000 && wait <= 50_000, `waited ${wait} ms`);
  assert.deepEqual((await waitsMs(busy({ "Retry-After": "3600" }), { retries: 1 })).waits, [60_000]);
  const past = new Date(0).toUTCString();
  assert.deepEqual((await waitsMs(busy({ "Retry-After": past }), { retries: 1 })).waits, [0]);
});

Deno.test("requestAll › retries a refused connection twice", async () => {
  using closed = await ClosedPort.keep();
  const { waits, failures } = await waitsMs(fetch, { url: `http://127.0.0.1:${closed.port}` });
  assert.deepEqual(waits, [1_000, 2_000]);
  assert.match(failures.join(), /^connection failed: .*refused/i);
});

Deno.test("requestAll › retries a connection that breaks during the response twice", async () => {
  const listener = Deno.listen({ hostname: "127.0.0.1", port: 0 });
  const serving = (async () => {
    for await (const connection of listener) {
      await connection.read(new Uint8Array(4096));
      await connection.write(new TextEncoder().encode('HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\n{"status":'));
      connection.close();
    }
  })();
  const { waits, failures } = await waitsMs(fetch, { url: `http://127.0.0.1:${listener.addr.port}` });
  listener.close();
  await serving;
  assert.deepEqual(waits, [1_000, 2_000]);
  assert.match(failures.join(), /^connection failed: /);
});

Deno.test("requestAll › does not wait for a retry after it is stopped", async () => {
  const interrupt = new AbortController();
  const fetch = () => {
    interrupt.abort();
    return busy()();
  };
  const { waits, failures } = await waitsMs(fetch, { stop: interrupt.signal });
  assert.equal(waits.length, 1);
  assert.deepEqual(failures, ["test_code: busy"]);
});
