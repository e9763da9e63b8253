import type { Logger } from "@logtape/logtape";
import type { MetricObjectWithValues, MetricValue, Registry } from "prom-client";
import { messageOf } from "../base/errors.ts";

/** How long one export may take, in milliseconds. */
const EXPORT_TIMEOUT_MS = 5000;

/** AggregationTemporality of OTLP: since the start. */
const CUMULATIVE = 2;

export interface MetricsExporterOptions {
  /** Where metrics are sent, such as `http://localhost:4318/v1/metrics`. */
  url: string;
  headers: Readonly<Record<string, string>>;
  intervalMs: number;
  serviceName: string;
  registry: Registry;
  logger: Logger;
}

/**
 * Sends the metrics of `/metrics` to an OpenTelemetry collector in regular intervals, in the JSON encoding of OTLP
 * (https://opentelemetry.io/docs/specs/otlp/#otlphttp). Deno's own export of metrics waits for every worker, and threads
 * that wait for work never answer (seen in Deno 2.9.6).
 */
export class MetricsExporter {
  readonly #options: MetricsExporterOptions;
  readonly #started = nanoseconds(performance.timeOrigin);
  readonly #timer: ReturnType<typeof setInterval>;
  #exporting?: Promise<void>;

  constructor(options: MetricsExporterOptions) {
    this.#options = options;
    this.#timer = setInterval(() => this.#export(), options.intervalMs);
    // Must not keep the process alive.
    Deno.unrefTimer(Number(this.#timer));
  }

  /** Exports once more, and stops. Waits no longer than for one export, whatever the collector does. */
  async close(): Promise<void> {
    clearInterval(this.#timer);
    await this.#exporting;
    await this.#export();
  }

  /** One at a time: a collector that hangs must not be sent more and more. */
  #export(): Promise<void> {
    return this.#exporting ??= this.#send().catch((error) => {
      this.#options.logger.warn("metrics were not exported: {error}", { error: messageOf(error) });
    }).finally(() => this.#exporting = undefined);
  }

  async #send(): Promise<void> {
    const { url, headers, registry, serviceName } = this.#options;
    const metrics = await registry.getMetricsAsJSON();
    const response = await fetch(url, {
      method: "POST",
      headers: { "Content-Type": "application/json", ...headers },
      body: JSON.stringify({
        resourceMetrics: [{
          resource: { attributes: attributesOf({ "service.name": serviceName }) },
          scopeMetrics: [{ scope: { name: "cutcache" }, metrics: metrics.map((metric) => this.#metricOf(metric)) }],
        }],
      }),
      signal: AbortSignal.timeout(EXPORT_TIMEOUT_MS),
    });
    await response.body?.cancel();
    if (!response.ok) throw new Error(`the collector returned ${response.status}`);
  }

  #metricOf({ name, help, type, values }: MetricObjectWithValues<MetricValue<string>>): object {
    const time = { startTimeUnixNano: this.#started, timeUnixNano: nanoseconds(Date.now()) };
    const numbers = () =>
      values.map(({ labels, value }) => ({ ...time, attributes: attributesOf(labels), asDouble: value }));
    const described = { name, description: help };
    // prom-client has the names of its types, not their numbers.
    switch (`${type}`) {
      case "counter":
        return {
          ...described,
          sum: { dataPoints: numbers(), isMonotonic: true, aggregationTemporality: CUMULATIVE },
        };
      case "histogram":
        return {
          ...described,
          histogram: { dataPoints: histogramPoints(values, time), aggregationTemporality: CUMULATIVE },
        };
      default:
        return { ...described, gauge: { dataPoints: numbers() } };
    }
  }
}

/** Values of one histogram as prom-client gives them: cumulative buckets, sum and count, for each set of labels. */
function histogramPoints(values: readonly MetricValue<string>[], time: object): object[] {
  const bySeries = Map.groupBy(values, ({ labels: { le: _, ...labels } }) => JSON.stringify(labels));
  return [...bySeries].map(([labels, series]) => {
    // The type lacks the name, which tells buckets from sum and count.
    const named = series as (MetricValue<string> & { metricName: string })[];
    const of = (suffix: string) => named.filter(({ metricName }) => metricName.endsWith(suffix));
    const buckets = of("_bucket");
    const bounds = buckets.map(({ labels }) => Number(labels.le)).filter(Number.isFinite);
    return {
      ...time,
      attributes: attributesOf(JSON.parse(labels)),
      count: of("_count")[0].value,
      sum: of("_sum")[0].value,
      explicitBounds: bounds,
      bucketCounts: buckets.map(({ value }, i) => value - (buckets[i - 1]?.value ?? 0)),
    };
  });
}

function attributesOf(labels: Partial<Record<string, string | number>>): object[] {
  return Object.entries(labels).map(([key, value]) => ({ key, value: { stringValue: `${value}` } }));
}

/** In decimal digits: the number is too large for a double. */
function nanoseconds(milliseconds: number): string {
  return `${BigInt(Math.round(milliseconds)) * 1_000_000n}`;
}

/**
 * The settings of OpenTelemetry that concern metrics (https://opentelemetry.io/docs/specs/otel/protocol/exporter/);
 * undefined if they are not exported.
 */
export function metricsExport(
  environment: (name: string) => string | undefined,
): Pick<MetricsExporterOptions, "url" | "headers" | "intervalMs" | "serviceName"> | undefined {
  if (!/^(?:true|1)$/.test(environment("OTEL_DENO") ?? "")) return undefined;
  const base = environment("OTEL_EXPORTER_OTLP_ENDPOINT") || "http://localhost:4318";
  const headers = (environment("OTEL_EXPORTER_OTLP_HEADERS") ?? "").split(",").filter(Boolean).map((pair) => {
    const [name, ...value] = pair.split("=");
    return [name.trim(), decodeURIComponent(value.join("=").trim())];
  });
  return {
    url: environment("OTEL_EXPORTER_OTLP_METRICS_ENDPOINT") || `${base.replace(/\/$/, "")}/v1/metrics`,
    headers: Object.fromEntries(headers),
    intervalMs: Number(environment("OTEL_METRIC_EXPORT_INTERVAL")) || 60_000,
    serviceName: environment("OTEL_SERVICE_NAME") || "cutcache",
  };
}

/** The variables that {@link metricsExport} reads. */
export const OTEL_VARIABLES = [
  "OTEL_DENO",
  "OTEL_EXPORTER_OTLP_ENDPOINT",
  "OTEL_EXPORTER_OTLP_HEADERS",
  "OTEL_EXPORTER_OTLP_METRICS_ENDPOINT",
  "OTEL_METRIC_EXPORT_INTERVAL",
  "OTEL_SERVICE_NAME",
] as const;
