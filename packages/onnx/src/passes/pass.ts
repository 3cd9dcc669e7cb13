/** What a pass is, and what runs them: each says what it requires and what it ensures, and the runner holds it to both. */
import { CodaError, sameShape } from '@coda-nets/core';
import type { Graph, Value } from '../graph.ts';
import { wellFormed } from './well-formed.ts';

/** Says what is wrong with a graph, or nothing. */
export interface Condition {
  readonly name: string;
  problem(graph: Graph): string | undefined;
}

/**
 * A graph to a graph that computes the same. Beside what it names, every pass requires and ensures a well-formed graph, and leaves inputs and outputs
 * as they are: names, order, dtypes and shapes.
 */
export interface Pass {
  readonly name: string;
  readonly requires: readonly Condition[];
  readonly ensures: readonly Condition[];
  run(graph: Graph): Graph;
}

/** Throws a CodaError that names the pass and the condition which does not hold: a defect of this package, or a graph made by hand. */
export function runPasses(graph: Graph, passes: readonly Pass[]): Graph {
  let current = graph;
  for (const pass of passes) {
    hold(pass, 'requires', [wellFormed, ...pass.requires], current);
    const next = pass.run(current);
    hold(pass, 'ensures', [wellFormed, sameInterface(current), ...pass.ensures], next);
    current = next;
  }
  return current;
}

function hold(pass: Pass, verb: 'requires' | 'ensures', conditions: readonly Condition[], graph: Graph): void {
  for (const condition of conditions) {
    const problem = condition.problem(graph);
    if (problem === undefined) continue;
    throw new CodaError({ kind: 'malformed', where: `pass "${pass.name}"`, problem: `${verb} ${condition.name}: ${problem}` });
  }
}

function sameInterface(before: Graph): Condition {
  const described = (value: Value | undefined): string => (value === undefined ? 'nothing' : `${value.dtype} [${value.shape.join(', ')}]`);
  return {
    name: 'the same inputs and outputs',
    problem: (after) => {
      if (!before.inputs.every((input, i) => after.inputs[i] === input) || before.inputs.length !== after.inputs.length) {
        return 'other inputs';
      }
      const names = Object.keys(before.outputs);
      if (names.join('\n') !== Object.keys(after.outputs).join('\n')) return 'other outputs';
      const changed = names.find((name) => {
        const [a, b] = [before.outputs[name] as Value, after.outputs[name] as Value];
        return a.dtype !== b.dtype || !sameShape(a.shape as number[], b.shape as number[]);
      });
      return changed === undefined
        ? undefined
        : `output "${changed}" was ${described(before.outputs[changed])} and is ${described(after.outputs[changed])}`;
    },
  };
}
