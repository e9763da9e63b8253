import { serveOperations } from "../workers/rpc.ts";

serveOperations(async () => (await import("./wasm_session.ts")).sessionOperations);
