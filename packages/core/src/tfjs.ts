/**
 * The one place that registers TensorFlow.js gradients: `tfjs-core` alone has none, `tfjs-layers` brings them all.
 * Whoever differentiates imports this module first (`@coda-nets/core` does so itself).
 */
import '@tensorflow/tfjs-layers';
