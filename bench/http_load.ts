/*
 * Load over raw connections, since a client that does more than it must would mostly measure itself.
 */

/** The bytes of a `POST` request with JSON. */
export function postJson(path: string, json: string): Uint8Array {
  const headers = ["Content-Type: application/json", `Content-Length: ${json.length}`];
  return new TextEncoder().encode(`POST ${path} HTTP/1.1\r\nHost: bench\r\n${headers.join("\r\n")}\r\n\r\n${json}`);
}

/** The bytes of a `GET` request. */
export function get(path: string, headers: Record<string, string> = {}): Uint8Array {
  const lines = Object.entries(headers).map(([name, value]) => `${name}: ${value}\r\n`);
  return new TextEncoder().encode(`GET ${path} HTTP/1.1\r\nHost: bench\r\n${lines.join("")}\r\n`);
}

/**
 * Sends the requests in turn, over and over, on each connection. Resolves to the latency of each response, in
 * milliseconds.
 * @throws {Error} if the status of a response is neither 200 nor 304.
 */
export async function drive(
  { url, requests, connections, milliseconds }: {
    url: string;
    requests: readonly Uint8Array[];
    connections: number;
    milliseconds: number;
  },
): Promise<number[]> {
  const { hostname, port } = new URL(url);
  const latencies: number[] = [];
  const end = performance.now() + milliseconds;
  let turn = 0;
  await Promise.all(Array.from({ length: connections }, async () => {
    using connection = await Deno.connect({ hostname, port: Number(port) });
    connection.setNoDelay();
    const buffer = new Uint8Array(262_144);
    for (let at = performance.now(); at < end;) {
      await exchange(connection, requests[turn++ % requests.length], buffer);
      const now = performance.now();
      latencies.push(now - at);
      at = now;
    }
  }));
  return latencies;
}

/** Sends one request and reads the whole response, of which it parses only the head. */
async function exchange(connection: Deno.TcpConn, request: Uint8Array, buffer: Uint8Array): Promise<void> {
  for (let sent = 0; sent < request.length;) sent += await connection.write(request.subarray(sent));
  let received = 0;
  let expected = Infinity;
  while (received < expected) {
    const count = await connection.read(buffer);
    if (count === null) throw new Error("the server closed the connection");
    if (received === 0) {
      const head = new TextDecoder("latin1").decode(buffer.subarray(0, Math.min(count, 2000)));
      const end = head.indexOf("\r\n\r\n") + 4;
      const [, status] = /^HTTP\/1.1 (\d+)/.exec(head) ?? [];
      if (end < 4 || (status !== "200" && status !== "304")) {
        throw new Error(`unexpected response: ${head.slice(0, 200)}`);
      }
      expected = end + (status === "304" ? 0 : Number(/^content-length: (\d+)/im.exec(head)![1]));
    }
    received += count;
  }
}
