/** The work of `coda bench depth` as these packages do it. */
import { ndArray, type Engine, type JsonObject, type NamedArrays, type NdArray } from '@coda-nets/core';
import { attributionMethods, attributor, depthProfiler, type Method } from '@coda-nets/depth';
import { measureCalls } from '../interleave.ts';
import type { PreparedWork } from '../prepared-work.ts';
import { oneImage, type DepthInputs } from './depth-inputs.ts';
import { CELLS, type DepthBenchWork } from './depth-works.ts';

export async function ourDepthWork(
  work: DepthBenchWork,
  inputs: DepthInputs,
  engine: Engine,
  parameters: JsonObject,
): Promise<PreparedWork> {
  const { network, weights, images, grid } = inputs;
  const name = `ours (${engine.name})`;
  if (work.id === 'profile') {
    const profiler = await depthProfiler({ engine, network, weights, images, n: CELLS, method: attributionMethods.contributions() });
    const profile = () => profiler.measure([grid]);
    return {
      name,
      measure: (repeats) => measureCalls(profile, repeats),
      results: async () => {
        const arrays = (await profile()).flatMap(({ localisation: { pool, upsample } }, tap) =>
          Object.entries({ pool: pool ?? [], upsample }).map(
            ([scoring, values]) => [`${scoring}/${tap}`, ndArray('float32', [values.length], Float32Array.from(values))] as const,
          ),
        );
        return Object.fromEntries(arrays);
      },
      release: () => profiler.dispose(),
    };
  }
  const open = (method: Method) => attributor({ engine, network, weights, method, taps: ['input'] });
  const image = oneImage(images);
  const mapOf = async (attribute: Awaited<ReturnType<typeof open>>): Promise<NamedArrays> => {
    const { taps } = await attribute.attribute(image, [0]);
    return { map: taps[0]?.maps as NdArray };
  };
  const methodOf = (changed: JsonObject = {}): Method => {
    const all = { ...parameters, ...changed };
    return work.id === 'rise' ? attributionMethods.rise(all) : attributionMethods.intGrad(all);
  };
  const attribute = await open(methodOf());
  return {
    name,
    measure: (repeats) => measureCalls(() => mapOf(attribute), repeats),
    results: async () => {
      if (work.id !== 'rise') return mapOf(attribute);
      // masks that hide nothing: every place has the plain probability
      const plain = await open(methodOf({ masks: 2, p: 1 }));
      const result = await mapOf(plain);
      await plain.dispose();
      return result;
    },
    release: () => attribute.dispose(),
  };
}
