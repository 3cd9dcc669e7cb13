/**
 * The same elementwise work on many small arrays, as an optimiser does for each weight, done on several arrays at once: joined, computed, parted. On a GPU each
 * node is a launch of some 10 to 20 µs whatever its size, and a third of a ResNet's training step are such nodes.
 *
 *     m₁' = μ·m₁ + g₁                          [m₁'; m₂'; …] = μ·[m₁; m₂; …] + [g₁; g₂; …]
 *     m₂' = μ·m₂ + g₂     becomes
 *
 * Only what ends in outputs of the graph and is read by nobody else: it can run last. The numbers stay the same, bit for bit.
 * Ensures: nothing but the same outputs.
 */
import { ndArray, sizeOf } from '@coda-nets/core';
import { attributeKey } from '../graph-builder.ts';
import type { Graph, Node, Value } from '../graph.ts';
import type { Pass } from './pass.ts';

/** WebGPU promises that a kernel may read and write eight buffers: seven parts and the whole. */
const MOST_PARTS = 7;
/** Of the whole: above this the work is worth a launch of its own. */
const MOST_ELEMENTS = 2 ** 22;
const elementwise: ReadonlySet<string> = new Set(['Add', 'Sub', 'Mul', 'Div', 'Sqrt', 'Reciprocal', 'Neg', 'Abs', 'Max', 'Min', 'Pow']);

/** Nodes that hang together, for one array. */
interface Update {
  readonly nodes: readonly Node[];
  /** Arrays that it reads and does not compute, in the order in which it reads them. */
  readonly parts: readonly Value[];
  /** What it computes for the outside. */
  readonly results: readonly Value[];
  readonly shape: readonly number[];
}

export const joinUpdates: Pass = { name: 'join updates', requires: [], ensures: [], run: joined };

function joined(graph: Graph): Graph {
  const byKey = new Map<string, Update[]>();
  for (const update of updatesOf(graph)) {
    const key = keyOf(update);
    byKey.set(key, [...(byKey.get(key) ?? []), update]);
  }
  const replaced = new Set<Node>();
  const constants = new Map(graph.constants);
  const added: Node[] = [];
  for (const group of [...byKey.values()].flatMap(inGroups)) {
    // as many launches to join and to part as there are parts and results
    const [{ nodes, parts, results }] = group as [Update];
    if (group.length * nodes.length <= nodes.length + parts.length + results.length) continue;
    for (const update of group) for (const node of update.nodes) replaced.add(node);
    added.push(...joinedNodes(group, constants));
  }
  return { ...graph, constants, nodes: [...graph.nodes.filter((node) => !replaced.has(node)), ...added] };
}

/** What is elementwise over arrays of one shape, float32, and leads to outputs alone: connected pieces of it. */
function updatesOf({ nodes, outputs }: Graph): readonly Update[] {
  const isOutput = new Set(Object.values(outputs));
  const readers = new Map<Value, Node[]>();
  for (const node of nodes)
    for (const value of node.inputs) if (value !== undefined) readers.set(value, [...(readers.get(value) ?? []), node]);
  const last = new Set<Node>();
  for (const node of nodes.toReversed()) {
    const read = readers.get(node.output) ?? [];
    const leadsOut = read.length > 0 ? read.every((reader) => last.has(reader)) : isOutput.has(node.output);
    if (leadsOut && isElementwise(node) && read.every((reader) => shapeKey(reader.output) === shapeKey(node.output))) last.add(node);
  }
  // pieces that hang together: each node takes those of the nodes it reads into its own
  const piece = new Map<Value, Set<Node>>();
  for (const node of nodes) {
    if (!last.has(node)) continue;
    const own = new Set([node]);
    for (const value of node.inputs) for (const other of (value && piece.get(value)) ?? []) own.add(other);
    for (const member of own) piece.set(member.output, own);
  }
  return [...new Set(piece.values())].map((members) =>
    updateOf(
      nodes.filter((node) => members.has(node)),
      isOutput,
    ),
  );
}

const shapeKey = ({ shape }: Value): string => shape.join();
/** Of rank 0 or 1: one of a higher rank would give a joined array its rank. */
const isScalar = ({ shape }: Value): boolean => shape.length <= 1 && shape.every((d) => d === 1);

function isElementwise({ op, domain, inputs, output }: Node): boolean {
  return (
    elementwise.has(op) &&
    domain === undefined &&
    !isScalar(output) &&
    output.shape.every((d) => typeof d === 'number' && d > 0) &&
    inputs.every((value) => value?.dtype === 'float32' && (isScalar(value) || shapeKey(value) === shapeKey(output)))
  );
}

function updateOf(nodes: readonly Node[], isOutput: ReadonlySet<Value>): Update {
  const computed = new Set(nodes.map(({ output }) => output));
  const parts = new Set(nodes.flatMap(({ inputs }) => (inputs as readonly Value[]).filter((v) => !computed.has(v) && !isScalar(v))));
  const results = nodes.map(({ output }) => output).filter((value) => isOutput.has(value));
  return { nodes, parts: [...parts], results, shape: (nodes[0] as Node).output.shape as readonly number[] };
}

const scalarIds = new WeakMap<Value, number>();
let lastScalarId = 0;
const idOf = (value: Value): number => {
  const id = scalarIds.get(value) ?? ++lastScalarId;
  scalarIds.set(value, id);
  return id;
};

/** Equal for updates that do the same with the same scalars. */
function keyOf({ nodes, parts, results }: Update): string {
  const names = new Map<Value, string>([
    ...parts.map((value, i) => [value, `p${i}`] as const),
    ...nodes.map((n, i) => [n.output, `n${i}`] as const),
  ]);
  const steps = nodes.map(({ op, inputs, attributes }) => {
    const operands = (inputs as readonly Value[]).map((value) => names.get(value) ?? `s${idOf(value)}`);
    return `${op}(${operands.join()})${attributeKey(attributes)}`;
  });
  return `${steps.join(';')}→${results.map((value) => names.get(value)).join()}`;
}

function inGroups(updates: readonly Update[]): readonly (readonly Update[])[] {
  const groups: Update[][] = [];
  let elements = 0;
  for (const update of updates) {
    const size = sizeOf(update.shape);
    const group = groups.at(-1);
    if (group === undefined || group.length === MOST_PARTS || elements + size > MOST_ELEMENTS) {
      groups.push([update]);
      elements = size;
    } else {
      group.push(update);
      elements += size;
    }
  }
  return groups;
}

function joinedNodes(group: readonly Update[], constants: Map<Value, ReturnType<typeof ndArray>>): readonly Node[] {
  const nodes: Node[] = [];
  const sizes = group.map(({ shape }) => sizeOf(shape));
  const whole = [sizes.reduce((a, b) => a + b, 0)];
  const int64 = (values: readonly number[]): Value => {
    const value: Value = { dtype: 'int64', shape: [values.length] };
    constants.set(
      value,
      ndArray(
        'int64',
        [values.length],
        BigInt64Array.from(values, (v) => BigInt(v)),
      ),
    );
    return value;
  };
  const emit = (op: string, inputs: readonly (Value | undefined)[], shape: Value['shape'], more: Partial<Node> = {}): Value => {
    const output: Value = { dtype: 'float32', shape };
    nodes.push({ op, inputs, output, attributes: {}, ...more });
    return more.output ?? output;
  };
  const [first] = group as [Update];
  const now = new Map<Value, Value>();
  first.parts.forEach((part, p) => {
    const flat = group.map(({ parts, shape }, i) =>
      shape.length === 1 ? parts[p] : emit('Reshape', [parts[p], int64([sizes[i] as number])], [sizes[i] as number]),
    );
    now.set(part, emit('Concat', flat, whole, { attributes: { axis: { int: 0 } } }));
  });
  for (const { op, inputs, output, attributes } of first.nodes) {
    now.set(
      output,
      emit(
        op,
        (inputs as readonly Value[]).map((value) => now.get(value) ?? value),
        whole,
        { attributes },
      ),
    );
  }
  const lengths = int64(sizes);
  first.results.forEach((result, r) => {
    // one node of as many outputs: the encoder joins what has the same inputs and attributes
    const inputs = [now.get(result), lengths];
    const attributes = { axis: { int: 0 } };
    const parted = group.map(({ results, shape }, i) => {
      const isFlat = shape.length === 1;
      return emit('Split', inputs, [sizes[i] as number], { attributes, outputIndex: i, ...(isFlat && { output: results[r] as Value }) });
    });
    group.forEach(({ results, shape }, i) => {
      if (shape.length !== 1) emit('Reshape', [parted[i], int64(shape)], shape, { output: results[r] as Value });
    });
  });
  return nodes;
}
