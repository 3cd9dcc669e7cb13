/** Small TensorFlow graphs as a converter writes them. */
import * as tf from '@tensorflow/tfjs-core';
import { loadGraphModel, type GraphModel } from '@tensorflow/tfjs-converter';

type Attr = Readonly<Record<string, unknown>>;

export interface GraphNode {
  readonly name: string;
  readonly op: string;
  readonly input?: readonly string[];
  readonly attr?: Readonly<Record<string, Attr>>;
}

export const placeholder = (name: string, shape: readonly number[], dtype = 'DT_FLOAT'): GraphNode => ({
  name,
  op: 'Placeholder',
  attr: { dtype: { type: dtype }, shape: { shape: { dim: shape.map((size) => ({ size: String(size) })) } } },
});

/** A graph of these nodes, with int32 constants. */
export async function graphOf(
  nodes: readonly GraphNode[],
  constants: Readonly<Record<string, readonly number[] | number>> = {},
): Promise<GraphModel> {
  const arrays = Object.entries(constants).map(([name, value]) => ({
    name,
    shape: Array.isArray(value) ? [value.length] : [],
    data: [value].flat() as number[],
  }));
  const weightSpecs = arrays.map(({ name, shape }) => ({ name, shape, dtype: 'int32' as const }));
  const constant = ({ name, shape }: (typeof arrays)[number]): GraphNode => ({
    name,
    op: 'Const',
    attr: {
      dtype: { type: 'DT_INT32' },
      value: { tensor: { dtype: 'DT_INT32', tensorShape: { dim: shape.map((size) => ({ size: String(size) })) } } },
    },
  });
  const modelTopology = { node: [...arrays.map((array) => constant(array)), ...nodes], versions: { producer: 1 } };
  const weightData = Int32Array.from(arrays.flatMap(({ data }) => data)).buffer;
  return loadGraphModel(tf.io.fromMemory({ modelTopology, weightSpecs, weightData }));
}
