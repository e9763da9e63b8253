/** The similarity of two masks of the same size. */
export interface MaskComparison {
  /** Mean absolute difference, from 0 to 1. */
  meanDifference: number;
  /** The largest absolute difference of a pixel, from 0 to 1. */
  worstDifference: number;
  /** Of the pixels with a value of at least 128. */
  intersectionOverUnion: number;
}

/** Compares two masks, height×width, 0–255. */
export function compareMasks(mask: Uint8Array, reference: Uint8Array): MaskComparison {
  if (mask.length !== reference.length) throw new Error(`masks have ${mask.length} and ${reference.length} pixels`);
  let sum = 0;
  let worst = 0;
  let intersection = 0;
  let union = 0;
  for (let i = 0; i < mask.length; i++) {
    const difference = Math.abs(mask[i] - reference[i]);
    sum += difference;
    worst = Math.max(worst, difference);
    const [a, b] = [mask[i] >= 128, reference[i] >= 128];
    if (a && b) intersection++;
    if (a || b) union++;
  }
  return {
    meanDifference: sum / mask.length / 255,
    worstDifference: worst / 255,
    intersectionOverUnion: union === 0 ? 1 : intersection / union,
  };
}
