/** A network, or a network with its explanation, as the function that becomes an ONNX file: image in, logits and contribution maps out. */
import {
  inferenceContext,
  type ArraySpec,
  type ForwardContext,
  type Model,
  type NamedTensors,
  type Network,
  type Signature,
  type TensorFunction,
} from '@coda-nets/core';
import { checkTaps, contributionsAtTaps } from '@coda-nets/depth';
import { encodeModel, inferencePasses, nameTensor, runPasses, trace, type Graph, type ModelInfo, type ModelOptions } from '@coda-nets/onnx';
import * as tf from '@tensorflow/tfjs-core';

export interface ExportOptions {
  /** Adds the input `target` and the contribution maps. Default false. */
  readonly explain?: boolean;
  /** Taps with a map of their own, beside the input's. Default: every exact one. */
  readonly taps?: readonly string[];
  /** Adds to each map the relative difference between its sum and z − b₀. Default false. */
  readonly residuals?: boolean;
  /** Adds the output `probabilities`. Default false. */
  readonly probabilities?: boolean;
  /** Default `nhwc`. */
  readonly input?: 'nchw' | 'nhwc';
  /** float32 in [0, 1] (default), or uint8 in 0 … 255. */
  readonly dtype?: 'float32' | 'uint8';
  /** 17 (default) to 21. */
  readonly opset?: number;
  readonly version?: string;
}

/** The opset that is written where none is asked for. */
export const OPSET = 17;

/** The file's output for a tap's map, and for how far its sum is from z − b₀. */
export const mapOutput = (tap: string): string => (tap === 'input' ? 'contributions' : `contributions_${tap}`);
export const residualOutput = (tap: string): string => (tap === 'input' ? 'residual' : `residual_${tap}`);

/** The taps whose maps a file of these options has, from the input to the output. */
export function exportedTaps(network: Network, { explain = false, taps }: ExportOptions): readonly string[] {
  if (!explain) return [];
  checkTaps('export', network, taps ?? []);
  const wanted = taps ?? network.taps.filter(({ exact }) => exact).map(({ name }) => name);
  return network.taps.map(({ name }) => name).filter((name) => name === 'input' || wanted.includes(name));
}

/** The graph, and what goes into the file beside it. */
export function exportGraph(
  network: Network,
  model: Model,
  options: ExportOptions = {},
): { readonly graph: Graph; readonly modelOptions: ModelOptions } {
  const { input = 'nhwc', dtype = 'float32', opset = OPSET, version = '', residuals = false } = options;
  const taps = exportedTaps(network, options);
  const { fn, signature } = exportFunction(network, model, taps, options);
  const traced = trace(fn, signature, { convolutionsAsProducts: false });
  const described = network.taps
    .filter(({ name }) => taps.includes(name))
    .map(({ name, exact, stride }) => ({
      name,
      output: mapOutput(name),
      ...(residuals && { residual: residualOutput(name) }),
      exact,
      stride,
    }));
  return {
    graph: runPasses(traced, inferencePasses),
    modelOptions: {
      opset,
      graphName: network.config.kind,
      producerVersion: version,
      docString: taps.length === 0 ? 'Classifier.' : 'Classifier with its explanation: maps of exact taps sum to logit − logit_bias.',
      metadata: {
        classes: JSON.stringify(model.classNames),
        preprocessing: JSON.stringify({ ...model.preprocessing, input, dtype }),
        taps: JSON.stringify(described),
        logit_bias: String(network.logitBias),
        version,
      },
    },
  };
}

/** The bytes of the ONNX file. */
export function exportNetwork(network: Network, model: Model, options: ExportOptions = {}): Uint8Array {
  const { graph, modelOptions } = exportGraph(network, model, options);
  return encodeModel(graph, modelOptions);
}

/** The options that a file of `exportGraph` was made with, as the file shows them. */
export function exportOptionsOf(
  { inputs, outputs, opset }: Pick<ModelInfo, 'inputs' | 'outputs' | 'opset'>,
  network: Network,
): ExportOptions {
  const image = inputs.find(({ name }) => name === 'image');
  const has = (name: string): boolean => outputs.some((output) => output.name === name);
  const taps = network.taps.map(({ name }) => name).filter((name) => has(mapOutput(name)));
  return {
    explain: inputs.some(({ name }) => name === 'target'),
    taps,
    residuals: taps.some((name) => has(residualOutput(name))),
    probabilities: has('probabilities'),
    input: image?.shape[3] === network.inputShape[2] ? 'nhwc' : 'nchw',
    dtype: image?.dtype === 'uint8' ? 'uint8' : 'float32',
    opset,
  };
}

/** What is traced for a file of these options; `taps` from `exportedTaps`. */
export function exportFunction(
  original: Network,
  model: Model,
  taps: readonly string[],
  { input = 'nhwc', dtype = 'float32', explain = false, residuals = false, probabilities = false }: ExportOptions,
): { fn: TensorFunction; signature: Signature } {
  const network = withNamedTaps(original);
  const [height, width, channels] = network.inputShape;
  const shape: ArraySpec['shape'] = input === 'nhwc' ? ['batch', height, width, channels] : ['batch', channels, height, width];
  const fn: TensorFunction = (tensors) => {
    const raw = tensors['image'] as tf.Tensor4D;
    const scaled = dtype === 'uint8' ? tf.div(tf.cast(raw, 'float32'), 255) : raw;
    const images = (input === 'nhwc' ? scaled : tf.transpose(scaled, [0, 2, 3, 1])) as tf.Tensor4D;
    const result = explain ? contributionsAtTaps(network, tensors, images, tensors['target'] as tf.Tensor1D, taps) : undefined;
    const { logits } = result ?? network.forward(tensors, images, inferenceContext);
    const outputs: Record<string, tf.Tensor> = { logits };
    if (probabilities) outputs['probabilities'] = network.probabilities(logits);
    for (const name of taps) {
      outputs[mapOutput(name)] = result?.taps[name]?.map as tf.Tensor;
      if (residuals) outputs[residualOutput(name)] = result?.taps[name]?.residual as tf.Tensor;
    }
    return outputs satisfies NamedTensors;
  };
  const inputs: Record<string, ArraySpec> = { image: { shape, dtype } };
  if (explain) inputs['target'] = { shape: ['batch'], dtype: 'int64' };
  return { fn, signature: { inputs, constants: model.weights } };
}

/** The network with the names of its taps on the graph's values, so that a file can be compared with its model tap by tap. */
function withNamedTaps(network: Network): Network {
  return {
    ...network,
    forward: (weights, images, context) => {
      const named: ForwardContext = {
        training: context.training,
        tap: (name, x) => context.tap(name, name === 'input' ? x : nameTensor(x, name)),
      };
      return network.forward(weights, images, named);
    },
  };
}
