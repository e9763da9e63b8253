import process from "node:process";
import { serveOperations } from "../workers/rpc.ts";

// `debug`, a dependency of jimp, lists the environment while it loads, and a worker without permissions may not. An empty
// environment can be listed, and leaks nothing.
Object.defineProperty(process, "env", { value: {} });

// Decoders print their complaints about a file. Its sender gets them in the response; the log is not for senders to fill.
for (const method of ["log", "warn", "error"] as const) console[method] = () => {};

serveOperations(async () => (await import("./image_operations.ts")).imageOperations);
