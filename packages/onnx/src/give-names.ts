/**
 * The one giver of names: inputs and outputs keep theirs; constants and nodes get the ones they wish for, numbered where those are taken; every other value
 * is numbered after its operator.
 */
import { CodaError } from '@coda-nets/core';
import type { Graph, Value } from './graph.ts';

export function giveNames(graph: Graph): ReadonlyMap<Value, string> {
  const names = new Map<Value, string>();
  const taken = new Set<string>();
  const give = (value: Value, name: string): void => {
    if (taken.has(name)) {
      throw new CodaError({ kind: 'argument', where: 'giveNames', problem: `two values of the graph are called "${name}"` });
    }
    taken.add(name);
    names.set(value, name);
  };
  for (const input of graph.inputs) give(input, input.hint as string);
  for (const [name, value] of Object.entries(graph.outputs)) give(value, name);
  const counts = new Map<string, number>();
  const numbered = (stem: string): string => {
    for (;;) {
      const n = counts.get(stem) ?? 0;
      counts.set(stem, n + 1);
      if (!taken.has(`${stem}_${n}`)) return `${stem}_${n}`;
    }
  };
  const values = [...graph.constants.keys(), ...graph.nodes.map(({ output }) => output)];
  for (const value of values) {
    if (value.hint !== undefined && !names.has(value)) give(value, taken.has(value.hint) ? numbered(value.hint) : value.hint);
  }
  for (const value of graph.constants.keys()) if (!names.has(value)) give(value, numbered('constant'));
  for (const { op, output } of graph.nodes) if (!names.has(output)) give(output, numbered(op));
  return names;
}
