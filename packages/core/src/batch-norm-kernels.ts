/**
 * The two passes of batch normalisation in training that a backend may have as kernels of its own. Whoever normalises looks for them
 * (`tf.getKernel(…, tf.getBackend())`) and computes the formula step by step where they are not. Not kernels of TensorFlow.js.
 */
export const batchNormKernels = {
  /**
   * inputs x [N, H, W, C], gamma, beta, runningMean, runningVariance [C]; attributes `epsilon`, `momentum` → y, the new running mean and (unbiased) variance [C], and
   * what the gradient wants to have saved
   */
  forward: 'BatchNormTraining',
  /** inputs dy, x, gamma and `saved0`, `saved1`, …; attribute `epsilon` → dx, dgamma, dbeta */
  gradient: 'BatchNormTrainingGrad',
} as const;
