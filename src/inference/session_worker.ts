import { serveOperations } from "./rpc.ts";

serveOperations(async () => (await import("./session.ts")).sessionOperations);
