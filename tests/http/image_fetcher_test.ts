import assert from "node:assert/strict";
import { generate } from "selfsigned";
import { AddressPolicy } from "../../src/http/safe_fetch/address_policy.ts";
import { PublicImageFetcher, type PublicImageFetcherOptions } from "../../src/http/safe_fetch/image_fetcher.ts";
import { ClosedPort, ImageHost, RawHost } from "../support/image_host.ts";
import { NameServer } from "../support/name_server.ts";

const IMAGE = new Uint8Array(200_000).map((_, i) => i);

/** Of 127.0.0.0/8 only 127.0.0.1 is open to it; 127.0.0.2 stands for what must not be reached. */
function fetcher(options: Partial<PublicImageFetcherOptions> = {}): PublicImageFetcher {
  return new PublicImageFetcher({
    policy: new AddressPolicy(["127.0.0.1/32"]),
    maxBytes: 1_000_000,
    maxPendingBytes: 10_000_000,
    timeoutMs: 60_000,
    ...options,
  });
}

const closedToAll = () => fetcher({ policy: new AddressPolicy() });
const image = () => new Response(IMAGE, { headers: { "Content-Type": "image/png" } });
const redirect = (location: string, status = 302) => new Response(null, { status, headers: { Location: location } });

/** In PEM, signed with its own key. */
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

/** Something at the same port of an address that must not be reached. */
const forbidden = ({ port }: { port: number }) => new RawHost("", { hostname: "127.0.0.2", port });

Deno.test("image fetcher › fetches an image, with and without a declared length", async () => {
  await using host = new ImageHost(({ url }) =>
    new URL(url).pathname === "/declared"
      ? image()
      : new Response(ReadableStream.from([IMAGE.subarray(0, 7), IMAGE.subarray(7)]))
  );
  const images = fetcher();
  assert.deepEqual(await images.fetch(`${host.url}/declared`), IMAGE);
  assert.deepEqual(await images.fetch(`${host.url}/streamed?a=b#c`), IMAGE);
  assert.equal(new URL(host.requests[1].url).search, "?a=b");
  assert.equal(images.pendingBytes, 0);
});

Deno.test("image fetcher › sends no credentials, cookies or referrer, also after a redirect that sets a cookie", async () => {
  await using host = new ImageHost(({ url }) => {
    if (new URL(url).pathname !== "/") return image();
    return new Response(null, { status: 302, headers: { "Location": "/next", "Set-Cookie": "a=b" } });
  });
  await fetcher().fetch(host.url);
  assert.equal(host.requests.length, 2);
  for (const { headers } of host.requests) {
    assert.deepEqual([...headers.keys()].toSorted(), ["accept", "accept-encoding", "connection", "host", "user-agent"]);
    assert.equal(headers.get("Accept-Encoding"), "identity");
  }
});

Deno.test("image fetcher › what is no http(s) URL, or has a password in it, is told so", async () => {
  const addresses = ["photo.jpg", "//example.com/a", "file:///etc/passwd", "data:image/png;base64,AA", "ftp://a/b", ""];
  for (const address of [...addresses, "http://a:b@127.0.0.1/", "http://1.2.3.4.5/", `http://a/${"a".repeat(8000)}`]) {
    await assert.rejects(fetcher().fetch(address), { status: 422, code: "invalid_image_url" }, address.slice(0, 80));
  }
});

Deno.test("image fetcher › loopback is refused in every notation, without a connection", async () => {
  await using target = new RawHost();
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
    await assert.rejects(closedToAll().fetch(address), { status: 403, code: "image_url_refused" }, host);
  }
  assert.equal(target.connections, 0);
});

Deno.test("image fetcher › a name is connected to at the address that its name server gave, under its own name", async () => {
  await using host = new ImageHost(image);
  await using names = await NameServer.start({ "images.test": () => ["127.0.0.1"] });
  const images = fetcher({ nameServer: names.address });
  assert.deepEqual(await images.fetch(`http://images.test:${host.port}/a`), IMAGE);
  assert.equal(host.requests[0].headers.get("Host"), `images.test:${host.port}`);
  assert.deepEqual(names.asked, ["images.test"], "asked once");
});

Deno.test("image fetcher › a name with a public and a private address is refused, in either order, without a connection", async () => {
  await using open = new RawHost();
  await using closed = forbidden(open);
  const addresses = ["127.0.0.1", "127.0.0.2"];
  await using names = await NameServer.start({
    "two.test": () => addresses,
    "owt.test": () => addresses.toReversed(),
  });
  for (const name of ["two.test", "owt.test"]) {
    const fetching = fetcher({ nameServer: names.address }).fetch(`http://${name}:${open.port}/`);
    await assert.rejects(fetching, (error: Error & { code: string }) => {
      assert.equal(error.code, "image_url_refused");
      assert.doesNotMatch(error.message, /127\.0/, "the address stays untold");
      return true;
    });
  }
  assert.deepEqual([open.connections, closed.connections], [0, 0]);
});

Deno.test("image fetcher › of a name with two open addresses, the second is taken where the first does not answer", async () => {
  await using host = new ImageHost(image, { hostname: "127.0.0.3" });
  await using names = await NameServer.start({ "two.test": () => ["127.0.0.1", "127.0.0.3"] });
  const images = fetcher({ policy: new AddressPolicy(["127.0.0.0/8"]), nameServer: names.address });
  assert.deepEqual(await images.fetch(`http://two.test:${host.port}/`), IMAGE);
});

Deno.test("image fetcher › a name that rebinds after it was checked is connected to where it was checked", async () => {
  await using host = new ImageHost(image);
  await using closed = forbidden(host);
  let asked = 0;
  await using names = await NameServer.start({ "rebinds.test": () => [asked++ === 0 ? "127.0.0.1" : "127.0.0.2"] });
  const images = fetcher({ nameServer: names.address });
  const address = `http://rebinds.test:${host.port}/`;
  assert.deepEqual(await images.fetch(address), IMAGE);
  assert.equal(asked, 1, "nothing asked a second time");
  await assert.rejects(images.fetch(address), { status: 403, code: "image_url_refused" });
  assert.equal(asked, 2);
  assert.equal(closed.connections, 0);
});

Deno.test("image fetcher › a name that rebinds between redirects is refused", async () => {
  await using host = new ImageHost(() => redirect("/again"));
  await using closed = forbidden(host);
  let asked = 0;
  await using names = await NameServer.start({ "rebinds.test": () => [asked++ === 0 ? "127.0.0.1" : "127.0.0.2"] });
  const fetching = fetcher({ nameServer: names.address }).fetch(`http://rebinds.test:${host.port}/`);
  await assert.rejects(fetching, { status: 403, code: "image_url_refused" });
  assert.deepEqual([host.requests.length, closed.connections], [1, 0]);
});

Deno.test("image fetcher › follows three redirects of every kind, not four", async () => {
  await using host = new ImageHost(({ url }) => {
    const left = Number(new URL(url).pathname.slice(1));
    return left === 0 ? image() : redirect(`/${left - 1}`, [301, 303, 307, 308][left - 1]);
  });
  assert.deepEqual(await fetcher().fetch(`${host.url}/3`), IMAGE);
  await assert.rejects(fetcher().fetch(`${host.url}/4`), { status: 502, code: "image_url_failed" });
  assert.equal(host.requests.length, 4 + 4);
});

Deno.test("image fetcher › a redirect to a closed address, another scheme or with a password is refused", async () => {
  let location = "";
  await using host = new ImageHost(() => redirect(location));
  await using closed = forbidden(host);
  await using names = await NameServer.start({ "closed.test": () => ["127.0.0.2"] });
  const { port } = closed;
  const closedOnes = [`http://127.0.0.2:${port}/`, `http://[::ffff:127.0.0.2]:${port}/`, `//closed.test:${port}/`];
  const others = [
    "file:///etc/passwd",
    "ftp://127.0.0.1/",
    "data:image/png,",
    `http://a:b@127.0.0.1:${port}/`,
    "http://[",
  ];
  for (location of [...closedOnes, ...others]) {
    const fetching = fetcher({ nameServer: names.address }).fetch(host.url);
    await assert.rejects(fetching, { status: 403, code: "image_url_refused" }, location);
  }
  assert.equal(closed.connections, 0);
});

Deno.test("image fetcher › a certificate must be the name's, whatever the address; https is not left for http", async () => {
  const { cert, key } = await certificate("images.test");
  await using plain = new RawHost();
  await using host = new ImageHost(
    ({ url }) => new URL(url).pathname === "/plain" ? redirect(plain.url) : image(),
    { tls: { cert, key } },
  );
  await using names = await NameServer.start({ "images.test": () => ["127.0.0.1"], "other.test": () => ["127.0.0.1"] });
  const trusting = fetcher({ nameServer: names.address, certificateAuthorities: [cert] });
  const at = (name: string, path = "/") => `https://${name}:${host.port}${path}`;
  assert.deepEqual(await trusting.fetch(at("images.test")), IMAGE);
  assert.equal(new URL(host.requests[0].url).hostname, "images.test");
  const failed = { status: 502, code: "image_url_failed" };
  await assert.rejects(trusting.fetch(at("other.test")), failed);
  await assert.rejects(trusting.fetch(at("127.0.0.1")), failed);
  await assert.rejects(fetcher({ nameServer: names.address }).fetch(at("images.test")), failed);
  assert.equal(host.requests.length, 1, "nothing is asked of a host whose certificate is another's");
  await assert.rejects(trusting.fetch(at("images.test", "/plain")), { status: 403, code: "image_url_refused" });
  assert.equal(plain.connections, 0);
});

Deno.test("image fetcher › an image that is too large is refused where it says so, and where it goes on", async () => {
  const tooLarge = { status: 413, code: "image_url_too_large" };
  await using declared = new RawHost("HTTP/1.1 200 OK\r\nContent-Length: 1000001\r\n\r\n", { end: false });
  await assert.rejects(fetcher().fetch(declared.url), tooLarge);
  await declared.closed;
  let sent = 0;
  const endless = new ReadableStream({
    pull(controller) {
      sent += IMAGE.length;
      controller.enqueue(IMAGE.slice());
    },
  });
  await using host = new ImageHost(() => new Response(endless));
  await assert.rejects(fetcher().fetch(host.url), tooLarge);
  assert.ok(sent < 1e8, "it was not read on");
});

Deno.test("image fetcher › images that are fetched at a time are bounded together", async () => {
  const { promise: asked, resolve } = Promise.withResolvers<void>();
  const slow = new ReadableStream({
    start: (controller) => controller.enqueue(IMAGE.slice()),
    pull: () => new Promise(() => resolve()),
  });
  await using host = new ImageHost(({ url }) => url.endsWith("/slow") ? new Response(slow) : image());
  const images = fetcher({ maxPendingBytes: IMAGE.length * 1.5 });
  const gone = new AbortController();
  const first = images.fetch(`${host.url}/slow`, gone.signal);
  first.catch(() => {});
  await asked;
  while (images.pendingBytes < IMAGE.length) await new Promise((resolve) => setTimeout(resolve));
  await assert.rejects(images.fetch(host.url), {
    status: 503,
    code: "too_much_pending",
    headers: { "Retry-After": "5" },
  });
  gone.abort();
  await assert.rejects(first, { name: "AbortError" });
  assert.equal(images.pendingBytes, 0);
  assert.deepEqual(await images.fetch(host.url), IMAGE);
});

Deno.test("image fetcher › hosts that fail are told from images that do", async () => {
  const answers = {
    "not found": "HTTP/1.1 404 Not CacheHit\r\nContent-Length: 2\r\n\r\nno",
    "a redirect that leads nowhere": "HTTP/1.1 302 CacheHit\r\nContent-Length: 0\r\n\r\n",
    "no content": "HTTP/1.1 204 No Content\r\n\r\n",
    "nothing": "HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n",
    "less than declared": "HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nimage",
    "an unfinished chunk": "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nima",
    "a length below zero": "HTTP/1.1 200 OK\r\nContent-Length: -5\r\n\r\nimage",
    "compressed": "HTTP/1.1 200 OK\r\nContent-Encoding: gzip\r\nContent-Length: 5\r\n\r\nimage",
    "no HTTP": "220 mail.example.com ESMTP\r\n",
    "a closed door": "",
  };
  for (const [what, answer] of Object.entries(answers)) {
    await using host = new RawHost(answer);
    await assert.rejects(fetcher().fetch(host.url), { status: 502, code: "image_url_failed" }, what);
  }
});

Deno.test("image fetcher › a host whose body is not wanted is let go", async () => {
  for (const status of ["404 Not CacheHit", "302 CacheHit\r\nLocation: ftp://127.0.0.1/"]) {
    await using host = new RawHost(`HTTP/1.1 ${status}\r\nContent-Length: 100\r\n\r\nimage`, { end: false });
    await assert.rejects(fetcher().fetch(host.url), { name: "HttpError" });
    await host.closed;
  }
});

Deno.test("image fetcher › no such name and no such host are failures of one kind each", async () => {
  await using names = await NameServer.start({});
  const images = fetcher({ nameServer: names.address });
  await assert.rejects(images.fetch("http://nowhere.test/"), { code: "image_url_failed", message: /name/ });
  using closed = await ClosedPort.keep();
  await assert.rejects(images.fetch(`http://127.0.0.1:${closed.port}/`), {
    code: "image_url_failed",
    message: /connected/,
  });
});

Deno.test("image fetcher › the time is bounded before the head, within it, within the body and over redirects", async () => {
  const head = "HTTP/1.1 200 OK\r\nContent-Length: 10\r\n";
  const bodies = [
    `${head}\r\nimage`,
    "HTTP/1.1 200 OK\r\n\r\nimage",
    "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nim",
  ];
  for (const begun of ["", head, ...bodies]) {
    await using host = new RawHost(begun, { end: false });
    await assert.rejects(fetcher({ timeoutMs: 50 }).fetch(host.url), { status: 504, code: "image_url_timeout" }, begun);
    // Where the time was over before there was a connection, there is none to be closed.
    if (host.connections > 0) await host.closed;
  }
  await using last = new RawHost("", { end: false });
  await using first = new ImageHost(() => redirect(last.url));
  await assert.rejects(fetcher({ timeoutMs: 50 }).fetch(first.url), { status: 504, code: "image_url_timeout" });
});

Deno.test("image fetcher › stops when whoever asked has gone, and lets the host go", async () => {
  await using host = new RawHost("HTTP/1.1 200 OK\r\n\r\nimage", { end: false });
  const gone = new AbortController();
  const images = fetcher();
  const fetching = images.fetch(host.url, gone.signal);
  fetching.catch(() => {});
  while (images.pendingBytes === 0) await new Promise((resolve) => setTimeout(resolve));
  gone.abort();
  await assert.rejects(fetching, { name: "AbortError" });
  await host.closed;
  assert.equal(images.pendingBytes, 0);
});

Deno.test("image fetcher › needs no more than the start task allows, and uses no proxy that the environment names", async () => {
  const { cert, key } = await certificate("images.test");
  await using secure = new ImageHost(image, { tls: { cert, key } });
  await using plain = new ImageHost(image);
  await using proxy = new RawHost();
  await using names = await NameServer.start({ "images.test": () => ["127.0.0.1"] });
  const script = new URL("../support/fetch_once.ts", import.meta.url).pathname;
  for (const url of [`http://images.test:${plain.port}/`, `https://images.test:${secure.port}/`]) {
    for (const NO_PROXY of ["", "images.test"]) {
      const { stdout, stderr } = await new Deno.Command(Deno.execPath(), {
        args: ["run", "--no-prompt", "-P=start", script, url, `${names.address.port}`, cert],
        env: { HTTP_PROXY: proxy.url, HTTPS_PROXY: proxy.url, NO_PROXY, NODE_USE_ENV_PROXY: "1", NO_COLOR: "1" },
      }).output();
      assert.equal(new TextDecoder().decode(stdout), `${IMAGE.length}\n`, new TextDecoder().decode(stderr));
    }
  }
  assert.equal(proxy.connections, 0);
});
