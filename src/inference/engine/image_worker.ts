import process from "node:process";
import { serveOperations } from "../workers/rpc.ts";

// A dependency of jimp (`debug`) lists the environment while it loads, which a worker without permissions may not. With
// nothing in it there is nothing to list, nor to leak.
Object.defineProperty(process, "env", { value: {} });

// Decoders print what they dislike about a file. Its sender is told; the log is not for everybody to write in.
for (const method of ["log", "warn", "error"] as const) console[method] = () => {};

serveOperations(async () => (await import("./image_operations.ts")).imageOperations);
