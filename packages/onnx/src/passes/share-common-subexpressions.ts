/**
 * Constants of equal bits become one, unless they have names that differ, and nodes that compute the same of the same become one. Recording shares already; merging two traces into one for
 * any batch size, and other passes, make equal things anew.
 *
 * Ensures: no two nodes with the same operator, attributes and operands. Outputs stay values of their own.
 */
import { attributeKey } from '../graph-builder.ts';
import type { NdArray } from '@coda-nets/core';
import type { Graph, Node, Value } from '../graph.ts';
import type { Pass } from './pass.ts';
import { rewrite } from './rewrite.ts';

export const shareCommonSubexpressions: Pass = {
  name: 'share common subexpressions',
  requires: [],
  ensures: [{ name: 'no node twice', problem: (graph) => repeated(graph)?.op }],
  run: (graph) => {
    const shared = sharedConstants(graph);
    const key = keys();
    const known = new Map<string, Value>();
    return rewrite(shared, (node, rewriting) => {
      const same = key(node);
      const value = known.get(same);
      if (value !== undefined) return value;
      known.set(same, node.output);
      return rewriting.emit(node);
    });
  },
};

function keys(): (node: Node) => string {
  const ids = new Map<Value, number>();
  const id = (value: Value | undefined): number => {
    if (value === undefined) return -1;
    const known = ids.get(value) ?? ids.size;
    ids.set(value, known);
    return known;
  };
  return ({ op, domain = '', inputs, output, outputIndex = 0, attributes }) =>
    `${domain}|${op}|${inputs.map(id).join()}|${output.dtype}|${outputIndex}|${attributeKey(attributes)}`;
}

/** Copies for outputs are the one thing that may stand twice. */
function repeated({ nodes, outputs }: Graph): Node | undefined {
  const own = new Set(Object.values(outputs));
  const seen = new Set<string>();
  const key = keys();
  return nodes.find((node) => {
    if (node.op === 'Identity' && own.has(node.output)) return false;
    const same = key(node);
    const found = seen.has(same);
    seen.add(same);
    return found;
  });
}

function sharedConstants(graph: Graph): Graph {
  const constants = new Map<Value, NdArray>();
  const instead = new Map<Value, Value>();
  const alike = new Map<string, Value[]>();
  // those with names first, so that they are the ones that stay
  const entries = [...graph.constants].sort(([a], [b]) => Number(a.hint === undefined) - Number(b.hint === undefined));
  for (const [value, array] of entries) {
    const key = `${array.dtype}|${array.shape.join()}|${checksum(bytesOf(array))}`;
    const candidates = alike.get(key) ?? [];
    const same = candidates.find((other) => sameName(other, value) && sameBytes(constants.get(other) as NdArray, array));
    if (same !== undefined) {
      instead.set(value, same);
      continue;
    }
    alike.set(key, [...candidates, value]);
    constants.set(value, array);
  }
  if (instead.size === 0) return graph;
  const nodes = graph.nodes.map((node) => ({ ...node, inputs: node.inputs.map((v) => (v === undefined ? v : (instead.get(v) ?? v))) }));
  return { ...graph, constants, nodes };
}

/** Bytes rather than numbers, so that 0 and −0 stay two, and a NaN equals itself. */
const bytesOf = ({ data }: NdArray): Uint8Array => new Uint8Array(data.buffer, data.byteOffset, data.byteLength);

function sameBytes(a: NdArray, b: NdArray): boolean {
  const [x, y] = [bytesOf(a), bytesOf(b)];
  return x.length === y.length && x.every((byte, i) => byte === y[i]);
}

/** Weights that happen to be equal keep their names. */
const sameName = (a: Value, b: Value): boolean => a.hint === b.hint || a.hint === undefined || b.hint === undefined;

/** Some of the bytes are enough to tell most arrays apart. */
function checksum(bytes: Uint8Array): number {
  const stride = Math.max(1, Math.floor(bytes.length / 256));
  let sum = bytes.length;
  for (let i = 0; i < bytes.length; i += stride) sum = (Math.imul(sum, 31) + (bytes[i] as number)) | 0;
  return sum;
}
