FROM denoland/deno:2.9.6

WORKDIR /app
RUN mkdir /data && chown deno:deno /data
USER deno

# The dependencies are fetched into the image, once for all versions of the code that share a lock file.
COPY deno.json deno.lock ./
RUN deno install --frozen
COPY src src
RUN deno cache --frozen src/main.ts src/inference/codec_worker.ts src/inference/codec.ts \
    src/inference/session_worker.ts src/inference/session.ts src/inference/thread_worker.ts
COPY LICENSE NOTICE ./
COPY static static

ENV CACHE_DIR=/data
# Memory that is free goes back to the system instead of waiting in a pool; so do the flags below. `deno task start` has
# the same.
ENV MALLOC_ARENA_MAX=2 MALLOC_MMAP_THRESHOLD_=262144 MALLOC_TRIM_THRESHOLD_=262144
VOLUME /data
EXPOSE 8000
HEALTHCHECK --interval=10s --timeout=3s --start-period=30s --retries=3 \
    CMD ["deno", "eval", "--no-config", "const port = Deno.env.get('PORT') || 8000; const health = await (await fetch(`http://127.0.0.1:${port}/health`)).json(); Deno.exit(health.predict_server.health === 'ok' ? 0 : 1)"]

CMD ["run", "--cached-only", "--frozen", "--v8-flags=--expose-gc,--flush-liftoff-code,--max-semi-space-size=4,--heap-growing-percent=25", "-P=start", "--allow-read=src,static,/data", "--allow-write=/data", "src/main.ts"]
