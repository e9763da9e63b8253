import assert from "node:assert/strict";
import { discImage } from "../support/images.ts";
import { TestServer } from "../support/server.ts";

/** Deno's HTTP parser refuses these requests before the server sees them; docs/operations.md describes the error. */
const REFUSED_BY = { from: [2, 8, 3], to: [2, 9, 6] };

function compare(a: number[], b: number[]): number {
  return a.map((part, i) => part - b[i]).find((difference) => difference !== 0) ?? 0;
}

/** As Java's HttpClient and `curl --http2` send it by default (RFC 7540, section 3.2): an offer that may be ignored. */
async function postWithUpgrade(server: TestServer, body: Uint8Array): Promise<string> {
  const { hostname, port, host } = new URL(server.url);
  using connection = await Deno.connect({ hostname, port: Number(port) });
  const head = [
    "POST /cutouts HTTP/1.1",
    `Host: ${host}`,
    "Connection: Upgrade, HTTP2-Settings",
    "HTTP2-Settings: AAEAAEAAAAIAAAABAAMAAABkAAQBAAAAAAUAAEAA",
    "Upgrade: h2c",
    "Content-Type: image/png",
    `Content-Length: ${body.length}`,
  ];
  const request = new Uint8Array([...new TextEncoder().encode(`${head.join("\r\n")}\r\n\r\n`), ...body]);
  await connection.write(request);
  const answer = new Uint8Array(64);
  const length = await connection.read(answer) ?? 0;
  return new TextDecoder().decode(answer.subarray(0, length)).split("\r\n")[0];
}

Deno.test("upgrade › an offer of HTTP/2 is ignored, except by the versions of Deno that refuse it", async () => {
  const version = Deno.version.deno.split(".").map(Number);
  const refuses = compare(version, REFUSED_BY.from) >= 0 && compare(version, REFUSED_BY.to) <= 0;
  await using server = await TestServer.quick();
  // If a later version accepts it: say so in docs/operations.md, and raise Deno's version.
  assert.equal(await postWithUpgrade(server, await discImage(1)), `HTTP/1.1 ${refuses ? "400 Bad Request" : "200 OK"}`);
});
