/** The weights and slots of a compiled step as they are now. */
import type { Compiled, NamedArrays, NdArray } from '@coda-nets/core';

export interface RunValues {
  readonly weights: NamedArrays;
  readonly slots: NamedArrays;
}

/** What the step does not carry stays as it was at the start. `notFinite`: the name of a carried value in which there is a number that is not finite. */
export async function carriedValues(
  compiled: Compiled,
  start: RunValues,
): Promise<{ readonly values: RunValues; readonly notFinite: string | undefined }> {
  const carried = await compiled.carried();
  const take = (names: NamedArrays): NamedArrays =>
    Object.fromEntries(Object.entries(names).map(([name, before]) => [name, carried[name] ?? before]));
  const isBad = ([, { data }]: [string, NdArray]): boolean => !(data as Float32Array).every(Number.isFinite);
  return { values: { weights: take(start.weights), slots: take(start.slots) }, notFinite: Object.entries(carried).find(isBad)?.[0] };
}
