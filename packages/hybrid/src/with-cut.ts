/**
 * The same hybrid with its cut elsewhere: the interpolation between a conventional network and a CoDA network (arXiv 2109.13004, abstract). Which strides
 * the head then has is our rule (reconstruction); weights are not moved.
 */
import { CodaError, type JsonObject, type Tap } from '@coda-nets/core';
import { resnetCuts, resnetStem, type ResnetConfig } from '@coda-nets/resnet';
import { parseHybridConfig, type HybridConfig, type HybridOptions } from './hybrid-config.ts';

/**
 * The head keeps its layers and the size of its last map: with S = the input pixels a position of that map is apart from the next, and s the same at
 * the cut, the first log₂(S / s) of its layers that see more than one position halve, the others do not. `cut`: a tap of the backbone, or `layer3` for the last
 * block of a stage. Throws a CodaError for a cut that does not exist, and where the head has too few such layers.
 */
export function withCut(options: HybridOptions | JsonObject, cut: string): HybridConfig {
  const config = parseHybridConfig(options, 'withCut: config');
  const { head, backbone } = config;
  const strideAt = (tap: string): number => (resnetStem(backbone, tap).taps.at(-1) as Tap).stride;
  const last = head.layers.reduce((stride, layer) => stride * layer.stride, strideAt(config.cut));
  const name = cutNamed(backbone, cut);
  const halvings = Math.log2(last / strideAt(name));
  const spatial = head.layers.filter(({ kernel }) => kernel > 1).length;
  if (!Number.isInteger(halvings) || halvings < 0 || halvings > spatial) {
    throw new CodaError({
      kind: 'argument',
      where: `withCut: cut ${JSON.stringify(cut)}`,
      problem: 'the head cannot bring this cut to the size of its last map',
      expected: `a factor of 1 to ${2 ** spatial} between them: 2 for each of its ${spatial} layers that see more than one position`,
      got: `positions ${strideAt(name)} pixels apart at ${name}, ${last} in the last map`,
    });
  }
  let left = halvings;
  const layers = head.layers.map((layer) => ({ ...layer, stride: layer.kernel > 1 && left-- > 0 ? 2 : 1 }));
  return parseHybridConfig({ ...config, cut: name, head: { ...head, layers } }, 'withCut: config');
}

/** The cut that a name means: `layer3` is `layer3.5` of a ResNet-50; anything else stays, and is checked where it is used. */
export function cutNamed(backbone: ResnetConfig, cut: string): string {
  const blocks = resnetCuts(backbone).filter((name) => name.startsWith(`${cut}.`));
  return blocks.at(-1) ?? cut;
}
