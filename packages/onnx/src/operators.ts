/** The nodes of a graph, each of one output, as the operators of a file, which may have several. */
import type { Node, Value } from './graph.ts';

export interface Operator extends Omit<Node, 'output' | 'outputIndex'> {
  readonly outputs: readonly (Value | undefined)[];
}

/** Neighbours that share their inputs and attributes, the very same objects, are the outputs of one operator. */
export function operators(nodes: readonly Node[]): readonly Operator[] {
  const all: (Operator & { outputs: (Value | undefined)[] })[] = [];
  for (const { output, outputIndex = 0, ...node } of nodes) {
    const before = all.at(-1);
    const isNext = before?.inputs === node.inputs && before.attributes === node.attributes && before.outputs.length === outputIndex;
    if (isNext) before.outputs.push(output);
    else all.push({ ...node, outputs: [...Array.from({ length: outputIndex }, () => undefined), output] });
  }
  return all;
}
