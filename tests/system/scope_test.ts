import assert from "node:assert/strict";
import { createHash } from "node:crypto";
import { discImage } from "../support/images.ts";
import { TestServer } from "../support/server.ts";

const ONE = "token-of-one-tenant";
const OTHER = "token-of-the-other";
const ADMIN = "token-of-the-operator";

for (const scope of ["all", "token"]) {
  Deno.test(`CACHE_SCOPE=${scope} › a token ${scope === "all" ? "reads" : "does not read"} what another token made`, async () => {
    await using server = await TestServer.quick({
      API_TOKENS: `${ONE},${OTHER}`,
      ADMIN_TOKEN: ADMIN,
      CACHE_SCOPE: scope,
    }, { checked: false });
    const image = await discImage(1);
    const address = `/cutouts/${createHash("sha256").update(image).digest("hex")}`;
    const as = (token: string) => ({ "X-Api-Key": token });
    const status = async (token: string) => {
      const response = await server.fetch(address, { headers: as(token) });
      await response.body?.cancel();
      return response.status;
    };
    const predict = async (token: string) => {
      const headers = { "Content-Type": "application/json", ...as(token) };
      const { response } = await server.predict("a.png", image, { headers });
      assert.equal(response.status, 200);
      return response.headers.get("Cache-Status")!;
    };
    assert.match(await predict(ONE), /detail=inference/);
    assert.match(await predict(ONE), /hit/);
    const foreign = scope === "all" ? 200 : 404;
    assert.deepEqual([await status(ONE), await status(OTHER), await status(ADMIN)], [200, foreign, foreign]);
    // The whole body is known by now, and the mask too.
    assert.match(await predict(OTHER), scope === "all" ? /hit/ : /detail=inference/);
    await server.settled();

    const path = address.replace("cutouts", "cache");
    const deletion = await server.fetch(path, { method: "DELETE", headers: as(ADMIN) });
    assert.equal((await deletion.json()).deleted, scope === "all" ? 2 : 4, "the operator deletes every token's");
    assert.deepEqual([await status(ONE), await status(OTHER)], [404, 404]);
  });
}
