/**
 * The scope in which operations have another gradient: what attribution rules are made of (guided backpropagation, DeepLIFT). The network is
 * not edited and need not know: TensorFlow.js looks up a kernel's gradient when the kernel runs, so the rule holds for every use inside.
 */
import * as tf from '@tensorflow/tfjs-core';
import { CodaError } from './errors.ts';
import { runScope } from './run-scope.ts';
import './tfjs.ts';

/** What a rule may look at, of one elementwise operation y = f(x). */
export interface RuleOperands {
  readonly x: tf.Tensor;
  readonly y: tf.Tensor;
  /** The true gradient: dy ↦ dy ⊙ f′(x). */
  plain(dy: tf.Tensor): tf.Tensor;
}

/** The gradient that is used instead: dy ↦ what counts as dL/dx. */
export type GradientRule = (dy: tf.Tensor, operands: RuleOperands) => tf.Tensor;

/**
 * Runs `fn`, which must be synchronous, with the gradient of each kernel named in `rules` (`Relu`, `Sigmoid`, …) replaced. Forward *and*
 * backward pass stand in `fn`. Scopes nest: the inner rule holds. Rules are for kernels with one input called `x` and one output.
 * Throws a CodaError for a kernel that has no gradient to replace.
 */
export function withGradientRules<T>(rules: Readonly<Record<string, GradientRule>>, fn: () => T): T {
  const before = Object.keys(rules).map((name) => gradientOf(name));
  return runScope('withGradientRules', fn, {
    enter: () => {
      for (const config of before) tf.registerGradient(replaced(config, rules[config.kernelName] as GradientRule));
    },
    leave: () => {
      for (const config of before) tf.registerGradient(config);
    },
  });
}

function gradientOf(kernelName: string): tf.GradConfig {
  const config = tf.getGradient(kernelName) as tf.GradConfig | undefined;
  if (config !== undefined) return config;
  throw new CodaError({
    kind: 'argument',
    where: `withGradientRules: ${kernelName}`,
    problem: 'no kernel of that name has a gradient',
    expected: 'a kernel of TensorFlow.js with one input x, such as Relu or Sigmoid',
  });
}

function replaced(config: tf.GradConfig, rule: GradientRule): tf.GradConfig {
  return {
    kernelName: config.kernelName,
    inputsToSave: ['x'],
    outputsToSave: [true],
    gradFunc: (dy, saved, attrs) => {
      const [x, y] = saved as [tf.Tensor, tf.Tensor];
      // What the gradient that is replaced asked to be saved, in its order: inputs, then outputs.
      const own = [...(config.inputsToSave === undefined ? [] : [x]), ...(config.outputsToSave?.[0] === true ? [y] : [])];
      const plain = (cotangent: tf.Tensor): tf.Tensor => (config.gradFunc(cotangent, own, attrs)['x'] as () => tf.Tensor)();
      return { x: () => rule(dy as tf.Tensor, { x, y, plain }) };
    },
  };
}
