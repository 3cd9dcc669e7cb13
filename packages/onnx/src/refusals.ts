/** What a function may not do while it is recorded, with the place where it did. */
import { CodaError } from '@coda-nets/core';
import * as tf from '@tensorflow/tfjs-core';
import { callSite } from './call-site.ts';

/** Operations that draw random numbers: a graph would have the same ones for ever. */
const random = new Set(
  ['rand', 'randomGamma', 'randomNormal', 'randomStandardNormal', 'randomUniform', 'randomUniformInt', 'truncatedNormal'].map(
    (n) => `${n}__op`,
  ),
);

/** The error for a tensor whose values are read. */
export function readRefusal(why: string): CodaError {
  return new CodaError({
    kind: 'unsupported',
    where: 'trace',
    problem: `the function reads the values of a tensor (data, dataSync, array or print), ${why}`,
    hint: `${called()}Return the tensor, or decide on shapes instead of values.`,
  });
}

/** Throws a CodaError that names the operation, where one that draws random numbers is under way. */
export function refuseRandom(): void {
  const draws = tf.engine().state.scopeStack.find(({ name }) => random.has(name));
  if (draws === undefined) return;
  throw new CodaError({
    kind: 'unsupported',
    where: `trace: ${draws.name.replace('__op', '')}`,
    problem: 'the function draws random numbers, which a graph would repeat at every call',
    hint: `${called()}Draw them outside and hand them in as an input, or trace the function without its dropout (training: false).`,
  });
}

const called = (): string => {
  const site = callSite();
  return site === undefined ? '' : `Called at ${site}. `;
};
