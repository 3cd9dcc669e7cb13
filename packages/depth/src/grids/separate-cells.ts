/**
 * The DiFull control (Rao et al., arXiv 2205.10435, section 3.1): a grid whose cells cannot influence each other, as a network. Each cell runs
 * through the network alone and has logits of its own, so the true gradient outside of a class's cell is 0 and a gradient method scores exactly 1.
 * Methods that pool gradients over the whole map (Grad-CAM) do not: that is what the control shows.
 */
import type { Network } from '@coda-nets/core';
import * as tf from '@tensorflow/tfjs-core';

/**
 * `network` on the n² cells of an image [N, n·H, n·W, 3]; its taps pass the cells' activations on side by side, [N, n·h, n·w, C]. Logits
 * [N, n²·classes]: class c of cell k is k·classes + c (`cellClass`).
 */
export function separateCells(network: Network, n: number): Network {
  const [height, width, channels] = network.inputShape;
  const { dynamicLinear: _, frozenStem: __, ...rest } = network;
  return {
    ...rest,
    config: { kind: 'separate-cells', n, network: network.config },
    inputShape: [n * height, n * width, channels],
    classes: n * n * network.classes,
    forward: (weights, images, context) => {
      const tap = <T extends tf.Tensor>(name: string, x: T): T =>
        x.rank === 4 ? (apart(context.tap(name, sideBySide(x as unknown as tf.Tensor4D, n)), n) as unknown as T) : x;
      const { logits, scores, statistics } = network.forward(weights, apart(images, n), { training: context.training, tap });
      const joined = (z: tf.Tensor2D): tf.Tensor2D => tf.reshape(z, [-1, n * n * network.classes]);
      return { logits: joined(logits), ...(scores === undefined ? {} : { scores: joined(scores) }), statistics };
    },
    probabilities: (logits) => tf.reshape(network.probabilities(tf.reshape(logits, [-1, network.classes])), [-1, n * n * network.classes]),
  };
}

/** The logit of class c in cell k. */
export function cellClass(network: Pick<Network, 'classes'>, cell: number, c: number): number {
  return cell * network.classes + c;
}

/** [N, n·h, n·w, C] → [N·n², h, w, C], cells row by row. */
function apart(x: tf.Tensor4D, n: number): tf.Tensor4D {
  const [, height, width, channels] = x.shape;
  const [h, w] = [height / n, width / n];
  const rows = tf.reshape(x, [-1, h, n, w * channels]); // [N·n, h, n, w·C]
  return tf.reshape(tf.transpose(rows, [0, 2, 1, 3]), [-1, h, w, channels]);
}

/** The other way round. */
function sideBySide(x: tf.Tensor4D, n: number): tf.Tensor4D {
  const [, h, w, channels] = x.shape;
  const cells = tf.reshape(x, [-1, n, h, w * channels]); // [N·n, n, h, w·C]
  return tf.reshape(tf.transpose(cells, [0, 2, 1, 3]), [-1, n * h, n * w, channels]);
}
