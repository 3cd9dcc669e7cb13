/** What a training's config is checked for beside its schema, each without a look at network or data. */
import type { ConfigMistake } from '@coda-nets/core';

/** `given`: the config as it came; `parsed`: as the schema made it, which may have refused some of it. */
export function configValueMistakes(given: unknown, parsed: unknown): ConfigMistake[] {
  const config = isRecord(parsed) ? parsed : {};
  // a network has limits of its own
  const { network: _, ...own } = config;
  return [...arraysForObjects(given, parsed), ...beyondFloat32(own, given), ...nesterovAlone(config['optimiser'])];
}

/** Valibot takes an array for an object without keys, of which every default is filled in. */
function arraysForObjects(given: unknown, parsed: unknown, path: ConfigMistake['path'] = []): ConfigMistake[] {
  // what the schema has refused, or did not look into, it leaves as it came
  if (given === parsed || !isRecord(given) || !isRecord(parsed)) return [];
  if (Array.isArray(given) && !Array.isArray(parsed)) {
    return [{ path, problem: 'not a valid value', expected: 'an object', got: 'an array' }];
  }
  return Object.entries(given).flatMap(([key, value]) => arraysForObjects(value, parsed[key], [...path, keyIn(given, key)]));
}

/** Of normal numbers of float32, in which weights and rates are computed: what is larger becomes infinite, what is smaller may become 0. */
const float32 = { least: 2 ** -126, most: (2 - 2 ** -23) * 2 ** 127 };

function beyondFloat32(value: unknown, given: unknown, path: ConfigMistake['path'] = []): ConfigMistake[] {
  if (typeof value === 'number') {
    const size = Math.abs(value);
    if (size === 0 || (size >= float32.least && size <= float32.most)) return [];
    return [
      {
        path,
        problem: 'beyond the numbers of float32, in which is computed',
        expected: `0, or ${float32.least.toPrecision(3)} to ${float32.most.toPrecision(3)}`,
        got: String(value),
      },
    ];
  }
  if (!isRecord(value) || value === given) return [];
  return Object.entries(value).flatMap(([key, inner]) =>
    beyondFloat32(inner, isRecord(given) ? given[key] : undefined, [...path, keyIn(value, key)]),
  );
}

function nesterovAlone(optimiser: unknown): ConfigMistake[] {
  if (!isRecord(optimiser) || optimiser['kind'] !== 'sgd' || optimiser['nesterov'] !== true || optimiser['momentum'] !== 0) return [];
  return [
    {
      path: ['optimiser', 'nesterov'],
      problem: 'Nesterov needs a momentum',
      expected: 'optimiser.momentum > 0',
      got: 'momentum 0',
    },
  ];
}

/** An array too. */
function isRecord(value: unknown): value is Readonly<Record<string, unknown>> {
  return typeof value === 'object' && value !== null;
}

function keyIn(parent: object, key: string): string | number {
  return Array.isArray(parent) ? Number(key) : key;
}
