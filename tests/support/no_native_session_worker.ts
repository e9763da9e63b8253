/** The session worker of the WASM backend, which fails if it is started in place of the native one (with its permissions). */
import { serveOperations } from "../../src/inference/workers/rpc.ts";
import { sessionOperations } from "../../src/inference/ort/wasm_session.ts";

serveOperations(() => {
  const isNative = Deno.permissions.querySync({ name: "ffi" }).state === "granted";
  return isNative ? Promise.reject(new Error("refused by the test")) : Promise.resolve(sessionOperations);
});
