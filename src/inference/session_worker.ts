import { serveOperations } from "./rpc.ts";

serveOperations(async () => (await import("./wasm_session.ts")).sessionOperations);
