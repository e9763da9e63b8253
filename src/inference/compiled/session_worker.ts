import { serveOperations } from "../workers/rpc.ts";

serveOperations(async () => (await import("./session.ts")).sessionOperations);
