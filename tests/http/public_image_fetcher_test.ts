import assert from "node:assert/strict";
import { generate } from "selfsigned";
import { AddressPolicy } from "../../src/http/safe_fetch/address_policy.ts";
import { PublicImageFetcher, type PublicImageFetcherOptions } from "../../src/http/safe_fetch/public_image_fetcher.ts";
import { ClosedPort, ImageServer, RawServer } from "../support/image_server.ts";
import { NameServer } from "../support/name_server.ts";

const IMAGE = new Uint8Array(200_000).map((_, i) => i);

/** Of 127.0.0.0/8 it permits only 127.0.0.1. Nothing may connect to 127.0.0.2. */
function fetcher(options: Partial<PublicImageFetcherOptions> = {}): PublicImageFetcher {
  return new PublicImageFetcher({
    policy: new AddressPolicy(["127.0.0.1/32"]),
    maxBytes: 1_000_000,
    maxPendingBytes: 10_000_000,
    timeoutMs: 60_000,
    ...options,
  });
}

const publicOnly = () => fetcher({ policy: new AddressPolicy() });
const image = () => new Response(IMAGE, { headers: { "Content-Type": "image/png" } });
const redirect = (location: string, status = 302) => new Response(null, { status, headers: { Location: location } });

/** A self-signed certificate, in PEM. */
async function certificate(name: string): Promise<{ cert: string; key: string }> {
  const { cert, private: key } = await generate([{ name: "commonName", value: name }], {
    keyType: "ec",
    extensions: [
      { name: "basicConstraints", cA: true },
      { name: "subjectAltName", altNames: [{ type: 2, value: name }] },
    ],
  });
  return { cert, key };
}

/** A server at the same port of an address that is not permitted. */
const forbidden = ({ port }: { port: number }) => new RawServer("", { hostname: "127.0.0.2", port });

Deno.test("image fetcher › fetches an image, with and without a declared length", async () => {
  await using server = new ImageServer(({ url }) =>
    new URL(url).pathname === "/declared"
      ? image()
      : new Response(ReadableStream.from([IMAGE.subarray(0, 7), IMAGE.subarray(7)]))
  );
  const images = fetcher();
  assert.deepEqual(await images.fetch(`${server.url}/declared`), IMAGE);
  assert.deepEqual(await images.fetch(`${server.url}/streamed?a=b#c`), IMAGE);
  assert.equal(new URL(server.requests[1].url).search, "?a=b");
  assert.equal(images.pendingBytes, 0);
});

Deno.test("image fetcher › sends no credentials, cookies or referrer, even after a redirect that sets a cookie", async () => {
  await using server = new ImageServer(({ url }) => {
    if (new URL(url).pathname !== "/") return image();
    return new Response(null, { status: 302, headers: { "Location": "/next", "Set-Cookie": "a=b" } });
  });
  await fetcher().fetch(server.url);
  assert.equal(server.requests.length, 2);
  for (const { headers } of server.requests) {
    assert.deepEqual([...headers.keys()].toSorted(), ["accept", "accept-encoding", "connection", "host", "user-agent"]);
    assert.equal(headers.get("Accept-Encoding"), "identity");
  }
});

Deno.test("image fetcher › refuses anything but http(s) URLs, and URLs with a password", async () => {
  const addresses = ["photo.jpg", "//example.com/a", "file:///etc/passwd", "data:image/png;base64,AA", "ftp://a/b", ""];
  for (const address of [...addresses, "http://a:b@127.0.0.1/", "http://1.2.3.4.5/", `http://a/${"a".repeat(8000)}`]) {
    await assert.rejects(fetcher().fetch(address), { status: 422, code: "invalid_image_url" }, address.slice(0, 80));
  }
});

Deno.test("image fetcher › refuses loopback in every notation, without a connection", async () => {
  await using target = new RawServer();
  const hosts = [
    "127.0.0.1",
    "2130706433",
    "0177.0.0.1",
    "127.1",
    "[::ffff:127.0.0.1]",
    "[64:ff9b::7f00:1]",
    "localhost",
  ];
  for (const host of [...hosts, "0.0.0.0", "[::]", "[::1]"]) {
    const address = `http://${host}:${target.port}/`;
    await assert.rejects(publicOnly().fetch(address), { status: 403, code: "image_url_refused" }, host);
  }
  assert.equal(target.connections, 0);
});

Deno.test("image fetcher › connects to the address from the DNS server, and sends the name as Host", async () => {
  await using server = new ImageServer(image);
  await using names = await NameServer.start({ "images.test": () => ["127.0.0.1"] });
  const images = fetcher({ nameServer: names.address });
  assert.deepEqual(await images.fetch(`http://images.test:${server.port}/a`), IMAGE);
  assert.equal(server.requests[0].headers.get("Host"), `images.test:${server.port}`);
  assert.deepEqual(names.lookups, ["images.test"], "looked up once");
});

Deno.test("image fetcher › refuses a name with a permitted and a forbidden address, in either order, without a connection", async () => {
  await using permitted = new RawServer();
  await using blocked = forbidden(permitted);
  const addresses = ["127.0.0.1", "127.0.0.2"];
  await using names = await NameServer.start({
    "two.test": () => addresses,
    "owt.test": () => addresses.toReversed(),
  });
  for (const name of ["two.test", "owt.test"]) {
    const fetching = fetcher({ nameServer: names.address }).fetch(`http://${name}:${permitted.port}/`);
    await assert.rejects(fetching, (error: Error & { code: string }) => {
      assert.equal(error.code, "image_url_refused");
      assert.doesNotMatch(error.message, /127\.0/, "the message does not reveal the address");
      return true;
    });
  }
  assert.deepEqual([permitted.connections, blocked.connections], [0, 0]);
});

Deno.test("image fetcher › uses the second address of a name if the first does not answer", async () => {
  await using server = new ImageServer(image, { hostname: "127.0.0.3" });
  await using names = await NameServer.start({ "two.test": () => ["127.0.0.1", "127.0.0.3"] });
  const images = fetcher({ policy: new AddressPolicy(["127.0.0.0/8"]), nameServer: names.address });
  assert.deepEqual(await images.fetch(`http://two.test:${server.port}/`), IMAGE);
});

Deno.test("image fetcher › connects to the address that it checked, even if the name is rebound afterwards", async () => {
  await using server = new ImageServer(image);
  await using blocked = forbidden(server);
  let lookups = 0;
  await using names = await NameServer.start({ "rebinds.test": () => [lookups++ === 0 ? "127.0.0.1" : "127.0.0.2"] });
  const images = fetcher({ nameServer: names.address });
  const address = `http://rebinds.test:${server.port}/`;
  assert.deepEqual(await images.fetch(address), IMAGE);
  assert.equal(lookups, 1, "looked up once");
  await assert.rejects(images.fetch(address), { status: 403, code: "image_url_refused" });
  assert.equal(lookups, 2);
  assert.equal(blocked.connections, 0);
});

Deno.test("image fetcher › refuses a name that is rebound between redirects", async () => {
  await using server = new ImageServer(() => redirect("/again"));
  await using blocked = forbidden(server);
  let lookups = 0;
  await using names = await NameServer.start({ "rebinds.test": () => [lookups++ === 0 ? "127.0.0.1" : "127.0.0.2"] });
  const fetching = fetcher({ nameServer: names.address }).fetch(`http://rebinds.test:${server.port}/`);
  await assert.rejects(fetching, { status: 403, code: "image_url_refused" });
  assert.deepEqual([server.requests.length, blocked.connections], [1, 0]);
});

Deno.test("image fetcher › follows up to three redirects, of every status", async () => {
  await using server = new ImageServer(({ url }) => {
    const left = Number(new URL(url).pathname.slice(1));
    return left === 0 ? image() : redirect(`/${left - 1}`, [301, 303, 307, 308][left - 1]);
  });
  assert.deepEqual(await fetcher().fetch(`${server.url}/3`), IMAGE);
  await assert.rejects(fetcher().fetch(`${server.url}/4`), { status: 502, code: "image_url_failed" });
  assert.equal(server.requests.length, 4 + 4);
});

Deno.test("image fetcher › refuses a redirect to a forbidden address, to another scheme, or with a password", async () => {
  let location = "";
  await using server = new ImageServer(() => redirect(location));
  await using blocked = forbidden(server);
  await using names = await NameServer.start({ "blocked.test": () => ["127.0.0.2"] });
  const { port } = blocked;
  const forbiddenOnes = [`http://127.0.0.2:${port}/`, `http://[::ffff:127.0.0.2]:${port}/`, `//blocked.test:${port}/`];
  const others = [
    "file:///etc/passwd",
    "ftp://127.0.0.1/",
    "data:image/png,",
    `http://a:b@127.0.0.1:${port}/`,
    "http://[",
  ];
  for (location of [...forbiddenOnes, ...others]) {
    const fetching = fetcher({ nameServer: names.address }).fetch(server.url);
    await assert.rejects(fetching, { status: 403, code: "image_url_refused" }, location);
  }
  assert.equal(blocked.connections, 0);
});

Deno.test("image fetcher › checks the certificate against the name, and refuses a redirect from https to http", async () => {
  const { cert, key } = await certificate("images.test");
  await using plain = new RawServer();
  await using server = new ImageServer(
    ({ url }) => new URL(url).pathname === "/plain" ? redirect(plain.url) : image(),
    { tls: { cert, key } },
  );
  await using names = await NameServer.start({ "images.test": () => ["127.0.0.1"], "other.test": () => ["127.0.0.1"] });
  const trusting = fetcher({ nameServer: names.address, certificateAuthorities: [cert] });
  const at = (name: string, path = "/") => `https://${name}:${server.port}${path}`;
  assert.deepEqual(await trusting.fetch(at("images.test")), IMAGE);
  assert.equal(new URL(server.requests[0].url).hostname, "images.test");
  const failed = { status: 502, code: "image_url_failed" };
  await assert.rejects(trusting.fetch(at("other.test")), failed);
  await assert.rejects(trusting.fetch(at("127.0.0.1")), failed);
  await assert.rejects(fetcher({ nameServer: names.address }).fetch(at("images.test")), failed);
  assert.equal(server.requests.length, 1, "no request goes to a server with the wrong certificate");
  await assert.rejects(trusting.fetch(at("images.test", "/plain")), { status: 403, code: "image_url_refused" });
  assert.equal(plain.connections, 0);
});

Deno.test("image fetcher › refuses an image that is too large, by its declared length or while it arrives", async () => {
  const tooLarge = { status: 413, code: "image_url_too_large" };
  await using declared = new RawServer("HTTP/1.1 200 OK\r\nContent-Length: 1000001\r\n\r\n", { end: false });
  await assert.rejects(fetcher().fetch(declared.url), tooLarge);
  await declared.closed;
  let sent = 0;
  const endless = new ReadableStream({
    pull(controller) {
      sent += IMAGE.length;
      controller.enqueue(IMAGE.slice());
    },
  });
  await using server = new ImageServer(() => new Response(endless));
  await assert.rejects(fetcher().fetch(server.url), tooLarge);
  assert.ok(sent < 1e8, "it stops reading");
});

Deno.test("image fetcher › limits the total size of the images that are being fetched", async () => {
  const { promise: requested, resolve } = Promise.withResolvers<void>();
  const slow = new ReadableStream({
    start: (controller) => controller.enqueue(IMAGE.slice()),
    pull: () => new Promise(() => resolve()),
  });
  await using server = new ImageServer(({ url }) => url.endsWith("/slow") ? new Response(slow) : image());
  const images = fetcher({ maxPendingBytes: IMAGE.length * 1.5 });
  const client = new AbortController();
  const first = images.fetch(`${server.url}/slow`, client.signal);
  first.catch(() => {});
  await requested;
  while (images.pendingBytes < IMAGE.length) await new Promise((resolve) => setTimeout(resolve));
  await assert.rejects(images.fetch(server.url), {
    status: 503,
    code: "too_much_pending",
    headers: { "Retry-After": "5" },
  });
  client.abort();
  await assert.rejects(first, { name: "AbortError" });
  assert.equal(images.pendingBytes, 0);
  assert.deepEqual(await images.fetch(server.url), IMAGE);
});

Deno.test("image fetcher › reports every failure of the image server as image_url_failed", async () => {
  const answers = {
    "not found": "HTTP/1.1 404 Not Found\r\nContent-Length: 2\r\n\r\nno",
    "a redirect that leads nowhere": "HTTP/1.1 302 Found\r\nContent-Length: 0\r\n\r\n",
    "no content": "HTTP/1.1 204 No Content\r\n\r\n",
    "nothing": "HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n",
    "less than declared": "HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nimage",
    "an unfinished chunk": "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nima",
    "a length below zero": "HTTP/1.1 200 OK\r\nContent-Length: -5\r\n\r\nimage",
    "compressed": "HTTP/1.1 200 OK\r\nContent-Encoding: gzip\r\nContent-Length: 5\r\n\r\nimage",
    "no HTTP": "220 mail.example.com ESMTP\r\n",
    "a closed connection": "",
  };
  for (const [what, answer] of Object.entries(answers)) {
    await using server = new RawServer(answer);
    await assert.rejects(fetcher().fetch(server.url), { status: 502, code: "image_url_failed" }, what);
  }
});

Deno.test("image fetcher › closes the connection if it does not read the body", async () => {
  for (const status of ["404 Not Found", "302 Found\r\nLocation: ftp://127.0.0.1/"]) {
    await using server = new RawServer(`HTTP/1.1 ${status}\r\nContent-Length: 100\r\n\r\nimage`, { end: false });
    await assert.rejects(fetcher().fetch(server.url), { name: "HttpError" });
    await server.closed;
  }
});

Deno.test("image fetcher › distinguishes an unknown name from a server that cannot be connected to", async () => {
  await using names = await NameServer.start({});
  const images = fetcher({ nameServer: names.address });
  await assert.rejects(images.fetch("http://nowhere.test/"), { code: "image_url_failed", message: /name/ });
  using closed = await ClosedPort.keep();
  await assert.rejects(images.fetch(`http://127.0.0.1:${closed.port}/`), {
    code: "image_url_failed",
    message: /connect/,
  });
});

Deno.test("image fetcher › the timeout covers the wait for the header, the header, the body and redirects", async () => {
  const head = "HTTP/1.1 200 OK\r\nContent-Length: 10\r\n";
  const bodies = [
    `${head}\r\nimage`,
    "HTTP/1.1 200 OK\r\n\r\nimage",
    "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nim",
  ];
  for (const beginning of ["", head, ...bodies]) {
    await using server = new RawServer(beginning, { end: false });
    await assert.rejects(
      fetcher({ timeoutMs: 50 }).fetch(server.url),
      { status: 504, code: "image_url_timeout" },
      beginning,
    );
    // If the timeout was over before the connection was made, there is none to close.
    if (server.connections > 0) await server.closed;
  }
  await using last = new RawServer("", { end: false });
  await using first = new ImageServer(() => redirect(last.url));
  await assert.rejects(fetcher({ timeoutMs: 50 }).fetch(first.url), { status: 504, code: "image_url_timeout" });
});

Deno.test("image fetcher › stops and closes the connection when the client disconnects", async () => {
  await using server = new RawServer("HTTP/1.1 200 OK\r\n\r\nimage", { end: false });
  const client = new AbortController();
  const images = fetcher();
  const fetching = images.fetch(server.url, client.signal);
  fetching.catch(() => {});
  while (images.pendingBytes === 0) await new Promise((resolve) => setTimeout(resolve));
  client.abort();
  await assert.rejects(fetching, { name: "AbortError" });
  await server.closed;
  assert.equal(images.pendingBytes, 0);
});

Deno.test("image fetcher › works with the permissions of the start task, and ignores proxies in the environment", async () => {
  const { cert, key } = await certificate("images.test");
  await using secure = new ImageServer(image, { tls: { cert, key } });
  await using plain = new ImageServer(image);
  await using proxy = new RawServer();
  await using names = await NameServer.start({ "images.test": () => ["127.0.0.1"] });
  const script = new URL("../support/fetch_once.ts", import.meta.url).pathname;
  for (const url of [`http://images.test:${plain.port}/`, `https://images.test:${secure.port}/`]) {
    for (const NO_PROXY of ["", "images.test"]) {
      const { stdout, stderr } = await new Deno.Command(Deno.execPath(), {
        args: ["run", "--no-prompt", "-P=start", "--allow-net", script, url, `${names.address.port}`, cert],
        env: { HTTP_PROXY: proxy.url, HTTPS_PROXY: proxy.url, NO_PROXY, NODE_USE_ENV_PROXY: "1", NO_COLOR: "1" },
      }).output();
      assert.equal(new TextDecoder().decode(stdout), `${IMAGE.length}\n`, new TextDecoder().decode(stderr));
    }
  }
  assert.equal(proxy.connections, 0);
});
