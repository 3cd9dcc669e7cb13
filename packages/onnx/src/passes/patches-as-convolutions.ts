/**
 * Products of patches with constants become convolutions:
 *
 *     Gemm(Reshape(Concat of the k² places of a k×k window), W) = Conv(x, F)          F[o, c, i, j] = W[(i·k + j)·C + c, o]
 *
 * A layer of units gathers its patches itself, for its gradients. A graph that is only run has no use for them, and a runtime that lays out channels in blocks
 * convolves by a filter that it knows 1.3 times as fast as it multiplies matrices (2 AVX2 cores, 576 × 512 over 64 positions of each image).
 * Requires: nodes in topological order. Ensures: no such product of whole blocks of channels.
 */
import { ndArray } from '@coda-nets/core';
import { int, ints, type Graph, type Node, type Value } from '../graph.ts';
import { eliminateDeadCode } from './eliminate-dead-code.ts';
import type { Pass } from './pass.ts';
import { rewrite, type Rewriting } from './rewrite.ts';

interface Patches {
  /** [N, H, W, C] */
  readonly source: Value;
  readonly kernel: number;
  readonly stride: number;
  /** Of the windows: H' × W' of them. */
  readonly rows: number;
  readonly columns: number;
}

/** `block`: channels in a block of the runtime's layout; other numbers of them it convolves slowly. */
export function patchesAsConvolutions(block: number): Pass {
  return {
    name: 'patches as convolutions',
    requires: [],
    ensures: [
      {
        name: 'no product of patches with constants',
        problem: (graph) => {
          const origin = new Map<Value, Node>(graph.nodes.map((node) => [node.output, node]));
          const constant = constantValues(graph);
          return graph.nodes.find((node) => patchesOf(node, block, constant, (v) => origin.get(v), graph.constants))?.op;
        },
      },
    ],
    run: (graph) => {
      const constant = constantValues(graph);
      // the units of a layer read the same patches in more than one product
      const channelsFirst = new Map<Value, Value>();
      return eliminateDeadCode(
        rewrite(graph, (node, rewriting) => {
          const found = patchesOf(node, block, constant, (v) => rewriting.originOf(v), rewriting.constants);
          return found === undefined ? rewriting.emit(node) : convolution(node, found, rewriting, channelsFirst);
        }),
      );
    },
  };
}

type Origin = (value: Value) => Node | undefined;

/** What constants alone give. */
function constantValues({ constants, nodes }: Graph): ReadonlySet<Value> {
  const known = new Set<Value>(constants.keys());
  for (const { inputs, output } of nodes) if (inputs.every((value) => value === undefined || known.has(value))) known.add(output);
  return known;
}

function patchesOf(
  { op, inputs, attributes }: Node,
  block: number,
  constant: ReadonlySet<Value>,
  origin: Origin,
  constants: Graph['constants'],
): Patches | undefined {
  const [rows, weights, bias] = inputs;
  const transposes = (name: string): boolean => attributes[name] !== undefined && 'int' in attributes[name] && attributes[name].int !== 0;
  if (op !== 'Gemm' || rows === undefined || weights === undefined || bias !== undefined || !constant.has(weights)) return undefined;
  if (transposes('transA') || transposes('transB')) return undefined;
  const reshape = origin(rows);
  const concat = reshape?.op === 'Reshape' ? origin(reshape.inputs[0] as Value) : undefined;
  if (concat?.op !== 'Concat' || concat.output.shape.length !== 4 || concat.output.shape[3] !== rows.shape[1]) return undefined;
  const axis = concat.attributes['axis'];
  if (axis === undefined || !('int' in axis) || axis.int !== 3) return undefined;
  const kernel = Math.sqrt(concat.inputs.length);
  const places = concat.inputs.map((value) => placeOf(origin(value as Value), constants));
  const [first] = places;
  if (first === undefined || kernel < 2 || !Number.isInteger(kernel)) return undefined;
  const { source, stride } = first;
  const inOrder = places.every((place, i) => {
    return place?.source === source && place.stride === stride && place.row === Math.floor(i / kernel) && place.column === i % kernel;
  });
  const [, height, width, channels] = source.shape;
  const [, down, across] = concat.output.shape;
  const windows = (length: unknown): number => Math.floor((Number(length) - kernel) / stride) + 1;
  const whole = windows(height) === down && windows(width) === across && Number(channels) % block === 0;
  return inOrder && whole ? { source, kernel, stride, rows: down, columns: across } : undefined;
}

/** Of a slice of [N, H, W, C] that takes every stride-th row and column. */
function placeOf(node: Node | undefined, constants: Graph['constants']) {
  const [source, ...counts] = node?.inputs ?? [];
  if (node?.op !== 'Slice' || source?.shape.length !== 4) return undefined;
  const [starts, ends, axes, steps] = counts.map((value) => {
    const array = value === undefined ? undefined : constants.get(value);
    return array === undefined ? undefined : Array.from(array.data as BigInt64Array, Number);
  });
  const [stride = 1, acrossStride = 1] = steps ?? [];
  if (starts === undefined || ends === undefined || axes?.join() !== '1,2' || stride !== acrossStride) return undefined;
  const [row, column] = starts as [number, number];
  return { source, stride, row, column };
}

function convolution(node: Node, patches: Patches, rewriting: Rewriting, channelsFirst: Map<Value, Value>): Value {
  const { source, kernel, stride, rows, columns } = patches;
  const [batch, , , channels] = source.shape as readonly [Value['shape'][number], number, number, number];
  const outputs = Number(node.output.shape[1]);
  const emit = (op: string, inputs: readonly Value[], shape: Value['shape'], attributes: Node['attributes'] = {}): Value =>
    rewriting.emit({ op, inputs, output: { dtype: 'float32', shape }, attributes });
  const transpose = (value: Value, perm: readonly number[]): Value =>
    emit(
      'Transpose',
      [value],
      perm.map((axis) => value.shape[axis] as number),
      { perm: ints(perm) },
    );
  const sizes = (shape: readonly number[]): Value =>
    rewriting.constant(
      ndArray(
        'int64',
        [shape.length],
        BigInt64Array.from(shape, (size) => BigInt(size)),
      ),
    );
  const image = channelsFirst.get(source) ?? transpose(source, [0, 3, 1, 2]);
  channelsFirst.set(source, image);
  const window = [kernel, kernel, channels, outputs];
  const filter = transpose(emit('Reshape', [node.inputs[1] as Value, sizes(window)], window), [3, 2, 0, 1]);
  const convolved = emit('Conv', [image, filter], [batch, outputs, rows, columns], {
    kernel_shape: ints([kernel, kernel]),
    strides: ints([stride, stride]),
    pads: ints([0, 0, 0, 0]),
    dilations: ints([1, 1]),
    group: int(1),
  });
  const last = transpose(convolved, [0, 2, 3, 1]);
  return rewriting.emit({ op: 'Reshape', inputs: [last, sizes([-1, outputs])], output: node.output, attributes: {} });
}
