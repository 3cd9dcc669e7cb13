/** The condition that every pass requires and ensures. */
import { sameShape, sizeOf } from '@coda-nets/core';
import type { Graph, Value } from '../graph.ts';

const shown = (value: Value): string => value.hint ?? `a ${value.dtype} [${value.shape.join(', ')}]`;

/**
 * Each value has one origin (input, constant or node), each node comes after what it reads, constants fill their shapes, and every output is a computed
 * value of its own.
 */
export const wellFormed = {
  name: 'a well-formed graph',
  problem: ({ inputs, constants, nodes, outputs }: Graph): string | undefined => {
    const known = new Set<Value>(inputs);
    for (const [value, { dtype, shape, data }] of constants) {
      if (known.has(value)) return `${shown(value)} is an input and a constant`;
      if (dtype !== value.dtype || !sameShape(shape, value.shape as number[]) || data.length !== sizeOf(shape)) {
        return `constant ${shown(value)} holds ${data.length} numbers of ${dtype} [${shape.join(', ')}]`;
      }
      known.add(value);
    }
    const computed = new Set<Value>();
    for (const { op, inputs: operands, output } of nodes) {
      for (const operand of operands) {
        if (operand !== undefined && !known.has(operand)) return `${op} reads ${shown(operand)} before it is there`;
      }
      if (known.has(output)) return `${op} gives ${shown(output)}, which is there already`;
      known.add(output);
      computed.add(output);
    }
    const seen = new Set<Value>();
    for (const [name, value] of Object.entries(outputs)) {
      if (!computed.has(value)) return `output "${name}" is no computed value`;
      if (seen.has(value)) return `output "${name}" is another output too`;
      seen.add(value);
    }
    return undefined;
  },
};
