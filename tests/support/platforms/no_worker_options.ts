/** Preloaded before the server: imitates a platform whose workers do not know Deno's options. */
globalThis.Worker = new Proxy(Worker, {
  construct(Worker, [url, { deno: _, ...options }]) {
    return new Worker(url, options);
  },
});
