/** The config of a CoDA network: what may stand in a JSON file, and its canonical form with every default filled in. */
import * as v from 'valibot';
import { CodaError, parseConfig } from '@coda-nets/core';
import { count, maxChannels, maxSide, stackEntries, unitKindOf } from './coda-layer-schema.ts';
import { defaultLogitBias } from './readout.ts';
import { checkEpsilon } from './unit-epsilon.ts';

const positive = v.pipe(v.number(), v.finite(), v.gtValue(0));

/** As a config is written; `parseCodaConfig` also checks that its parts fit together. */
export const codaConfigSchema = v.strictObject({
  kind: v.literal('coda'),
  inputShape: v.strictTuple([count(maxSide), count(maxSide), v.literal(3)]),
  encoding: v.optional(v.picklist(['rgb6', 'none']), 'rgb6'),
  layers: stackEntries.layers,
  norm: stackEntries.norm,
  eps: stackEntries.eps,
  temperature: positive,
  logitBias: v.optional(v.pipe(v.number(), v.finite()), defaultLogitBias),
  classes: count(maxChannels),
});

/** As a person writes it: defaults may be left out. */
export type CodaConfig = v.InferInput<typeof codaConfigSchema>;
/** With every default in its place. */
export type CanonicalCodaConfig = v.InferOutput<typeof codaConfigSchema>;

/** Throws a CodaError that names the leaf; also where layers, classes and input size do not fit together. */
export function parseCodaConfig(value: unknown, where = 'codaNetwork: config'): CanonicalCodaConfig {
  const config = parseConfig(codaConfigSchema, value, where);
  checkCodaStack(where, config, { classes: config.classes, side: Math.min(config.inputShape[0], config.inputShape[1]) });
  return config;
}

/** A stack with every default in its place. */
export interface StackConfig extends Pick<CanonicalCodaConfig, 'norm' | 'eps'> {
  readonly layers: readonly CanonicalCodaConfig['layers'][number][];
}

/**
 * Whether a stack that ends in one unit for each class fits what it gets, whose shorter side is `side`, and its ε its norm. `where` names the config and,
 * with a dot, the place in it: `hybrid: config: head`. Throws a CodaError that names the leaf.
 */
export function checkCodaStack(
  where: string,
  { layers, norm, eps }: StackConfig,
  { classes, side }: { readonly classes: number; readonly side: number },
): void {
  const at = (leaf: string): string => `${where}${where.endsWith('.') ? '' : ': '}${leaf}`;
  checkEpsilon(at('eps'), eps, unitKindOf(norm));
  const last = layers.at(-1);
  if (last?.out !== classes) {
    throw new CodaError({
      kind: 'argument',
      where: at(`layers[${layers.length - 1}].out`),
      problem: 'the last layer has one unit for each class',
      expected: `${classes}`,
      got: `${last?.out}`,
    });
  }
  let left = side;
  for (const [i, { kernel, stride, padding }] of layers.entries()) {
    if (left + 2 * padding < kernel) {
      throw new CodaError({
        kind: 'argument',
        where: at(`layers[${i}].kernel`),
        problem: 'the kernel is larger than what the layers below leave',
        expected: `at most ${left + 2 * padding}`,
        got: `${kernel}`,
      });
    }
    left = Math.floor((left + 2 * padding - kernel) / stride) + 1;
  }
}
