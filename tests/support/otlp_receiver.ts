/** A span that an {@link OtlpReceiver} received. */
export interface Span {
  name: string;
  traceId: string;
  spanId: string;
  parentSpanId: string;
  startTimeUnixNano: string;
  endTimeUnixNano: string;
  attributes: { key: string; value: { stringValue?: string } }[];
}

interface TracesRequest {
  resourceSpans: { scopeSpans: { spans: Span[] }[] }[];
}

/** A metric that an {@link OtlpReceiver} received. */
export interface Metric {
  name: string;
  sum?: { dataPoints: { asDouble: number }[] };
  gauge?: { dataPoints: { asDouble: number }[] };
  histogram?: { dataPoints: { count: number; sum: number; bucketCounts: number[]; explicitBounds: number[] }[] };
}

interface MetricsRequest {
  resourceMetrics: { scopeMetrics: { metrics: Metric[] }[] }[];
}

/** Receives OTLP exports in JSON on a free port of 127.0.0.1, and keeps the spans. */
export class OtlpReceiver {
  readonly spans: Span[] = [];
  /** The metrics of each export, by name. */
  readonly metrics: Map<string, Metric>[] = [];
  readonly #server: Deno.HttpServer<Deno.NetAddr>;
  readonly #stopping = new AbortController();
  #requests = 0;

  private constructor({ hangs }: { hangs: boolean }) {
    const { signal } = this.#stopping;
    this.#server = Deno.serve({ hostname: "127.0.0.1", port: 0, signal, onListen: () => {} }, async (request) => {
      this.#requests++;
      if (hangs) return await new Promise(() => {});
      const sent = await request.json();
      if (new URL(request.url).pathname === "/v1/metrics") {
        const { resourceMetrics } = sent as MetricsRequest;
        const all = resourceMetrics.flatMap(({ scopeMetrics }) => scopeMetrics.flatMap(({ metrics }) => metrics));
        this.metrics.push(new Map(all.map((metric) => [metric.name, metric])));
      }
      if (new URL(request.url).pathname === "/v1/traces") {
        const { resourceSpans } = sent as TracesRequest;
        for (const { scopeSpans } of resourceSpans) this.spans.push(...scopeSpans.flatMap(({ spans }) => spans));
      }
      return Response.json({});
    });
  }

  /** @param options `hangs`: it accepts exports and never answers. */
  static start({ hangs = false } = {}): OtlpReceiver {
    return new OtlpReceiver({ hangs });
  }

  /** Resolves once so many exports have been sent, or after five seconds: one that hangs holds up the next. */
  async requested(count: number): Promise<void> {
    for (const until = performance.now() + 5000; this.#requests < count && performance.now() < until;) {
      await new Promise((resolve) => setTimeout(resolve, 10));
    }
  }

  /** The environment of a Deno process that exports its spans here soon after they end. */
  get environment(): Record<string, string> {
    return {
      OTEL_DENO: "true",
      OTEL_EXPORTER_OTLP_PROTOCOL: "http/json",
      OTEL_EXPORTER_OTLP_ENDPOINT: `http://127.0.0.1:${this.#server.addr.port}`,
      OTEL_BSP_SCHEDULE_DELAY: "100",
    };
  }

  /** The child spans of a span, in the order in which they began. */
  below({ spanId }: Span): Span[] {
    return this.spans.filter(({ parentSpanId }) => parentSpanId === spanId)
      .toSorted((a, b) => Number(BigInt(a.startTimeUnixNano) - BigInt(b.startTimeUnixNano)));
  }

  /** Resolves with the first span that matches, as soon as it has arrived. */
  async received(matches: (span: Span) => boolean): Promise<Span> {
    for (;;) {
      const span = this.spans.find(matches);
      if (span !== undefined) return span;
      await new Promise((resolve) => setTimeout(resolve, 10));
    }
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#stopping.abort();
    await this.#server.finished;
  }
}
