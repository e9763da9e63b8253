/** Loaded before the server: a platform without workers. */
Reflect.deleteProperty(globalThis, "Worker");
