import { serveOperations } from "../workers/rpc.ts";

// Decoders print their complaints about a file. Its sender gets them in the response; the log is not for senders to fill.
for (const method of ["log", "warn", "error"] as const) console[method] = () => {};

serveOperations(async () => (await import("./image_operations.ts")).imageOperations);
