import assert from "node:assert/strict";
import { setTimeout as delay } from "node:timers/promises";

const STOPS = 200;
const AT_ONCE = 4;

/** A server of its own process, which answers after 5 ms and stops at SIGTERM. */
const PROGRAM = `
import { GracefulServer } from ${JSON.stringify(import.meta.resolve("../../src/http/graceful_server.ts"))};
const server = GracefulServer.listen({ hostname: "127.0.0.1", port: 0 }, async () => {
  await new Promise((resolve) => setTimeout(resolve, 5));
  return new Response("answer");
});
Deno.addSignalListener("SIGTERM", async () => {
  await server.stop();
  Deno.exit(0);
});
console.log(server.address.port);
`;

/** Sends a request on a connection, and reads until the response is complete or the connection ends. */
async function exchange(connection: Deno.Conn): Promise<string> {
  await connection.write(new TextEncoder().encode("GET / HTTP/1.1\r\nHost: a\r\n\r\n"));
  const buffer = new Uint8Array(4096);
  let text = "";
  while (!text.endsWith("answer")) {
    const length = await connection.read(buffer);
    if (length === null) break;
    text += new TextDecoder().decode(buffer.subarray(0, length));
  }
  return text;
}

/** Resolves to whether the response after the signal ended its connection. */
async function stopOnce(program: string, stop: number): Promise<boolean> {
  const process = new Deno.Command(Deno.execPath(), { args: ["run", "-A", program], stdout: "piped" }).spawn();
  const reader = process.stdout.getReader();
  const port = Number(new TextDecoder().decode((await reader.read()).value));
  const [kept, fresh] = await Promise.all([0, 1].map(() => Deno.connect({ hostname: "127.0.0.1", port })));
  assert.match(await exchange(kept), /^HTTP\/1.1 200/, "the connection is kept alive");
  // From a request that is being answered when the signal comes, to one that comes after it.
  const first = exchange(fresh);
  await delay(stop % 8);
  process.kill("SIGTERM");
  await delay(stop % 5);
  const later = await exchange(kept).catch((error) => `${error}`);
  assert.match(await first, /^HTTP\/1.1 200[^]*answer$/, `stop ${stop}: a request that had begun was dropped`);
  assert.match(later, /^HTTP\/1.1 200[^]*answer$/, `stop ${stop}: a request on a connection that was kept was dropped`);
  for (const connection of [kept, fresh]) connection.close();
  assert.equal((await process.status).code, 0);
  await reader.cancel();
  return /^connection: close\r$/im.test(later);
}

Deno.test(`graceful server › ${STOPS} stops in the first milliseconds of a request drop none`, async () => {
  const program = await Deno.makeTempFile({ suffix: ".ts" });
  await Deno.writeTextFile(program, PROGRAM);
  let next = 0;
  let closed = 0;
  await Promise.all(Array.from({ length: AT_ONCE }, async () => {
    while (next < STOPS) if (await stopOnce(program, next++)) closed++;
  }));
  await Deno.remove(program);
  // The others were answered before the process had noticed its signal.
  assert.ok(closed > STOPS / 2, `only ${closed} responses ended their connections`);
});
