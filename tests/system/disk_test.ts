import assert from "node:assert/strict";
import { discImage } from "../support/images.ts";
import { TestServer } from "../support/server.ts";

async function run(command: string, ...args: string[]): Promise<boolean> {
  return (await new Deno.Command(command, { args, stdout: "null", stderr: "null" }).output()).success;
}

Deno.test({
  name: "disk › a full one at the start leaves memory, with a warning; one that fills up is named in log and /health",
  ignore: Deno.build.os !== "linux" || Deno.uid() !== 0,
  async fn() {
    const folder = await Deno.makeTempDir({ prefix: "cutcache-test-" });
    const mounted = await run("mount", "-t", "tmpfs", "-o", "size=400k", "tmpfs", folder);
    try {
      if (!mounted) return;
      const fill = () => run("dd", "if=/dev/zero", `of=${folder}/filler`, "bs=1k");
      {
        await using server = await TestServer.quick({ CACHE_DIR: folder });
        await server.cutout("a.png", await discImage(1));
        await server.settled();
        await fill();
        for (let seed = 2; seed < 8; seed++) {
          await server.cutout("b.png", await discImage(seed, 256));
          await server.settled();
        }
        const { store } = await server.health();
        assert.equal(store.health, "ng");
        assert.equal(store.last_error, "disk full");
        await server.logged(({ message }) => message.includes("disk full"));
      }
      for await (const { name } of Deno.readDir(folder)) if (name !== "filler") await Deno.remove(`${folder}/${name}`);
      await fill();
      await using server = await TestServer.quick({ CACHE_DIR: folder });
      assert.equal((await server.health()).store.name, "memory");
      await server.logged(({ message }) => /is full/.test(message));
      await server.cutout("a.png", await discImage(1));
    } finally {
      if (mounted) await run("umount", folder);
      await Deno.remove(folder, { recursive: true });
    }
  },
});
