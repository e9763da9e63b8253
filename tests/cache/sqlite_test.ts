import assert from "node:assert/strict";
import { setTimeout as delay } from "node:timers/promises";
import { SqliteStore, type SqliteStoreOptions } from "../../src/cache/sqlite.ts";
import type { Entry } from "../../src/cache/store.ts";

const entry = (fill: number, size = 100): Entry => ({
  bytes: new Uint8Array(size).fill(fill),
  contentType: "image/png",
  created: fill,
  etag: `${fill}`,
});

/** Longer than the store goes without looking at its file. */
const NOTICED_MS = 1050;

async function withFolder(use: (path: string) => Promise<void>): Promise<void> {
  const folder = await Deno.makeTempDir({ prefix: "cutcache-test-" });
  try {
    await use(`${folder}/cache.sqlite`);
  } finally {
    await Deno.remove(folder, { recursive: true });
  }
}

const open = (path: string, options: Partial<SqliteStoreOptions> = {}) =>
  new SqliteStore({ path, maxBytes: 100_000_000, ...options });

Deno.test("sqlite › a file that is deleted while in use is made again", () =>
  withFolder(async (path) => {
    let replaced = 0;
    const store = open(path, { onReplaced: () => replaced++ });
    await store.set("a", entry(1));
    await Deno.remove(path);
    await delay(NOTICED_MS);
    assert.equal(await store.get("a"), undefined);
    await store.set("b", entry(2));
    store.close();
    assert.equal(replaced, 1);
    const again = open(path);
    assert.deepEqual([await again.get("a"), await again.get("b")], [undefined, entry(2)]);
    again.close();
  }));

Deno.test("sqlite › a file that is replaced while in use, as from a backup, is read", () =>
  withFolder(async (path) => {
    const backup = open(`${path}.backup`);
    await backup.set("a", entry(3));
    backup.close();
    const store = open(path);
    await store.set("a", entry(1));
    await Deno.rename(`${path}.backup`, path);
    await delay(NOTICED_MS);
    assert.deepEqual((await store.get("a"))?.created, 3);
    store.close();
  }));

Deno.test("sqlite › two processes on a file that is deleted go on with one new file", () =>
  withFolder(async (path) => {
    const [one, other] = [open(path), open(path)];
    await one.set("a", entry(1));
    await Deno.remove(path);
    await delay(NOTICED_MS);
    await one.set("b", entry(2));
    assert.deepEqual(await other.get("b"), entry(2));
    await other.set("c", entry(3));
    assert.deepEqual(await one.get("c"), entry(3));
    one.close();
    other.close();
  }));

Deno.test("sqlite › damaged pages cost entries, never a wrong value", () =>
  withFolder(async (path) => {
    const SIZE = 20_000;
    for (let round = 0; round < 20; round++) {
      const store = open(path);
      for (let i = 0; i < 20; i++) await store.set(`${i}`, entry(i, SIZE));
      store.close();
      // Anywhere but in the header page, which makes the file no database.
      const file = await Deno.open(path, { read: true, write: true });
      const { size } = await file.stat();
      await file.seek(4096 * (1 + round * 7919 % (Math.floor(size / 4096) - 1)), Deno.SeekMode.Start);
      await file.write(crypto.getRandomValues(new Uint8Array(4096)));
      file.close();
      let set = 0;
      const damaged = open(path, { onDamaged: () => set++ });
      for (let i = 0; i < 20; i++) {
        const found = await damaged.get(`${i}`);
        if (found !== undefined) assert.deepEqual(found, entry(i, SIZE));
      }
      await damaged.set("new", entry(99));
      assert.deepEqual(await damaged.get("new"), entry(99));
      damaged.close();
      for (const name of ["", ".damaged", "-wal", "-shm"]) await Deno.remove(path + name).catch(() => {});
    }
  }));

Deno.test({
  name: "sqlite › a full disk is named as such, and what was written before is still read",
  ignore: Deno.build.os !== "linux" || Deno.uid() !== 0,
  async fn() {
    const folder = await Deno.makeTempDir({ prefix: "cutcache-test-" });
    const run = async (command: string, ...args: string[]) =>
      (await new Deno.Command(command, { args, stdout: "null", stderr: "null" }).output()).success;
    const mounted = await run("mount", "-t", "tmpfs", "-o", "size=512k", "tmpfs", folder);
    try {
      if (!mounted) return;
      const path = `${folder}/cache.sqlite`;
      const store = open(path);
      await store.set("a", entry(1));
      const filling = async () => {
        for (let i = 0; i < 100; i++) await store.set(`fill ${i}`, entry(i, 20_000));
      };
      await assert.rejects(filling, /^Error: disk full$/);
      await assert.rejects(() => store.set("b", entry(2, 100_000)), /^Error: disk full$/);
      assert.deepEqual(await store.get("a"), entry(1));
      await store.clear().catch(() => {});
      store.close();
    } finally {
      if (mounted) await run("umount", folder);
      await Deno.remove(folder, { recursive: true });
    }
  },
});
