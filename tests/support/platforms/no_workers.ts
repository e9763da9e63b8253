/** Preloaded before the server: imitates a platform without workers. */
Reflect.deleteProperty(globalThis, "Worker");
