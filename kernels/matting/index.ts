export { addToCells, sumWindows } from "./cells";
export { enlarge, recolour, separateColours } from "./foreground";
export { addWindows, solveUnknown } from "./laplacian";
export { applyModels, averageModels, fitModels, mixRows } from "./upsample";
