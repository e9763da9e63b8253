import { configure, getStreamSink, getTextFormatter, type LogRecord } from "@logtape/logtape";
import { activeSpanIds } from "./telemetry/trace.ts";

export type LogLevel = "debug" | "info" | "warning" | "error";

/** Sends all logs to standard output: readable lines (`text`), or one JSON object a line (`json`). */
export async function configureLogging(options: { format: "text" | "json"; level: LogLevel }): Promise<void> {
  const formatter = options.format === "json" ? jsonLine : textLine;
  await configure({
    sinks: { stdout: getStreamSink(Deno.stdout.writable, { formatter }) },
    loggers: [
      { category: "cutcache", lowestLevel: options.level, sinks: ["stdout"] },
      { category: ["logtape", "meta"], lowestLevel: "warning", sinks: ["stdout"] },
    ],
  });
}

/** `bare` leaves strings without quotes and escapes their control characters: one event stays one line. */
const textLine = getTextFormatter({
  timestamp: "time",
  level: "full",
  value: "bare",
  format: ({ timestamp, level, message, record: { properties: { job_id } } }) => {
    const { trace_id } = activeSpanIds() ?? {};
    const ids = Object.entries({ job_id, trace_id }).filter(([, id]) => id !== undefined);
    return `${timestamp} ${level}${ids.map(([name, id]) => ` ${name}: ${id}`).join("")} ${message}`;
  },
});

const message = getTextFormatter({ value: "bare", format: ({ message }) => message });

function jsonLine(record: LogRecord): string {
  const { timestamp, level, properties } = record;
  const time = new Date(timestamp).toISOString();
  return JSON.stringify({ time, level, message: message(record).trimEnd(), ...properties, ...activeSpanIds() }) + "\n";
}
