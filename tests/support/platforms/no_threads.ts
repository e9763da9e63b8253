/** Preloaded before the server: imitates a platform on which ONNX Runtime's threads do not start. */
globalThis.Worker = new Proxy(Worker, {
  construct(Worker, [url, options]) {
    const isThread = `${url}`.endsWith("/thread_worker.ts");
    return new Worker(isThread ? "data:text/javascript,throw new Error('no threads here')" : url, options);
  },
});
