/** A graph as text, a line a node: for people and for tests. */
import type { Attribute, Graph, Value } from './graph.ts';
import { giveNames } from './give-names.ts';

export function printGraph(graph: Graph): string {
  const names = giveNames(graph);
  const typed = (value: Value): string => `${names.get(value)}: ${value.dtype}[${value.shape.join(', ')}]`;
  const lines = graph.nodes.map(({ op, domain, inputs, output, outputIndex = 0, attributes }) => {
    const operands = inputs.map((v) => (v === undefined ? '_' : names.get(v)));
    const options = Object.entries(attributes).map(([name, a]) => `${name}=${attribute(a)}`);
    return `  ${typed(output)} = ${domain === undefined ? '' : `${domain}.`}${op}(${[...operands, ...options].join(', ')})${outputIndex > 0 ? `, output ${outputIndex}` : ''}`;
  });
  return [
    `graph(${graph.inputs.map(typed).join(', ')})`,
    ...[...graph.constants].map(([value]) => `  constant ${typed(value)}`),
    ...lines,
    `  return ${Object.keys(graph.outputs).join(', ')}`,
  ].join('\n');
}

function attribute(a: Attribute): string {
  if ('ints' in a) return `[${a.ints.join(', ')}]`;
  if ('string' in a) return JSON.stringify(a.string);
  return String('int' in a ? a.int : a.float);
}
