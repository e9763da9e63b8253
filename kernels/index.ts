export { clearHiddenRow, cutOutRow, firstVisible, lastVisible, putOnGray } from "./compose";
export { convertColours, interpolateColours } from "./colour";
export { filterRow } from "./png";
export { interleaveRows, reduceRow, resampleAcross, resampleDown, resampleFourAcross } from "./resample";
export { maxColour, maxOf, minOf, planesOfRow, stretch } from "./tensor";

/** The address at which the caller's memory begins. */
export const heapBase: usize = (__heap_base + 15) & ~15;
