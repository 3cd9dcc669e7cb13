/** A file that deviates from its model, in words: the error of `coda verify`, and where the two part. */
import { CodaError } from '@coda-nets/core';
import type { NodeDifference, StepDifference } from './first-step.ts';
import { TIE_ROUNDING, type PoolTies } from './pool-ties.ts';

export function deviates(path: string, tolerance: number, deviation: number, hint: string | undefined): CodaError {
  return new CodaError({
    kind: 'numeric',
    where: path,
    problem: 'the file deviates from its model',
    expected: `at most ${tolerance}`,
    got: deviation.toExponential(2),
    hint,
  });
}

export function describeStep({ kernel, step, steps, operators, reads, site, shape, deviation }: StepDifference): string {
  const became = operators.length === 0 ? '' : `, as ${[...new Set(operators)].join(', ')},`;
  const weights = reads.length === 0 ? '' : ` that reads ${reads.join(', ')}`;
  const called = site === undefined ? '' : `, called at ${site}`;
  return `The first tensor that differs is the result [${shape.join(', ')}] of ${kernel}${became}${weights}: kernel ${step} of ${steps}${called}, by ${deviation.toExponential(2)}.`;
}

export function describeNode({ name, op, deviation, unknown }: NodeDifference): string {
  if (unknown) return `its values agree until ${name}, which the model's export does not have.`;
  return `the first value that differs is ${name}${op === undefined ? '' : ` (${op})`}, by ${deviation.toExponential(2)}.`;
}

export function describeTies({ windows, maxAbsDiff }: PoolTies): string {
  const where = windows === 1 ? '1 window' : `${windows} windows`;
  return `ties of max pools: in ${where} the file takes another of values that are equal to ${TIE_ROUNDING}; with its choice the model agrees to ${maxAbsDiff.toExponential(2)}`;
}
