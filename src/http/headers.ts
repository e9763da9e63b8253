import type { Prediction } from "../predictor.ts";

/**
 * How an answer was come by: `Cache-Status` (RFC 9211) and `Server-Timing` (W3C Server Timing; milliseconds).
 * `detail` names the tier of a hit, or what a miss cost: `mask` (a rendering) or `inference`.
 */
export function predictionHeaders({ source, collapsed, timings }: Prediction): Record<string, string> {
  const made = source === "mask" || source === "inference";
  const how = collapsed ? "fwd=miss; collapsed" : made ? "fwd=miss; stored" : "hit";
  const stages = Object.entries(timings).map(([stage, milliseconds]) => `${stage};dur=${milliseconds.toFixed(2)}`);
  return {
    "Cache-Status": `Cutcache; ${how}; detail=${source}`,
    "Server-Timing": stages.join(", "),
  };
}
