import assert from "node:assert/strict";
import { AddressPolicy, literalAddress } from "../../src/http/safe_fetch/address_policy.ts";

const everywhere = new AddressPolicy();

/** To what a request for this host would be connected. */
function reached(host: string, policy = everywhere, port = 80): string | undefined {
  const address = literalAddress(new URL(`http://${host}/`));
  assert.ok(address !== undefined, `${host} is no name`);
  return policy.permitted(address, port);
}

Deno.test("addresses › public ones are permitted, at ports 80 and 443 only", () => {
  assert.equal(reached("93.184.215.14"), "93.184.215.14");
  assert.equal(reached("[2606:2800:21f:cb07:6820:80da:af6b:8b2c]"), "2606:2800:21f:cb07:6820:80da:af6b:8b2c");
  assert.equal(reached("93.184.215.14", everywhere, 443), "93.184.215.14");
  for (const port of [22, 25, 6379, 8080]) assert.equal(reached("93.184.215.14", everywhere, port), undefined);
});

Deno.test("addresses › those that are not public are refused", () => {
  const hosts = {
    "this network": ["0.0.0.0", "0.1.2.3", "[::]"],
    loopback: ["127.0.0.1", "127.255.255.254", "[::1]"],
    private: ["10.0.0.1", "172.16.0.1", "172.31.255.254", "192.168.1.1", "[fc00::1]", "[fd00:ec2::254]"],
    shared: ["100.64.0.1", "100.100.100.200"],
    "link-local": ["169.254.169.254", "[fe80::1]", "[fec0::1]"],
    multicast: ["224.0.0.1", "239.255.255.250", "[ff02::1]"],
    "reserved, testing, documentation": [
      ...["192.0.0.192", "192.0.2.1", "198.18.0.1", "198.51.100.1", "203.0.113.1", "240.0.0.1", "255.255.255.255"],
      ...["[2001:db8::1]", "[3fff::1]", "[100::1]", "[5f00::1]", "[4000::1]"],
    ],
    "a cloud's platform": ["168.63.129.16"],
  };
  for (const [kind, list] of Object.entries(hosts)) {
    for (const host of list) assert.equal(reached(host), undefined, `${host} (${kind})`);
  }
});

Deno.test("addresses › numbers that browsers take for addresses are the addresses they stand for", () => {
  for (const host of ["2130706433", "017700000001", "0x7f000001", "0177.0.0.1", "0x7f.1", "127.1", "127.0.0.1."]) {
    assert.equal(reached(host), undefined, host);
  }
  assert.equal(reached("0x5db8d70e"), "93.184.215.14");
});

Deno.test("addresses › an IPv4 address inside an IPv6 address counts for itself", () => {
  assert.equal(reached("[::ffff:127.0.0.1]"), undefined);
  assert.equal(reached("[::ffff:a9fe:a9fe]"), undefined);
  assert.equal(reached("[::ffff:93.184.215.14]"), "93.184.215.14");
  assert.equal(reached("[64:ff9b::7f00:1]"), undefined);
  assert.equal(reached("[64:ff9b::10.0.0.1]"), undefined);
  assert.equal(reached("[64:ff9b::93.184.215.14]"), "64:ff9b::5db8:d70e");
});

Deno.test("addresses › other ways to write IPv4 into IPv6 are refused, whatever is inside", () => {
  const ways = {
    "IPv4-compatible": "[::93.184.215.14]",
    translated: "[::ffff:0:93.184.215.14]",
    "local-use NAT64": "[64:ff9b:1::93.184.215.14]",
    "6to4": "[2002:5db8:d70e::1]",
    Teredo: "[2001:0:5db8:d70e::1]",
  };
  for (const [way, host] of Object.entries(ways)) assert.equal(reached(host), undefined, way);
});

Deno.test("addresses › networks of the operator are permitted at any port, and nothing beside them", () => {
  const policy = new AddressPolicy(["10.1.0.0/16", "fd12::/16"]);
  assert.equal(reached("10.1.2.3", policy, 9000), "10.1.2.3");
  assert.equal(reached("[::ffff:10.1.2.3]", policy, 9000), "10.1.2.3");
  assert.equal(reached("[fd12::5]", policy, 9000), "fd12::5");
  assert.equal(reached("93.184.215.14", policy), "93.184.215.14");
  for (const host of ["10.2.0.1", "127.0.0.1", "[fd13::1]", "[64:ff9b::10.1.2.3]"]) {
    assert.equal(reached(host, policy), undefined, host);
  }
});

Deno.test("addresses › a name is no address", () => {
  for (const host of ["localhost", "example.com", "1.2.3.4.example.com", "127.0.0.1.nip.io"]) {
    assert.equal(literalAddress(new URL(`http://${host}/`)), undefined, host);
  }
});
