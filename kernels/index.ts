export { clearHiddenRow, cutOutRow, firstVisible, lastVisible, putOnGray } from "./compose";
export { convertColours, interpolateColours, interpolateInks } from "./colour";
export {
  addToCells,
  addWindows,
  applyModels,
  averageModels,
  enlarge,
  fitModels,
  mixRows,
  recolour,
  separateColours,
  solveUnknown,
  sumWindows,
} from "./matting/index";
export { filterRow } from "./png";
export { interleaveRows, reduceRow, resampleAcross, resampleDown, resampleFourAcross } from "./resample";
export { maxColour, maxOf, minOf, planesOfRow, stretch } from "./tensor";

/** The address at which the caller's memory begins. */
export const heapBase: usize = (__heap_base + 15) & ~15;
