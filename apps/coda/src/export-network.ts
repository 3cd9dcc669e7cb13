/** A network, or a network with its explanation, as the function that becomes an ONNX file: image in, logits and contribution maps out. */
import {
  CodaError,
  inferenceContext,
  type ArraySpec,
  type Model,
  type NamedTensors,
  type Network,
  type Signature,
  type TensorFunction,
} from '@coda-nets/core';
import { checkTaps, contributionsAtTaps } from '@coda-nets/depth';
import { encodeModel, trace } from '@coda-nets/onnx';
import * as tf from '@tensorflow/tfjs-core';

export interface ExportOptions {
  /** Adds the input `target` and the contribution maps. Default false. */
  readonly explain?: boolean;
  /** Taps with a map of their own, beside the input's. Default: every exact one. */
  readonly taps?: readonly string[];
  /** Default `nhwc`. */
  readonly input?: 'nchw' | 'nhwc';
  /** float32 in [0, 1] (default), or uint8 in 0 … 255. */
  readonly dtype?: 'float32' | 'uint8';
  readonly opset?: number;
  readonly version?: string;
}

/** The opset whose operators are written. */
export const OPSET = 17;

/** The file's output for a tap's map. */
export const mapOutput = (tap: string): string => (tap === 'input' ? 'contributions' : `contributions_${tap}`);

/** The taps whose maps a file of these options has, from the input to the output. */
export function exportedTaps(network: Network, { explain = false, taps }: ExportOptions): readonly string[] {
  if (!explain) return [];
  checkTaps('export', network, taps ?? []);
  const wanted = taps ?? network.taps.filter(({ exact }) => exact).map(({ name }) => name);
  return network.taps.map(({ name }) => name).filter((name) => name === 'input' || wanted.includes(name));
}

/** The bytes of the ONNX file. */
export function exportNetwork(network: Network, model: Model, options: ExportOptions = {}): Uint8Array {
  const { input = 'nhwc', dtype = 'float32', opset = OPSET, version = '' } = options;
  if (opset !== OPSET) {
    throw new CodaError({
      kind: 'unsupported',
      where: 'export: opset',
      problem: 'not written by this version',
      expected: String(OPSET),
      got: String(opset),
    });
  }
  const taps = exportedTaps(network, options);
  const { fn, signature } = exportFunction(network, model, taps, input, dtype, options.explain === true);
  const exactness = network.taps
    .filter(({ name }) => taps.includes(name))
    .map(({ name, exact, stride }) => ({ name, output: mapOutput(name), exact, stride }));
  return encodeModel(trace(fn, signature), {
    opset,
    graphName: network.config.kind,
    producerVersion: version,
    docString: taps.length === 0 ? 'Classifier.' : 'Classifier with its explanation: maps of exact taps sum to logit − logit_bias.',
    metadata: {
      classes: JSON.stringify(model.classNames),
      preprocessing: JSON.stringify({ ...model.preprocessing, input, dtype }),
      taps: JSON.stringify(exactness),
      logit_bias: String(network.logitBias),
      version,
    },
  });
}

function exportFunction(
  network: Network,
  model: Model,
  taps: readonly string[],
  input: 'nchw' | 'nhwc',
  dtype: 'float32' | 'uint8',
  explain: boolean,
): { fn: TensorFunction; signature: Signature } {
  const [height, width, channels] = network.inputShape;
  const shape: ArraySpec['shape'] = input === 'nhwc' ? ['batch', height, width, channels] : ['batch', channels, height, width];
  const fn: TensorFunction = (tensors) => {
    const raw = tensors['image'] as tf.Tensor4D;
    const scaled = dtype === 'uint8' ? tf.div(tf.cast(raw, 'float32'), 255) : raw;
    const images = (input === 'nhwc' ? scaled : tf.transpose(scaled, [0, 2, 3, 1])) as tf.Tensor4D;
    if (!explain) return { logits: network.forward(tensors, images, inferenceContext).logits };
    const result = contributionsAtTaps(network, tensors, images, tensors['target'] as tf.Tensor1D, taps);
    const outputs: Record<string, tf.Tensor> = { logits: result.logits };
    for (const name of taps) outputs[mapOutput(name)] = result.taps[name]?.map as tf.Tensor;
    return outputs satisfies NamedTensors;
  };
  const inputs: Record<string, ArraySpec> = { image: { shape, dtype } };
  if (explain) inputs['target'] = { shape: ['batch'], dtype: 'int64' };
  return { fn, signature: { inputs, constants: model.weights } };
}
