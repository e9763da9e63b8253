FROM denoland/deno:2.9.6 AS wasm

WORKDIR /app
RUN mkdir /data && chown deno:deno /data
# The user `deno`, as a number, so that an orchestrator can check that it is not root.
USER 1993

# Dependencies first: the layer is reused until the lock file changes.
COPY deno.json deno.lock ./
RUN deno install --frozen
COPY src src
RUN deno cache --frozen src/main.ts src/inference/engine/image_worker.ts src/inference/engine/image_operations.ts \
    src/inference/ort/wasm_session_worker.ts src/inference/ort/wasm_session.ts src/inference/ort/thread_worker.ts
COPY LICENSE NOTICE ./
COPY static static

ENV CACHE_DIR=/data
# V8 and malloc return free memory to the system. src/memory_tuning.ts explains the values; a test compares the two.
ENV DENO_V8_FLAGS=--expose-gc,--flush-liftoff-code,--max-semi-space-size=4,--heap-growing-percent=25,--wasm-tiering-budget=200000000 \
    MALLOC_ARENA_MAX=2 MALLOC_MMAP_THRESHOLD_=4194304 MALLOC_TRIM_THRESHOLD_=8388608
# Deno's metrics wait for every worker, and ONNX Runtime's threads never answer: the process would never end.
ENV OTEL_DENO_METRICS=false
VOLUME /data
EXPOSE 8000
HEALTHCHECK --interval=10s --timeout=3s --start-period=30s --retries=3 \
    CMD ["deno", "eval", "--no-config", "const port = Deno.env.get('PORT') || 8000; const { ok } = await fetch(`http://127.0.0.1:${port}/readyz`); Deno.exit(ok ? 0 : 1)"]

CMD ["run", "--cached-only", "--frozen", "-P=start", "--allow-net", "--allow-read=src,static,/data", "--allow-write=/data", "src/main.ts"]

# `docker build --target native .` adds ONNX Runtime's native build, which takes 300 MB more.
FROM wasm AS native
COPY deno.native.lock ./
RUN deno cache --frozen --lock=deno.native.lock npm:onnxruntime-node@1.30.0
ENV INFERENCE_BACKEND=native
CMD ["run", "--cached-only", "--frozen", "--lock=deno.native.lock", "-P=start", "--allow-net", "--allow-read", "--allow-write=/data", "--allow-env", "--allow-sys", "--allow-ffi", "src/main.ts"]

# The default target.
FROM wasm
