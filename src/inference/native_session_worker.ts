import { serveOperations } from "./rpc.ts";

serveOperations(async () => (await import("./native_session.ts")).sessionOperations);
