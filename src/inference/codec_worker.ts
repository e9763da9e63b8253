import process from "node:process";
import { serveOperations } from "./rpc.ts";

// A dependency of jimp (`debug`) lists the environment while it loads, which a worker without permissions may not. With
// nothing in it there is nothing to list, nor to leak.
Object.defineProperty(process, "env", { value: {} });

serveOperations(async () => (await import("./codec.ts")).codecOperations);
