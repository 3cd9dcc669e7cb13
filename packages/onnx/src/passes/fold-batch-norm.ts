/**
 * Folds what multiplies and shifts each channel of a convolution, a batch norm in inference, into its filter and bias:
 *
 *     a·(k ∗ x + c) + b = (a·k) ∗ x + (a·c + b)
 *
 * k [out, in/groups, …] and c, a, b [out] are constants; the convolution is read by the one node, and has no name of its own (`nameTensor`). In float64, rounded once: results differ from the unfolded
 * graph's by the rounding of float32. For inference: a graph that is trained needs the two apart.
 *
 * Requires: constants folded (`fold-constants.ts`), so that a and b are there. Ensures: no convolution is followed by such a node alone.
 */
import { ndArray, type NdArray } from '@coda-nets/core';
import type { Graph, Node, Value } from '../graph.ts';
import type { Pass } from './pass.ts';
import { countReaders, rewrite, type Rewriting } from './rewrite.ts';

export const foldBatchNorm: Pass = {
  name: 'fold batch norm',
  requires: [],
  ensures: [
    {
      name: 'no factor or term of channels after a convolution',
      problem: (graph) => {
        const readers = countReaders(graph);
        const origin = new Map<Value, Node>(graph.nodes.map((node) => [node.output, node]));
        return graph.nodes.find((node) => affine(node, (v) => origin.get(v), graph.constants, readers) !== undefined)?.op;
      },
    },
  ],
  run: (graph) => {
    const readers = countReaders(graph);
    return rewrite(graph, (node, rewriting) => {
      // the values of the new graph have the readers of the old ones they stand for
      const found = affine(node, (v) => rewriting.originOf(v), rewriting.constants, readers);
      if (found === undefined) return rewriting.emit(node);
      rewriting.nodes.splice(rewriting.nodes.indexOf(found.conv), 1);
      return rewriting.emit(withAffine(found, node.output, rewriting));
    });
  },
};

interface Affine {
  readonly conv: Node;
  /** a and b, [out]. */
  readonly factor: Float64Array;
  readonly term: Float64Array;
}

type Origin = (value: Value) => Node | undefined;

/** Where the factors, the terms and the filter times them are numbers that float32 has: ∞ · 0 is not what ∞ · Σ is. */
function affine(node: Node, origin: Origin, constants: Graph['constants'], readers: ReadonlyMap<Value, number>): Affine | undefined {
  const found = affineOf(node, origin, constants, readers);
  if (found === undefined) return undefined;
  const largest = (numbers: ArrayLike<number>): number =>
    Array.prototype.reduce.call(numbers, (m, x) => Math.max(m as number, Math.abs(x as number)), 0) as number;
  const filter = constants.get(found.conv.inputs[1] as Value) as NdArray<'float32'>;
  const most = [largest(found.term), largest(found.factor), largest(found.factor) * largest(filter.data)];
  return most.every((x) => Number.isFinite(Math.fround(x))) ? found : undefined;
}

function affineOf(node: Node, origin: Origin, constants: Graph['constants'], readers: ReadonlyMap<Value, number>): Affine | undefined {
  const convOf = (value: Value | undefined): Node | undefined => {
    const conv = value === undefined ? undefined : origin(value);
    const [, filter, bias] = conv?.inputs ?? [];
    const known = filter !== undefined && constants.has(filter) && (bias === undefined || constants.has(bias));
    return conv?.op === 'Conv' && known && conv.output.hint === undefined && readers.get(conv.output) === 1 ? conv : undefined;
  };
  const [left, right] = node.inputs;
  const conv = convOf(left) ?? (node.op === 'Mul' || node.op === 'Add' ? convOf(right) : undefined);
  if (conv === undefined) return undefined;
  const channels = Number(conv.output.shape[1]);
  const rank = conv.output.shape.length;
  const numbers = (value: Value | undefined): Float64Array | undefined => {
    const array = value === undefined ? undefined : constants.get(value);
    return array === undefined ? undefined : channelsOf(array, channels, rank);
  };
  if (node.op === 'BatchNormalization') {
    const [scale, offset, mean, variance] = node.inputs.slice(1).map((value) => vectorOf(value, constants));
    if (scale === undefined || offset === undefined || mean === undefined || variance === undefined) return undefined;
    const { float: epsilon } = node.attributes['epsilon'] as { float: number };
    const factor = scale.map((s, c) => s / Math.sqrt((variance[c] as number) + epsilon));
    return { conv, factor, term: offset.map((b, c) => b - (factor[c] as number) * (mean[c] as number)) };
  }
  const other = numbers(conv.output === left ? right : left);
  if (other === undefined || node.output.shape.length !== rank) return undefined;
  const ones = other.map(() => 1);
  const zeros = other.map(() => 0);
  switch (node.op) {
    case 'Mul':
      return { conv, factor: other, term: zeros };
    case 'Div':
      return { conv, factor: other.map((x) => 1 / x), term: zeros };
    case 'Add':
      return { conv, factor: ones, term: other };
    case 'Sub':
      return { conv, factor: ones, term: other.map((x) => -x) };
    default:
      return undefined;
  }
}

/** The number of each channel in an array that broadcasts over [n, channels, …]; undefined for one that differs along another axis. */
function channelsOf({ dtype, shape, data }: NdArray, channels: number, rank: number): Float64Array | undefined {
  if (dtype !== 'float32' || shape.length > rank) return undefined;
  const axis = shape.length - rank + 1;
  if (!shape.every((d, i) => d === 1 || (i === axis && d === channels))) return undefined;
  return Float64Array.from({ length: channels }, (_, c) => Number(data[data.length === 1 ? 0 : c]));
}

function vectorOf(value: Value | undefined, constants: Graph['constants']): Float64Array | undefined {
  const array = value === undefined ? undefined : constants.get(value);
  return array === undefined ? undefined : Float64Array.from(array.data as Float32Array);
}

function withAffine({ conv, factor, term }: Affine, output: Value, rewriting: Rewriting): Node {
  const [x, filter, bias] = conv.inputs as [Value, Value, Value | undefined];
  const kernel = rewriting.arrayOf(filter) as NdArray<'float32'>;
  const size = kernel.data.length / factor.length;
  const scaled = factor.every((a) => a === 1) ? filter : rewriting.constant(scaledRows(kernel, factor, size), filter.hint);
  const before = bias === undefined ? undefined : (rewriting.arrayOf(bias)?.data as Float32Array);
  const shift = Float32Array.from(term, (b, c) => (before === undefined ? b : (factor[c] as number) * (before[c] as number) + b));
  const none = before === undefined && term.every((b) => b === 0);
  const inputs = none ? [x, scaled] : [x, scaled, rewriting.constant(ndArray('float32', [term.length], shift), biasName(filter, bias))];
  return { ...conv, inputs, output };
}

function scaledRows({ shape, data }: NdArray<'float32'>, factor: Float64Array, size: number): NdArray<'float32'> {
  return ndArray(
    'float32',
    shape,
    data.map((k, i) => k * (factor[Math.floor(i / size)] as number)),
  );
}

/** `conv1.weight` gets `conv1.bias`. */
function biasName({ hint }: Value, bias: Value | undefined): string | undefined {
  return bias?.hint ?? (hint?.endsWith('.weight') === true ? hint.replace(/weight$/, 'bias') : undefined);
}
