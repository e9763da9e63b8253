import assert from "node:assert/strict";
import { AddressPolicy, literalAddress } from "../../src/http/safe_fetch/address_policy.ts";

const publicOnly = new AddressPolicy();

/** The address to which a request for this host would be connected. */
function connectedTo(host: string, policy = publicOnly, port = 80): string | undefined {
  const address = literalAddress(new URL(`http://${host}/`));
  assert.ok(address !== undefined, `${host} is not an address`);
  return policy.permitted(address, port);
}

Deno.test("address policy › permits public addresses at ports 80 and 443 only", () => {
  assert.equal(connectedTo("93.184.215.14"), "93.184.215.14");
  assert.equal(connectedTo("[2606:2800:21f:cb07:6820:80da:af6b:8b2c]"), "2606:2800:21f:cb07:6820:80da:af6b:8b2c");
  assert.equal(connectedTo("93.184.215.14", publicOnly, 443), "93.184.215.14");
  for (const port of [22, 25, 6379, 8080]) assert.equal(connectedTo("93.184.215.14", publicOnly, port), undefined);
});

Deno.test("address policy › refuses addresses that are not public", () => {
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
    for (const host of list) assert.equal(connectedTo(host), undefined, `${host} (${kind})`);
  }
});

Deno.test("address policy › treats numbers as the addresses that browsers read them as", () => {
  for (const host of ["2130706433", "017700000001", "0x7f000001", "0177.0.0.1", "0x7f.1", "127.1", "127.0.0.1."]) {
    assert.equal(connectedTo(host), undefined, host);
  }
  assert.equal(connectedTo("0x5db8d70e"), "93.184.215.14");
});

Deno.test("address policy › checks the IPv4 address inside an IPv6 address", () => {
  assert.equal(connectedTo("[::ffff:127.0.0.1]"), undefined);
  assert.equal(connectedTo("[::ffff:a9fe:a9fe]"), undefined);
  assert.equal(connectedTo("[::ffff:93.184.215.14]"), "93.184.215.14");
  assert.equal(connectedTo("[64:ff9b::7f00:1]"), undefined);
  assert.equal(connectedTo("[64:ff9b::10.0.0.1]"), undefined);
  assert.equal(connectedTo("[64:ff9b::93.184.215.14]"), "64:ff9b::5db8:d70e");
});

Deno.test("address policy › refuses other forms of IPv4 in IPv6, whatever the address", () => {
  const forms = {
    "IPv4-compatible": "[::93.184.215.14]",
    translated: "[::ffff:0:93.184.215.14]",
    "local-use NAT64": "[64:ff9b:1::93.184.215.14]",
    "6to4": "[2002:5db8:d70e::1]",
    Teredo: "[2001:0:5db8:d70e::1]",
  };
  for (const [form, host] of Object.entries(forms)) assert.equal(connectedTo(host), undefined, form);
});

Deno.test("address policy › permits the operator's networks at any port, and no other private addresses", () => {
  const policy = new AddressPolicy(["10.1.0.0/16", "fd12::/16"]);
  assert.equal(connectedTo("10.1.2.3", policy, 9000), "10.1.2.3");
  assert.equal(connectedTo("[::ffff:10.1.2.3]", policy, 9000), "10.1.2.3");
  assert.equal(connectedTo("[fd12::5]", policy, 9000), "fd12::5");
  assert.equal(connectedTo("93.184.215.14", policy), "93.184.215.14");
  for (const host of ["10.2.0.1", "127.0.0.1", "[fd13::1]", "[64:ff9b::10.1.2.3]"]) {
    assert.equal(connectedTo(host, policy), undefined, host);
  }
});

Deno.test("address policy › a name is not an address", () => {
  for (const host of ["localhost", "example.com", "1.2.3.4.example.com", "127.0.0.1.nip.io"]) {
    assert.equal(literalAddress(new URL(`http://${host}/`)), undefined, host);
  }
});
