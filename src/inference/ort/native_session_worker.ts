import { serveOperations } from "../workers/rpc.ts";

serveOperations(async () => (await import("./native_session.ts")).sessionOperations);
