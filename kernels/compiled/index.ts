/* The kernels of the compiled backend: one thread's share of each step of a network. Addresses are bytes in a memory that
 * all threads share; the caller decides what lies where. */
export { add, interleavePlanes, maxPool, resize } from "./elementwise";
export { gatherInput, gatherOutput } from "./gather";
export { addMap, convolveToMap, fillMap, sigmoid } from "./maps";
export { multiply } from "./product";
export { gatherWeights, mapWeights, winogradWeights } from "./weights";
export { winogradInput, winogradOutput } from "./winograd";

/** Where the caller's part of the memory begins. */
export const heapBase: usize = (__heap_base + 63) & ~63;
