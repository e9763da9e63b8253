import assert from "node:assert/strict";
import { join } from "node:path";
import denoJson from "../../deno.json" with { type: "json" };
import { settings } from "../../src/config.ts";
import { misspeltSettings, startCommand, stopDeadlineMs } from "../../tools/start.ts";
import { fixture } from "../support/images.ts";
import { descendants } from "../support/processes.ts";
import { TestServer } from "../support/server.ts";

/** The permission flags of a server that starts in this environment. */
function permissions(variables: Record<string, string>, native = false): string[] {
  const { args } = startCommand({ native, environment: (name) => variables[name] });
  return args.filter((arg) => /^(-P|--allow|-A)/.test(arg) && !arg.startsWith("--allow-net"));
}

Deno.test("start › the server may read only its code, models and cache, and write only its cache", () => {
  const { CACHE_DIR } = settings.parse({});
  const defaults = ["-P=start", `--allow-read=src,static,${CACHE_DIR}`, `--allow-write=${CACHE_DIR}`];
  assert.deepEqual(permissions({}), defaults);
  assert.deepEqual(permissions({ CACHE_DIR: "", MODEL_PATH: "", MODEL_MANIFEST: "" }), defaults);
  const variables = { CACHE_DIR: "/a cache", MODEL_PATH: "/my models/m.onnx", MODEL_MANIFEST: "/my models/m.json" };
  assert.deepEqual(permissions(variables), [
    "-P=start",
    "--allow-read=src,static,/a cache,/my models/m.onnx,/my models/m.json,/my models/m.plan.json",
    "--allow-write=/a cache",
  ]);
  assert.deepEqual(permissions(variables, true), [
    "-P=start",
    "--allow-read",
    "--allow-env",
    "--allow-sys",
    "--allow-ffi",
    "--allow-write=/a cache",
  ]);
});

Deno.test("start › the server may use its port, Redis and the CDN's address; with ALLOW_IMAGE_URLS the whole network", () => {
  const network = (variables: Record<string, string>) =>
    startCommand({ native: false, environment: (name) => variables[name] }).args.find((arg) =>
      /^--allow-net/.test(arg)
    );
  const { HOST, PORT, CDN_PURGE_URL } = settings.parse({});
  assert.equal(network({}), `--allow-net=${HOST}:${PORT},${new URL(CDN_PURGE_URL).hostname}:80`);
  const upstash = {
    HOST: "::1",
    PORT: "80",
    CDN_PURGE_URL: "off",
    UPSTASH_REDIS_REST_URL: "https://eu1-a-1.upstash.io",
    ALLOW_IMAGE_URLS: "false",
  };
  assert.equal(network(upstash), "--allow-net=[::1]:80,eu1-a-1.upstash.io:443");
  const gateway = { CDN_PURGE_URL: "off", UPSTASH_REDIS_REST_URL: "http://srh:8079/" };
  assert.equal(network(gateway), "--allow-net=0.0.0.0:8000,srh:8079");
  for (const on of ["true", "1", "yes", "on"]) assert.equal(network({ ALLOW_IMAGE_URLS: on }), "--allow-net");
});

Deno.test("start › a server is killed two seconds after its own deadline", () => {
  const { DRAIN_SECONDS, DRAIN_DELAY_SECONDS } = settings.parse({});
  assert.equal(stopDeadlineMs(() => undefined), 1000 * (DRAIN_SECONDS + DRAIN_DELAY_SECONDS) + 2000);
  assert.equal(stopDeadlineMs((name) => name === "DRAIN_SECONDS" ? "4" : "3"), 9000);
});

Deno.test("start › deno.json does not allow writing files, running programs or loading native libraries", () => {
  assert.deepEqual(Object.keys(denoJson.permissions.start).sort(), ["env", "read", "sys"]);
  assert.deepEqual(denoJson.permissions.start.sys, ["systemMemoryInfo"]);
});

Deno.test("start › a model and a cache folder with spaces in their paths work", async () => {
  const folder = await Deno.makeTempDir({ prefix: "cutcache test " });
  try {
    const model = { MODEL_PATH: join(folder, "a model.onnx"), MODEL_MANIFEST: join(folder, "a model.json") };
    await Deno.copyFile("static/models/u2netp-fast.onnx", model.MODEL_PATH);
    await Deno.copyFile("static/models/u2netp-fast.json", model.MODEL_MANIFEST);
    const cacheDir = join(folder, "a cache", "within another");
    await using server = await TestServer.start({ ...model, CACHE_DIR: cacheDir });
    await server.cutout("chelsea.jpg", fixture("chelsea.jpg"));
    assert.equal((await (await server.fetch("/metadata")).json()).name, "u2netp-fast");
    await server.settled();
    assert.ok((await Deno.stat(join(cacheDir, "cutcache.sqlite"))).size > 0);
  } finally {
    await Deno.remove(folder, { recursive: true });
  }
});

Deno.test("start › refuses a path with a comma, which would become two paths in a permission flag", async () => {
  for (const name of ["CACHE_DIR", "MODEL_PATH", "MODEL_MANIFEST"]) {
    assert.throws(() => permissions({ [name]: "/tmp,/etc" }), new RegExp(`${name}="/tmp,/etc".*comma`));
  }
  await assert.rejects(TestServer.start({ CACHE_DIR: "/tmp,/etc" }), /cannot start: CACHE_DIR.*comma/);
});

Deno.test("start › exits with the exit code of the server", async () => {
  const { code, stderr } = await new Deno.Command(Deno.execPath(), {
    args: ["task", "--quiet", "start"],
    env: { PORT: "no port" },
    stdin: "null",
  }).output();
  assert.equal(code, 1);
  assert.match(new TextDecoder().decode(stderr), /PORT="no port"/);
});

for (const signal of ["SIGINT", "SIGTERM", "SIGHUP"] as const) {
  Deno.test(`start › passes ${signal} on to the server, and leaves no process behind`, async () => {
    await using server = await TestServer.quick();
    const processes = descendants(server.pid);
    assert.ok(processes.some(({ command }) => command.includes("src/main.ts")));
    const { code } = await server.stop(signal);
    // The server does not handle SIGHUP, so the signal ends it.
    assert.equal(code, signal === "SIGHUP" ? 129 : 0);
    assert.equal(server.logs.at(-1)!.message === "stopped", signal !== "SIGHUP");
    assert.deepEqual(processes.filter(({ pid }) => isRunning(pid)), []);
  });
}

Deno.test("start › after Ctrl+C, which reaches all processes of the task, the server drains before it stops", async () => {
  // A separate process group, like the one that a shell creates for each command.
  const command = ["setsid", Deno.execPath(), "task", "--quiet", "start"];
  await using server = await TestServer.quick({}, { command, checked: false });
  const cutout = server.cutout("chelsea.jpg", fixture("chelsea.jpg"));
  await server.logged(({ message }) => message.startsWith("START POST"));
  Deno.kill(-server.pid, "SIGINT");
  const stopping = server.stop("SIGINT");
  await cutout;
  assert.equal((await stopping).code, 0);
  assert.equal(server.logs.at(-1)!.message, "stopped");
});

function isRunning(pid: number): boolean {
  try {
    return !/^State:\s+Z/m.test(Deno.readTextFileSync(`/proc/${pid}/status`));
  } catch {
    return false;
  }
}

Deno.test("start › misspelt settings are named, other programs' variables are not", () => {
  assert.deepEqual(misspeltSettings(["CACHE_STOER", "MAX_PIXEL", "PATH", "HOME", "CACHE_DIR", "LC_ALL", "SSH_TTY"]), [
    "CACHE_STOER is not a setting: did you mean CACHE_STORE?",
    "MAX_PIXEL is not a setting: did you mean MAX_PIXELS?",
  ]);
});

Deno.test("start › what keeps the server from starting is one clear sentence, without a stack", async (t) => {
  using taken = Deno.listen({ hostname: "127.0.0.1", port: 0 });
  const { port } = taken.addr;
  const cases: [env: Record<string, string>, message: RegExp][] = [
    [{ PORT: `${port}` }, new RegExp(`^port ${port} is taken by another program\\. .*PORT=8001\\.$`)],
    [{ HOST: "192.0.2.1" }, /^this machine does not have the address HOST=192\.0\.2\.1\. /],
    [
      { CACHE_DIR: "/dev/null/cache" },
      /^CACHE_DIR=\/dev\/null\/cache cannot be written: .*CACHE_STORE=memory to keep results in memory only\.$/,
    ],
    [{ MODEL: "isnet-anime" }, /^the model isnet-anime is not here: `deno task model pull isnet-anime` fetches it/],
    [{ MODEL_PATH: "/model.onnx" }, /^your own model needs both .*; set MODEL_MANIFEST too$/],
    [{ CACHE_STORE: "upstash", UPSTASH_REDIS_REST_TOKEN: "t" }, /; set UPSTASH_REDIS_REST_URL too$/],
  ];
  for (const [env, message] of cases) {
    await t.step(Object.keys(env).join(), async () => {
      const { code, stderr } = await new Deno.Command(Deno.execPath(), {
        args: ["task", "--quiet", "start"],
        env: { HOST: "127.0.0.1", PORT: "0", CACHE_STORE: "sqlite", MODEL: "u2netp-fast", NO_COLOR: "1", ...env },
        stdin: "null",
      }).output();
      const [, said] = /^Cutcache cannot start: (.*)$/m.exec(new TextDecoder().decode(stderr)) ?? [];
      assert.equal(code, 1);
      assert.match(said, message);
      assert.doesNotMatch(new TextDecoder().decode(stderr), /^\s+at /m);
    });
  }
});

Deno.test("start › --help prints the usage, an unknown argument is an error", async () => {
  const run = async (...args: string[]) => {
    const { code, stdout } = await new Deno.Command(Deno.execPath(), { args, stdin: "null" }).output();
    return { code, stdout: new TextDecoder().decode(stdout) };
  };
  for (const args of [["task", "--quiet", "start", "--help"], ["run", "-A", "src/main.ts", "--help"]]) {
    const { code, stdout } = await run(...args);
    assert.equal(code, 0);
    assert.match(stdout, /^Usage: deno task start\n[^]*PORT=8000[^]*http:\/\/localhost:8000/);
  }
  assert.equal((await run("task", "--quiet", "start", "--port", "80")).code, 2);
});

Deno.test("start › tells where to look, and a command that shows errors, with a token if one is needed", async () => {
  const server = await TestServer.start({ MODEL: "u2netp-fast", API_TOKENS: "0123456789abcdef" });
  const { stderr } = await server.stop();
  assert.match(stderr, /\nOpen http:\/\/127\.0\.0\.1:\d+\n/);
  assert.match(stderr, / {2}curl -fS -H "Authorization: Bearer \$TOKEN" --data-binary @tests/);
});
