/** What a training's config is checked for beside its schema, each without a look at network or data. Throws CodaErrors that name the leaf. */
import { CodaError } from '@coda-nets/core';
import type { TrainConfig } from './train-config.ts';

/** `given`: the config as it came; `parsed`: as the schema made it. */
export function checkConfigValues(given: unknown, parsed: TrainConfig, where: string): void {
  refuseArrays(given, parsed, where);
  const { network: _, ...own } = parsed;
  refuseBeyondFloat32(own, where);
  refuseNesterov(parsed, where);
}

/** Valibot takes an array for an object without keys, of which every default is filled in. */
function refuseArrays(given: unknown, parsed: unknown, path: string, separator = ': '): void {
  if (typeof given !== 'object' || given === null || typeof parsed !== 'object' || parsed === null) return;
  if (Array.isArray(given) && !Array.isArray(parsed)) {
    throw new CodaError({ kind: 'argument', where: path, problem: 'not a valid value', expected: 'an object', got: 'an array' });
  }
  for (const [key, value] of Object.entries(given)) {
    refuseArrays(value, (parsed as Readonly<Record<string, unknown>>)[key], placeOf(given, path, key, separator), '.');
  }
}

/** Of normal numbers of float32, in which weights and rates are computed: what is larger becomes infinite, what is smaller may become 0. */
const float32 = { least: 2 ** -126, most: (2 - 2 ** -23) * 2 ** 127 };

function refuseBeyondFloat32(value: unknown, path: string, separator = ': '): void {
  if (typeof value === 'number') {
    const size = Math.abs(value);
    if (size === 0 || (size >= float32.least && size <= float32.most)) return;
    throw new CodaError({
      kind: 'argument',
      where: path,
      problem: 'beyond the numbers of float32, in which is computed',
      expected: `0, or ${float32.least.toPrecision(3)} to ${float32.most.toPrecision(3)}`,
      got: String(value),
    });
  }
  if (typeof value !== 'object' || value === null) return;
  for (const [key, inner] of Object.entries(value)) refuseBeyondFloat32(inner, placeOf(value, path, key, separator), '.');
}

function refuseNesterov({ optimiser }: TrainConfig, where: string): void {
  if (optimiser.kind !== 'sgd' || !optimiser.nesterov || optimiser.momentum > 0) return;
  throw new CodaError({
    kind: 'argument',
    where: `${where}: optimiser.nesterov`,
    problem: 'Nesterov needs a momentum',
    expected: 'optimiser.momentum > 0',
    got: 'momentum 0',
  });
}

function placeOf(parent: object, path: string, key: string, separator: string): string {
  return Array.isArray(parent) ? `${path}[${key}]` : `${path}${separator}${key}`;
}
